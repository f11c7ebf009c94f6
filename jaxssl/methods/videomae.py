"""VideoMAE: rebuild most of a clip from the few places that the encoder sees."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.augment.video import tube_mask
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.losses.masked import masked_squared_error
from jaxssl.losses.video import cube_targets
from jaxssl.methods.mae import kept_patches
from jaxssl.methods.pixels import check_ratio, pixel_method
from jaxssl.models.masked import Visible
from jaxssl.models.predictor import first_true
from jaxssl.ops.cubes import Cube, cube_grid, cube_moments, cut_cubes, join_cubes


def videomae(
  net: nn.Module, views: Callable, *, ratio: float = 0.9, normalize: bool = True
) -> Method:
  """VideoMAE (Tong et al., arXiv 2203.12602, section 3).

  A tube mask hides the same places in all frames, so that no cube can be copied from
  the frame before. The encoder computes nothing for the hidden cubes; the loss is the
  mean squared error of these, over the batch.

  Args:
    net: `models.VideoMAE`.
    views: (key, example) -> inputs, of which the first is used, a clip.
    ratio: share of the places that is hidden.
    normalize: whether the pixels to predict are standardised cube by cube.

  Returns:
    The method; `encode` has all cubes, and is what the encoder pools.

  Raises:
    InputError: if `ratio` is not between 0 and 1; when the clips come, if the cubes
      don't fill them, or all places or none would be hidden.
  """
  check_ratio(ratio)
  cube = net.encoder.patch

  def hide(key, clip):
    grid = cube_grid((1, *clip.shape), cube)
    mask = tube_mask(key, grid=grid, ratio=ratio)
    kept = grid[0] * kept_patches(math.prod(grid[1:]), ratio)
    if kept == math.prod(grid):
      raise InputError(f"A ratio of {ratio} hides no place of {grid[1]} x {grid[2]}.")
    index, _ = first_true(~mask, kept)
    return Visible(clip, mask, index)

  def compare(prediction, asked):
    target = cube_targets(asked.image, cube, normalize=normalize)
    return masked_squared_error(prediction, target, asked.mask)

  def draw(prediction, asked):
    parts = asked.image, prediction, asked.mask
    return {"original | seen | rebuilt": rebuilt(*parts, cube=cube, scaled=normalize)}

  return pixel_method(net, views, hide=hide, compare=compare, draw=draw)


def rebuilt(
  clip: jax.Array, prediction: jax.Array, mask: jax.Array, *, cube: Cube, scaled: bool
) -> jax.Array:
  """Original, what was seen, and what was seen with predictions in the gaps.

  Args:
    clip: in [0, 1], [batch, frames, height, width, channels].
    prediction: of all cubes, [batch, cubes, values].
    mask: bool [batch, cubes], True where the prediction is shown.
    cube: frames, rows and columns of a cube.
    scaled: whether predictions are of standardised cubes; they get back the mean and
      the deviation of the true cube.

  Returns:
    Clips in [0, 1], [batch, 3, frames, height, width, channels].
  """
  cubes, grid = cut_cubes(clip, cube), cube_grid(clip.shape, cube)
  if scaled:
    mean, deviation = cube_moments(cubes, cube)
    prediction = prediction * deviation + mean
  gaps = mask[..., None]
  columns = cubes, jnp.where(gaps, 0.5, cubes), jnp.where(gaps, prediction, cubes)
  clips = [join_cubes(x, cube=cube, grid=grid) for x in columns]
  return jnp.clip(jnp.stack(clips, axis=1), 0.0, 1.0)
