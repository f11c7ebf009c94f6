"""Clips: what happens to all frames alike, pieces of time, motion, tube masks.

A view of a clip is `(key, clip) -> clip`, float32 [frames, height, width, channels] in
[0, 1].
"""

import jax
import jax.numpy as jnp

from jaxssl.augment.image import Size
from jaxssl.augment.masks import random_mask
from jaxssl.augment.random_image import Range
from jaxssl.augment.recipes import crop_view
from jaxssl.augment.steps import jitter
from jaxssl.augment.views import View, compose
from jaxssl.errors import InputError
from jaxssl.ops.cubes import Cube


def per_clip(view: View) -> View:
  """Does the same to every frame of a clip: one crop, one flip, one set of colours.

  Args:
    view: (key, image) -> image, such as `crop_view(32, scale=(0.5, 1.0))`.

  Returns:
    (key, clip) -> clip; every frame gets the clip's key.
  """
  return lambda key, clip: jax.vmap(view, in_axes=(None, 0))(key, clip)


def per_frame(view: View) -> View:
  """Draws anew for every frame: against shortcuts by what frames have in common.

  Args:
    view: (key, image) -> image.

  Returns:
    (key, clip) -> clip; frame i gets a key of its own.
  """
  return lambda key, clip: jax.vmap(view)(jax.random.split(key, len(clip)), clip)


def video_view(
  size: Size,
  *,
  scale: Range = (0.5, 1.0),
  flip_probability: float = 0.5,
  brightness: float = 0.4,
  contrast: float = 0.4,
  saturation: float = 0.4,
  hue: float = 0.1,
  jitter_probability: float = 0.8,
) -> View:
  """Crop, flip and colour jitter, the same for all frames of a clip.

  Args:
    size: rows and columns of the view, or one number.
    scale: (low, high) share of the area that is cropped.
    flip_probability: of a mirror image; 0 where left and right mean something.
    brightness: as in `color_jitter`, as the next three.
    contrast: as brightness.
    saturation: as brightness.
    hue: 0 to 0.5, in turns.
    jitter_probability: that there is any jitter.

  Returns:
    (key, clip) -> clip.
  """
  amounts = (brightness, contrast, saturation, hue)
  crop = crop_view(size, scale=scale, flip_probability=flip_probability)
  colors = jitter(*amounts, probability=jitter_probability)
  return per_clip(compose(crop, colors))


def random_piece(
  key: jax.Array, clip: jax.Array, *, frames: int, every: int = 1
) -> jax.Array:
  """A piece of a clip that starts anywhere.

  Args:
    key: PRNG key.
    clip: [frames of the clip, height, width, channels].
    frames: of the piece.
    every: the piece takes every so many frames.

  Returns:
    [frames, height, width, channels].

  Raises:
    InputError: if the clip is too short.
  """
  free = len(clip) - (frames - 1) * every
  if min(frames, every, free) < 1:
    raise InputError(
      f"{frames} frames, every {every} of a clip of {len(clip)}: it is too short"
    )
  start = jax.random.randint(key, (), 0, free)
  return clip[start + every * jnp.arange(frames)]


def motion(clip: jax.Array) -> jax.Array:
  """How much moves from frame to frame: the mean squared difference.

  The cheap substitute for the magnitude of optical flow in shuffle-and-learn.

  Args:
    clip: [frames, height, width, channels].

  Returns:
    float32 [frames - 1].
  """
  change = jnp.diff(clip.astype(jnp.float32), axis=0)
  return jnp.mean(jnp.square(change), axis=(1, 2, 3))


def motion_window(key: jax.Array, clip: jax.Array, *, frames: int) -> jax.Array:
  """Draws where a window starts, windows of much motion more often.

  Args:
    key: PRNG key.
    clip: [frames of the clip, height, width, channels].
    frames: of the window, 2 or more.

  Returns:
    int32 [], the first frame; the probability of a window is in proportion to the
    motion in it, and uniform where nothing moves.

  Raises:
    InputError: if the clip is too short.
  """
  windows = len(clip) - frames + 1
  if frames < 2 or windows < 1:
    raise InputError(f"a window of {frames} frames in a clip of {len(clip)}")
  moved = jnp.concatenate([jnp.zeros(1), jnp.cumsum(motion(clip))])
  energy = moved[frames - 1 :] - moved[:windows]
  still = jnp.max(energy) < 1e-12
  energy = jnp.where(still, 1.0, jnp.maximum(energy, 1e-12))
  return jax.random.categorical(key, jnp.log(energy)).astype(jnp.int32)


def ordered_frames(key: jax.Array, *, start: jax.Array, span: int, count: int):
  """Draws different frames of a window, in the order of time.

  Args:
    key: PRNG key.
    start: int32 [], the window's first frame.
    span: frames of the window.
    count: how many are drawn, at most `span`.

  Returns:
    int32 [count], rising.
  """
  drawn = jax.random.permutation(key, span)[:count]
  return start + jnp.sort(drawn).astype(jnp.int32)


def tube_mask(key: jax.Array, *, grid: Cube, ratio: float) -> jax.Array:
  """Masks the same places in all frames: VideoMAE (arXiv 2203.12602, section 3.3).

  Args:
    key: PRNG key.
    grid: how many cubes lie along frames, rows and columns.
    ratio: share of the places that is masked, 0.9 in the paper.

  Returns:
    bool [cubes], True where masked, as many in each frame; those of the first frames
    come first.

  Raises:
    InputError: if `ratio` is no share.
  """
  place = random_mask(key, grid=tuple(grid[1:]), ratio=ratio)
  return jnp.tile(place, grid[0])
