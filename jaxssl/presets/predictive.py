"""What the experiments with tiles share."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxssl.augment import random_tiles


def check_tiles(
  view: tuple[int, int, int], *, grid: tuple[int, int], tile: int, gap: int
) -> None:
  """Checks that tiles fit the views before anything is traced.

  Args:
    view: height, width and channels of the views.
    grid: rows and columns of cells.
    tile: side of a tile in pixels.
    gap: least number of pixels between two tiles.

  Raises:
    InputError: if tile and gap together don't fit a cell.
  """
  cut = partial(random_tiles, grid=grid, tile=tile, gap=gap)
  jax.eval_shape(cut, jax.random.key(0), jax.ShapeDtypeStruct(view, jnp.float32))
