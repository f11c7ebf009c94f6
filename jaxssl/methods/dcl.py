"""DCL and DCLW: SimCLR without the positive in the denominator."""

from collections.abc import Callable

import flax.linen as nn

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import projection, two_view_method
from jaxssl.models.siamese import apply_merged


def dcl(
  net: nn.Module,
  views: Callable,
  *,
  temperature: float = 0.1,
  apply: Callable = apply_merged,
  contrast: Callable = losses.decoupled_nt_xent,
  block_size: int | None = None,
) -> Method:
  """Decoupled contrastive learning (Yeh et al., arXiv 2110.06848, loss L_DC).

  Args:
    net: encoder and projector.
    views: (key, example) -> two inputs of equal shape.
    temperature: of the softmax.
    apply: `apply_merged` or `apply_views`, as in `simclr`.
    contrast: the loss; `partial(losses.ring_decoupled_nt_xent, mesh=mesh)` goes
      round the devices of a mesh instead of gathering all rows on each.
    block_size: columns of the similarity matrix held at a time; None holds all.

  Returns:
    The method; its state is the net's batch statistics.
  """

  def loss(z_a, z_b):
    return contrast(z_a, z_b, temperature=temperature, block_size=block_size).mean()

  return two_view_method(net, views, outputs=projection, loss=loss, apply=apply)


def dclw(
  net: nn.Module,
  views: Callable,
  *,
  temperature: float = 0.1,
  sigma: float = 0.5,
  apply: Callable = apply_merged,
  block_size: int | None = None,
) -> Method:
  """DCL with positives weighted by how far apart they are (loss L_DCW of the paper).

  Args:
    net: encoder and projector.
    views: (key, example) -> two inputs of equal shape.
    temperature: of the softmax.
    sigma: of the von Mises-Fisher weights.
    apply: `apply_merged` or `apply_views`, as in `simclr`.
    block_size: columns of the similarity matrix held at a time; None holds all.

  Returns:
    The method; its state is the net's batch statistics.
  """

  def loss(z_a, z_b):
    return losses.dclw(
      z_a, z_b, temperature=temperature, sigma=sigma, block_size=block_size
    ).mean()

  return two_view_method(net, views, outputs=projection, loss=loss, apply=apply)
