"""Patch order: in which of all orders are a few tiles of the image?"""

from collections.abc import Callable

import flax.linen as nn

from jaxssl.core import Method
from jaxssl.methods.jigsaw import jigsaw
from jaxssl.ops import all_permutations


def patch_order(
  encoder: nn.Module,
  projector: nn.Module,
  head: nn.Module,
  views: Callable,
  *,
  grid: tuple[int, int] = (2, 2),
  tile: int,
  gap: int,
) -> Method:
  """The jigsaw of small images: few tiles, and every order of them is a class.

  As `jigsaw` with all permutations: 24 for 2 x 2 tiles, or for a strip, (1, 4).

  Args:
    encoder: images -> features, called on each tile.
    projector: features of a tile -> what is joined; a ReLU follows.
    head: joined projections [batch, 1, tiles * dim] -> one logit an order, 24 for 4
      tiles.
    views: (key, example) -> inputs, of which the first is used.
    grid: rows and columns of cells.
    tile: side of a tile in pixels.
    gap: least number of pixels between two tiles.

  Returns:
    The method; its state is a `JigsawExtra`.
  """
  permutations = all_permutations(grid[0] * grid[1])
  return jigsaw(
    encoder,
    projector,
    head,
    views,
    permutations=permutations,
    grid=grid,
    tile=tile,
    gap=gap,
  )
