"""Views of clips, pieces of time, motion, tube masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import augment
from jaxssl.errors import InputError


def still(frames=6, side=8):
  """One image again and again."""
  image = jax.random.uniform(jax.random.key(0), (side, side, 3))
  return jnp.tile(image[None], (frames, 1, 1, 1))


def test_all_frames_of_a_clip_are_treated_alike():
  view = jax.jit(augment.video_view(8, scale=(0.3, 1.0), jitter_probability=1.0))
  clip = still()
  made = view(jax.random.key(1), clip)
  np.testing.assert_allclose(made, np.tile(made[:1], (6, 1, 1, 1)), atol=1e-6)
  assert np.abs(made - clip).max() > 0.05
  other = view(jax.random.key(2), clip)
  assert np.abs(made - other).max() > 0.05


def test_per_frame_draws_anew():
  crop = augment.per_frame(augment.crop_view(8, scale=(0.3, 0.5)))
  made = jax.jit(crop)(jax.random.key(1), still())
  assert np.abs(made[0] - made[1]).max() > 0.05


def test_pieces_start_anywhere_and_keep_their_order():
  clip = jnp.arange(9.0)[:, None, None, None]
  keys = jax.random.split(jax.random.key(0), 64)
  cut = lambda key: augment.random_piece(key, clip, frames=3, every=2)
  pieces = np.asarray(jax.vmap(cut)(keys))[..., 0, 0, 0]
  np.testing.assert_array_equal(np.diff(pieces, axis=1), 2)
  assert set(pieces[:, 0]) == {0, 1, 2, 3, 4}
  with pytest.raises(InputError, match="too short"):
    augment.random_piece(keys[0], clip, frames=6, every=2)


def moving_late():
  """Eight frames of which only the last two differ."""
  return jnp.zeros((8, 2, 2, 1)).at[7].set(1.0)


def test_windows_of_motion_are_drawn_and_static_ones_are_not():
  np.testing.assert_allclose(augment.motion(moving_late()), [0] * 6 + [1])
  keys = jax.random.split(jax.random.key(0), 200)
  draw = lambda key, clip: augment.motion_window(key, clip, frames=3)
  starts = jax.vmap(draw, in_axes=(0, None))
  assert set(np.asarray(starts(keys, moving_late())).tolist()) == {5}
  flat = np.bincount(starts(keys, jnp.zeros((8, 2, 2, 1))), minlength=6)
  assert flat.min() > 10  # nothing moves: any window
  with pytest.raises(InputError, match="window of 9"):
    augment.motion_window(keys[0], moving_late(), frames=9)


def test_ordered_frames_are_different_and_in_order():
  keys = jax.random.split(jax.random.key(0), 50)
  start = jnp.int32(2)
  draw = lambda key: augment.ordered_frames(key, start=start, span=5, count=3)
  drawn = np.asarray(jax.vmap(draw)(keys))
  assert (np.diff(drawn, axis=1) > 0).all()
  assert set(drawn.ravel().tolist()) == {2, 3, 4, 5, 6}


def test_a_tube_hides_the_same_places_in_every_frame():
  draw = lambda key: augment.tube_mask(key, grid=(3, 4, 5), ratio=0.9)
  masks = np.asarray(jax.vmap(draw)(jax.random.split(jax.random.key(0), 99)))
  masks = masks.reshape(99, 3, 20)
  assert masks.dtype == bool
  assert (masks == masks[:, :1]).all()
  assert (masks[:, 0].sum(1) == 18).all()
  assert (masks[:, 0].any(0) & ~masks[:, 0].all(0)).all()
