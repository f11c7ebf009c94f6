"""Windows of clips with sound, in time and out of time."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.augment.views import Views, many_views
from jaxssl.data.sounding import Sounding
from jaxssl.errors import InputError


class Moment(NamedTuple):
  """A window of a clip, its own sound, and sound of other times of the same clip.

  Attributes:
    clip: float in [0, 1], [frames, height, width, channels].
    waves: [1 + shifted, samples]; the first is that of the window.
  """

  clip: jax.Array
  waves: jax.Array


def sounding_window(
  key: jax.Array, example: Sounding, *, frames: int, shifted: int
) -> Moment:
  """Cuts a window at a random time, and sounds that do not overlap with it.

  Korbar et al., arXiv 1807.00230, section 3.2: hard negatives are of the same video, at
  another time; those that overlap are too hard.

  Args:
    key: PRNG key.
    example: clip and wave.
    frames: of the window; with `shifted`, at most a third of the clip's.
    shifted: sounds of other times, drawn one by one.

  Returns:
    The window.

  Raises:
    InputError: if the clip is too short, or its samples are not a whole number a frame.
  """
  total, samples = example.clip.shape[0], example.wave.shape[0]
  least = 3 * frames if shifted else frames
  if frames < 1 or total < least or samples % total:
    raise InputError(
      f"windows of {frames} frames with {shifted} shifted sounds need clips of {least} "
      f"frames, each with a whole number of samples; got {total} and {samples} samples"
    )
  key_start, key_shift = jax.random.split(key)
  starts = jnp.arange(total - frames + 1)
  start = jax.random.randint(key_start, (), 0, len(starts))
  apart = jnp.abs(starts - start) >= frames
  odds = jnp.where(apart, 0.0, -jnp.inf)
  others = jax.random.categorical(key_shift, odds, shape=(shifted,)) if shifted else ()
  each = samples // total
  listen = lambda at: jax.lax.dynamic_slice_in_dim(
    example.wave, at * each, frames * each
  )
  waves = [listen(start), *(listen(others[i]) for i in range(shifted))]
  clip = jax.lax.dynamic_slice_in_dim(example.clip, start, frames)
  return Moment(clip, jnp.stack(waves))


def window_views(*, frames: int, shifted: int = 0) -> Views:
  """Returns views(key, example) -> (window,), by `sounding_window`."""
  return many_views(partial(sounding_window, frames=frames, shifted=shifted))
