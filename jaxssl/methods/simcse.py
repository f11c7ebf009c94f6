"""SimCSE: a sentence read twice, with other units dropped, is its own positive."""

from collections.abc import Callable

import flax.linen as nn

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import projection, two_view_method
from jaxssl.models.siamese import apply_merged


def twice(key, example):
  """The views of unsupervised SimCSE: the example, and the example again."""
  del key
  return example, example


def simcse(
  net: nn.Module,
  views: Callable = twice,
  *,
  temperature: float = 0.05,
  apply: Callable = apply_merged,
) -> Method:
  """SimCSE without labels (Gao et al., arXiv 2104.08821, equation 4).

  Both readings of a sentence differ in what dropout leaves out, and in nothing else.
  The first must find the second among those of the batch by cosine: one direction, as
  in the paper.

  Args:
    net: an encoder that drops (`models.Transformer(dropout=0.1, pool=first_pool)`), and
      a projector; the paper's is `models.TanhHead`, which only trains.
    views: (key, example) -> two inputs of equal shape.
    temperature: divides the cosine; 0.05 in the paper.
    apply: `apply_merged` (both readings in one call) or `apply_views`.

  Returns:
    The method; its features are the encoder's, without the projector.
  """

  def loss(z_a, z_b):
    return losses.info_nce(z_a, z_b, temperature=temperature).mean()

  return two_view_method(net, views, outputs=projection, loss=loss, apply=apply)
