"""Views that know where in the image they come from, for VICRegL."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.augment.image import (
  Size,
  bicubic,
  check_image,
  check_size,
  crop_and_resize,
  flip_left_right,
)
from jaxssl.augment.random_image import Range, Window, crop_window
from jaxssl.augment.steps import byol_colors
from jaxssl.augment.views import View, compose
from jaxssl.errors import InputError
from jaxssl.ops.numerics import to_float


class Located(NamedTuple):
  """A view and where the cells of a grid over it lie in the original image.

  Attributes:
    image: [rows, columns, channels].
    positions: [grid rows, grid columns, 2], (down, right) of the centre of each cell,
      0 at the original's upper left and 1 at its lower right corner.
  """

  image: jax.Array
  positions: jax.Array


def located_view(
  size: Size,
  *,
  grid: Size,
  scale: Range,
  ratio: Range = (3 / 4, 4 / 3),
  flip_probability: float = 0.5,
  recolor: View,
) -> View:
  """A bicubic crop and flip that keeps positions, then colours.

  Args:
    size: rows and columns of the view, or one number.
    grid: rows and columns of the encoder's patches of such a view, or one number.
    scale: (low, high) share of the area that is cropped.
    ratio: (low, high) width / height of the crop.
    flip_probability: of a mirror image.
    recolor: (key, image) -> image, must move nothing.

  Returns:
    (key, image) -> Located.

  Raises:
    InputError: if a size or, when traced, another option is out of its range.
  """
  size, grid = check_size(size), check_size(grid)
  if not 0.0 <= flip_probability <= 1.0:
    raise InputError(f"flip_probability {flip_probability}; pass a number from 0 to 1")

  def view(key: jax.Array, image: jax.Array) -> Located:
    image = to_float(image)
    check_image(image)
    shape = image.shape[:2]
    key_window, key_flip, key_color = jax.random.split(key, 3)
    window = crop_window(key_window, shape=shape, scale=scale, ratio=ratio)
    flip = jax.random.bernoulli(key_flip, flip_probability)
    part = crop_and_resize(image, **window._asdict(), size=size, resampling=bicubic)
    part = jnp.where(flip, flip_left_right(part), part)
    positions = grid_positions(window, shape=shape, grid=grid)
    positions = jnp.where(flip, positions[:, ::-1], positions)
    return Located(recolor(key_color, part), positions)

  return view


def grid_positions(
  window: Window, *, shape: tuple[int, int], grid: tuple[int, int]
) -> jax.Array:
  """Where the centres of the cells of a grid over a window lie in the image.

  Args:
    window: the rectangle, in pixels.
    shape: rows and columns of the image.
    grid: rows and columns of the grid.

  Returns:
    [*grid, 2], (down, right) in shares of the image's sides.
  """
  down = (window.top + _centers(grid[0]) * window.height) / shape[0]
  right = (window.left + _centers(grid[1]) * window.width) / shape[1]
  return jnp.stack(jnp.meshgrid(down, right, indexing="ij"), axis=-1)


def vicregl_views(
  size: Size,
  *,
  grid: Size,
  scale: Range = (0.08, 1.0),
  blur_probability: tuple[float, float] = (1.0, 0.1),
  solarize_probability: tuple[float, float] = (0.0, 0.2),
) -> tuple[View, View]:
  """VICRegL: BYOL's two views with positions (arXiv 2210.01571, section 3).

  Args:
    size: rows and columns of the views, or one number.
    grid: rows and columns of the encoder's patches, or one number.
    scale: (low, high) share of the area that is cropped.
    blur_probability: of the first and of the second view; 0 on CIFAR.
    solarize_probability: of the first and of the second view.

  Returns:
    Two functions (key, image) -> Located.
  """
  build = partial(located_view, size, grid=grid, scale=scale)
  first, second = (
    build(
      recolor=compose(
        *byol_colors(size, blur_probability=blurred, solarize_probability=inverted)
      )
    )
    for blurred, inverted in zip(blur_probability, solarize_probability, strict=True)
  )
  return first, second


def _centers(count):
  return (jnp.arange(count, dtype=jnp.float32) + 0.5) / count
