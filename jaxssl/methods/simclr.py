"""SimCLR: two views of an example attract, all other rows of the batch repel."""

from collections.abc import Callable

import flax.linen as nn

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import projection, two_view_method
from jaxssl.models.siamese import apply_merged


def simclr(
  net: nn.Module,
  views: Callable,
  *,
  temperature: float = 0.1,
  apply: Callable = apply_merged,
  contrast: Callable = losses.nt_xent,
  block_size: int | None = None,
) -> Method:
  """SimCLR (Chen et al., arXiv 2002.05709, equation 1).

  The loss is the paper's mean over the 2 * batch rows; the official code returns
  twice that (the sum of two directional means), which only a weight decay inside
  the gradient or an un-normalised optimiser would notice.

  Args:
    net: encoder and projector; returns an `Embedding`.
    views: (key, example) -> two inputs of equal shape.
    temperature: of the softmax; 0.1 for ImageNet, 0.5 for CIFAR-10 in the paper.
    apply: `apply_merged` (batch statistics over both views, as the official code)
      or `apply_views` (each view by itself).
    contrast: the loss; `functools.partial(losses.ring_nt_xent, mesh=mesh)` goes
      round the devices of a mesh instead of gathering all rows on each.
    block_size: columns of the similarity matrix held at a time; None holds all.

  Returns:
    The method; its state is the net's batch statistics.
  """

  def loss(z_a, z_b):
    rows = contrast(z_a, z_b, temperature=temperature, block_size=block_size)
    return rows.mean()

  return two_view_method(net, views, outputs=projection, loss=loss, apply=apply)
