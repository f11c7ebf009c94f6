"""Histograms of oriented gradients: what MaskFeat predicts of hidden patches."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError
from jaxssl.ops.numerics import l2_normalize, to_float

SOBEL = (1.0, 2.0, 1.0)


def hog(
  images: jax.Array,
  *,
  cell: int = 8,
  bins: int = 9,
  smooth: tuple[float, float, float] = SOBEL,
) -> jax.Array:
  """Histograms of oriented gradients as MaskFeat computes them.

  Wei et al., arXiv 2112.09133, section 3.2, and the official code. Each channel has
  its own. The gradient is a central difference, the border is reflected. A pixel votes
  with the gradient's length for the one bin of its unsigned direction: bin i covers
  the angles from i to i + 1 times pi / bins, from straight down towards the right. The
  votes of a cell are summed and scaled to unit length, cell by cell: there are no
  blocks that overlap. A cell without any gradient is 0.

  Args:
    images: [batch, height, width, channels], float, or uint8.
    cell: side of a cell in pixels, which divides height and width.
    bins: directions in half a turn.
    smooth: weights of the three rows (or columns) across a difference: those of the
      Sobel filter of the official code; (0, 1, 0) is the plain difference of Dalal and
      Triggs 2005.

  Returns:
    float32 [batch, height / cell, width / cell, channels * bins], channels outermost.

  Raises:
    InputError: if the cells don't divide the images, or an option is out of range.
  """
  _check(images, cell, bins)
  across, down = _gradients(to_float(images).astype(jnp.float32), smooth)
  angle = jnp.arctan2(across, down) / np.float32(np.pi) * bins
  bin_of = jnp.floor(angle).astype(jnp.int32) % bins
  length = jnp.hypot(across, down)
  votes = length[..., None] * jax.nn.one_hot(bin_of, bins, dtype=jnp.float32)
  batch, height, width, channels = images.shape
  shape = (batch, height // cell, cell, width // cell, cell, channels, bins)
  cells = l2_normalize(votes.reshape(shape).sum((2, 4)))
  return cells.reshape(*cells.shape[:3], channels * bins)


def hog_picture(cells: jax.Array, *, cell: int, bins: int = 9) -> jax.Array:
  """Draws histograms as strokes along the edges, for people to look at.

  Each cell shows one line per bin through its middle, at right angles to the
  gradient, as bright as the bin's share; channels are averaged, negative entries (of
  predictions) are 0.

  Args:
    cells: as `hog` returns them, [batch, rows, columns, channels * bins].
    cell: side of a cell in pixels.
    bins: directions in half a turn.

  Returns:
    float32 [batch, rows * cell, columns * cell, 1] in [0, 1].
  """
  batch, rows, columns, _ = cells.shape
  shares = jnp.clip(cells.reshape(batch, rows, columns, -1, bins).mean(3), 0.0, 1.0)
  drawn = jnp.einsum("brcn,nyx->brycx", shares, _strokes(cell, bins))
  return jnp.clip(drawn.reshape(batch, rows * cell, columns * cell, 1), 0.0, 1.0)


def _strokes(cell, bins):
  """One line per bin, float32 [bins, cell, cell]."""
  angle = (np.arange(bins) + 0.5) * np.pi / bins  # of the gradient, from the vertical
  place = np.arange(cell) - (cell - 1) / 2
  along = np.sin(angle)[:, None, None] * place  # [bins, 1, x]
  distance = along + np.cos(angle)[:, None, None] * place[:, None]
  return np.clip(1.0 - np.abs(distance), 0.0, 1.0).astype(np.float32)


def _gradients(x, smooth):
  """Differences across columns and down rows, each [batch, height, width, channels]."""
  x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
  across = x[:, :, 2:] - x[:, :, :-2]
  down = x[:, 2:] - x[:, :-2]
  height, width = down.shape[1], across.shape[2]
  rows = [w * across[:, i : i + height] for i, w in enumerate(smooth)]
  columns = [w * down[:, :, i : i + width] for i, w in enumerate(smooth)]
  return sum(rows), sum(columns)


def _check(images, cell, bins):
  if images.ndim != 4 or min(images.shape[1:3]) < 2:
    raise InputError(
      "Images must be [batch, height, width, channels] of 2 x 2 pixels or more; got "
      f"shape {images.shape}."
    )
  if cell < 1 or images.shape[1] % cell or images.shape[2] % cell:
    raise InputError(
      f"Cells of {cell} pixels do not divide images of {images.shape[1]} x "
      f"{images.shape[2]}; both sides must be multiples of the cell."
    )
  if bins < 2:
    raise InputError(f"A histogram needs 2 bins or more, not {bins}.")
