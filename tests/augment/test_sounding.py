"""Windows: the first sound is of the clip's time, the others never overlap with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.augment import sounding_window, window_views
from jaxssl.data import Sounding
from jaxssl.errors import InputError

TOTAL, EACH = 9, 4
# Every frame and every sample is the number of its frame.
NUMBERS = jnp.arange(TOTAL, dtype=jnp.float32)
EXAMPLE = Sounding(
  jnp.broadcast_to(NUMBERS[:, None, None, None], (TOTAL, 2, 2, 1)),
  jnp.repeat(NUMBERS, EACH),
)
KEYS = jax.random.split(jax.random.key(0), 200)


def windows(**options):
  return jax.vmap(lambda key: sounding_window(key, EXAMPLE, **options))(KEYS)


def test_own_sound_first_and_others_apart():
  made = windows(frames=3, shifted=2)
  seen = np.asarray(made.clip[:, :, 0, 0, 0])
  heard = np.asarray(made.waves).reshape(200, 3, 3, EACH)
  np.testing.assert_array_equal(heard[:, 0], np.repeat(seen[..., None], EACH, 2))
  starts = heard[:, :, 0, 0]
  assert (np.abs(starts[:, 1:] - starts[:, :1]) >= 3).all()
  assert set(starts[:, 0].tolist()) == set(range(7))
  assert (starts[:, 1] != starts[:, 2]).any()


def test_a_window_alone_may_be_the_whole_clip():
  made = windows(frames=TOTAL, shifted=0)
  assert made.waves.shape == (200, 1, TOTAL * EACH)


def test_views_turn_bytes_into_floats():
  example = Sounding(jnp.full((6, 2, 2, 1), 255, jnp.uint8), jnp.zeros(12))
  (made,) = window_views(frames=2, shifted=1)(KEYS[0], example)
  assert made.clip.dtype == jnp.float32 and float(made.clip.max()) == 1.0


@pytest.mark.parametrize("options", [(4, 1), (10, 0), (0, 0)])
def test_clips_that_are_too_short(options):
  frames, shifted = options
  with pytest.raises(InputError, match="need clips of"):
    sounding_window(KEYS[0], EXAMPLE, frames=frames, shifted=shifted)
