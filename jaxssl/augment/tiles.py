"""Tiles of an image, and what hides from a net where in the image a tile was.

Whoever is asked for the place of a tile finds shortcuts that say nothing of what the
image shows: edges that go on across a border (leave a gap, move each tile), the colour
fringes of lenses, which grow towards the corners (drop colours), brightness that falls
off from one side to the other (`models.Standardized`), and the sharpness of a camera
(lower the resolution).
"""

import jax
import jax.numpy as jnp

from jaxssl.augment.image import Size, bilinear, check_image, check_size
from jaxssl.errors import InputError


def random_tiles(
  key: jax.Array, image: jax.Array, *, grid: tuple[int, int], tile: Size, gap: int
) -> jax.Array:
  """One tile from a random place in each cell of a grid.

  Every tile moves by itself, over all places that keep `gap` pixels to any tile of
  another cell. Jigsaw has tiles of 64 in cells of 85 and a gap of 0 (arXiv
  1603.09246, and VISSL); relative patches have tiles of 96 in cells of 144 and a gap
  of 34: one of 48, less 7 of jitter on both sides (arXiv 1505.05192).

  Args:
    key: PRNG key.
    image: [height, width, channels]; rows and columns that don't fill a cell are left
      out.
    grid: rows and columns of cells.
    tile: rows and columns of a tile in pixels, or one number.
    gap: least number of pixels between two tiles.

  Returns:
    [grid rows * grid columns, *tile, channels], row by row.

  Raises:
    InputError: if tile and gap together don't fit a cell.
  """
  check_image(image)
  height, width = check_size(tile)
  rows, columns = check_size(grid)
  down = _free(image.shape[0], rows, height, gap)
  across = _free(image.shape[1], columns, width, gap)
  key_down, key_across = jax.random.split(key)
  row, column = jnp.divmod(jnp.arange(rows * columns), columns)
  top = row * (image.shape[0] // rows) + gap // 2
  top += jax.random.randint(key_down, row.shape, 0, down + 1)
  left = column * (image.shape[1] // columns) + gap // 2
  left += jax.random.randint(key_across, row.shape, 0, across + 1)

  def cut(top, left):
    size = (height, width, image.shape[-1])
    return jax.lax.dynamic_slice(image, (top, left, 0), size)

  return jax.vmap(cut)(top, left)


def drop_colors(key: jax.Array, image: jax.Array) -> jax.Array:
  """Keeps one random channel and fills the others with uniform noise.

  Doersch et al., arXiv 1505.05192, section 3.1: what is left has no two channels whose
  shift against each other could be seen. Channels stay in [0, 1]; their means go where
  the net standardises its input. An image of one channel stays as it is.

  Args:
    key: PRNG key.
    image: [height, width, channels] with 1 or 3 channels.

  Returns:
    An image of the same shape.
  """
  check_image(image)
  if image.shape[-1] == 1:
    return image
  key_channel, key_noise = jax.random.split(key)
  kept = jax.random.randint(key_channel, (), 0, image.shape[-1])
  noise = jax.random.uniform(key_noise, image.shape)
  return jnp.where(jnp.arange(image.shape[-1])[None, None] == kept, image, noise)


def random_low_resolution(
  key: jax.Array, image: jax.Array, *, smallest: int, probability: float
) -> jax.Array:
  """Scales the image down and up again, so that it may have any sharpness.

  Doersch et al., arXiv 1505.05192, section 3.1: with a probability of one third, to as
  few as 100 of the 9,216 pixels of a tile. The area of the small image is uniform.

  Args:
    key: PRNG key.
    image: [height, width, channels].
    smallest: shorter side of the smallest image that is scaled up again, in pixels.
    probability: of any of it.

  Returns:
    An image of the same shape.

  Raises:
    InputError: if `smallest` is no side from 1 to the image's shorter one, or the
      probability isn't in [0, 1].
  """
  check_image(image)
  height, width = image.shape[:2]
  side = min(height, width)
  if not 1 <= smallest <= side or not 0.0 <= probability <= 1.0:
    raise InputError(
      f"a smallest side of {smallest} with probability {probability} for an image of "
      f"{height} x {width}; pass 1 to {side} pixels, and a number from 0 to 1"
    )
  key_gate, key_area = jax.random.split(key)
  share = (smallest / side) ** 2
  scale = jnp.sqrt(jax.random.uniform(key_area, minval=share, maxval=1.0))
  low = low_resolution(image, scale=scale)
  return jnp.where(jax.random.bernoulli(key_gate, probability), low, image)


def low_resolution(image: jax.Array, *, scale: jax.Array | float) -> jax.Array:
  """Scales an image down, antialiased, and up again, bilinearly both ways.

  Args:
    image: [height, width, channels].
    scale: of the small image's sides, in (0, 1]; may be traced. Sides are rounded to
      whole pixels.

  Returns:
    An image of the same shape.
  """
  check_image(image)
  exact = jax.lax.Precision.HIGHEST
  down, across = (_low_pass(length, scale) for length in image.shape[:2])
  image = jnp.einsum("ih,hwc->iwc", down, image, precision=exact)
  image = jnp.einsum("jw,iwc->ijc", across, image, precision=exact)
  return jnp.clip(image, 0.0, 1.0)  # weights sum to 1 up to rounding


def _low_pass(length, scale):
  """[length, length]: what each old pixel gives to each pixel of the same size."""
  side = jnp.maximum(jnp.round(length * jnp.asarray(scale, jnp.float32)), 1.0)
  pixel = jnp.arange(length, dtype=jnp.float32)
  step = length / side
  center = (pixel + 0.5) * step  # those from `side` on lie outside and count nowhere
  down = bilinear((pixel[None] + 0.5 - center[:, None]) / step)
  down = down / jnp.maximum(jnp.sum(down, axis=1, keepdims=True), 1e-6)
  source = jnp.clip((pixel + 0.5) / step - 0.5, 0.0, side - 1.0)
  up = bilinear(source[:, None] - pixel[None])
  return jnp.matmul(up, down, precision=jax.lax.Precision.HIGHEST)


def _free(length, cells, tile, gap):
  """Pixels over which a tile may move inside its cell."""
  cell = length // cells
  if gap < 0 or tile + gap > cell:
    raise InputError(
      f"tiles of {tile} pixels with a gap of {gap} in {length} pixels of {cells} "
      f"cells; tile and gap together take at most {cell}, and a gap at least 0"
    )
  return cell - tile - gap
