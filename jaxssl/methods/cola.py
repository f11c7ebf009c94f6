"""COLA: two crops of one recording attract, those of others repel."""

from collections.abc import Callable

import flax.linen as nn

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import two_view_method
from jaxssl.models.siamese import make_encode
from jaxssl.ops import l2_normalize


def cola(net: nn.Module, views: Callable) -> Method:
  """COLA with its bilinear similarity (Saeed et al., arXiv 2010.10915, section 3).

  The score of an anchor a and a positive p is a' W p, without temperature; the loss is
  the cross-entropy of the anchor's own positive among those of the batch, in this one
  direction.

  Args:
    net: encoder of waves, projector and, as predictor, W: `models.Siamese(
      models.Spectral(...), models.ColaHead(), models.Bilinear())`.
    views: (key, wave) -> anchor, positive; `augment.cola_views`.

  Returns:
    The method; `encode` is the encoder's output for whole waves of unit length.

  Raises:
    InputError: if the net has no predictor.
  """
  if net.predictor is None:
    raise InputError("COLA's similarity is a predictor; pass models.Bilinear().")
  outputs = lambda e: (e.prediction, e.projection)
  loss = lambda anchor, positive: losses.cpc(anchor[0], positive[1]).mean()
  return _method(net, views, outputs, loss)


def cola_cosine(net: nn.Module, views: Callable, *, temperature: float = 0.2) -> Method:
  """COLA by cosines: the paper's other similarity; see `cola`.

  Args:
    net: encoder of waves and projector.
    views: (key, wave) -> anchor, positive.
    temperature: divides the cosines.

  Returns:
    The method.
  """

  def loss(anchor, positive):
    return losses.info_nce(anchor, positive, temperature=temperature).mean()

  return _method(net, views, lambda e: e.projection, loss)


def _method(net, views, outputs, loss):
  method = two_view_method(net, views, outputs=outputs, loss=loss)
  whole = make_encode(net, lambda params, extra: (params, extra.stats))

  def encode(params, extra, batch, *, patches=False):
    waves = {"input": l2_normalize(batch["input"])}
    return whole(params, extra, waves, patches=patches)

  return method._replace(encode=encode)
