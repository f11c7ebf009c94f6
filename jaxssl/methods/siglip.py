"""SigLIP: every pair of an image and a caption is a question of its own, yes or no."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.pairs import pair_method


def siglip(
  net: nn.Module,
  views: Callable,
  *,
  contrast: Callable = losses.siglip,
  block_size: int | None = None,
) -> Method:
  """SigLIP (Zhai et al., arXiv 2303.15343, algorithm 1).

  A logistic loss for each pair of the batch, summed over the captions and averaged
  over the images, with a learned scale and offset. Nearly all pairs are negative, so
  the offset starts at -10.

  Args:
    net: `TwoTowers(..., scale=10.0, bias=-10.0)`.
    views: (key, captioned example) -> one view, as `augment.captioned_view` makes it
      (a tuple of one).
    contrast: the loss; `functools.partial(losses.ring_siglip, mesh=mesh)` goes round
      the devices of a mesh instead of gathering all rows on each.
    block_size: columns of the similarity matrix held at a time; None holds all.

  Returns:
    The method; see `methods.pairs.pair_method` for its `encode`, which also gives the
    vectors of both sides.

  Raises:
    InputError: if the net has no bias.
  """
  if net.bias is None:
    raise InputError("SigLIP needs a bias; pass TwoTowers(..., bias=-10.0).")
  return pair_method(net, views, contrast=partial(contrast, block_size=block_size))
