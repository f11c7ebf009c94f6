"""CLIP: an image and its caption attract, all other pairs of the batch repel."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.pairs import pair_method


def clip(
  net: nn.Module,
  views: Callable,
  *,
  contrast: Callable = losses.clip,
  block_size: int | None = None,
) -> Method:
  """CLIP (Radford et al., arXiv 2103.00020, figure 3).

  Each image must find its caption among those of the batch, and each caption its
  image, by cosine. The temperature is learned; its inverse stays at 100 or less.
  A caption that two images of a batch share is counted as wrong for the other.

  Args:
    net: `TwoTowers`, without bias.
    views: (key, captioned example) -> one view, as `augment.captioned_view` makes it
      (a tuple of one).
    contrast: the loss; `functools.partial(losses.ring_clip, mesh=mesh)` goes round
      the devices of a mesh instead of gathering all rows on each.
    block_size: columns of the similarity matrix held at a time; None holds all.

  Returns:
    The method; see `methods.pairs.pair_method` for its `encode`, which also gives the
    vectors of both sides.

  Raises:
    InputError: if the net has a bias, which this loss would not see.
  """
  if net.bias is not None:
    raise InputError("CLIP has no bias; pass TwoTowers(..., bias=None).")
  return pair_method(net, views, contrast=partial(contrast, block_size=block_size))
