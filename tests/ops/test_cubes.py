"""Cubes of clips."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import ops
from jaxssl.errors import InputError


def test_cubes_and_back():
  clips = jnp.arange(2 * 4 * 4 * 6 * 3, dtype=jnp.float32).reshape(2, 4, 4, 6, 3)
  cube = (2, 2, 3)
  grid = ops.cube_grid(clips.shape, cube)
  assert grid == (2, 2, 2)
  cubes = ops.cut_cubes(clips, cube)
  assert cubes.shape == (2, 8, 2 * 2 * 3 * 3)
  np.testing.assert_array_equal(cubes[1, 5], clips[1, 2:, :2, 3:].reshape(-1))
  np.testing.assert_array_equal(ops.join_cubes(cubes, cube=cube, grid=grid), clips)


def test_a_cube_of_one_frame_is_a_patch():
  clips = jnp.arange(2 * 1 * 4 * 4, dtype=jnp.float32).reshape(2, 1, 4, 4, 1)
  expected = ops.cut_patches(clips[:, 0], 2)
  np.testing.assert_array_equal(ops.cut_cubes(clips, (1, 2, 2)), expected)


def test_what_does_not_split_is_refused():
  with pytest.raises(InputError, match="5 frames of 4 x 4"):
    ops.cube_grid((1, 5, 4, 4, 1), (2, 2, 2))
  with pytest.raises(InputError, match="frames, height, width"):
    ops.cut_cubes(jnp.ones((1, 4, 4, 1)), (1, 2, 2))
  with pytest.raises(InputError, match="one pixel"):
    ops.cube_moments(jnp.ones((1, 4, 3)), (1, 1, 1))
