"""Patches against loops."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import ops
from jaxssl.errors import InputError

IMAGES = np.random.default_rng(0).normal(size=(2, 6, 4, 3)).astype(np.float32)


def test_patches_are_read_row_by_row():
  got = np.asarray(ops.cut_patches(jnp.asarray(IMAGES), 2))
  assert got.shape == (2, 6, 12)
  for place in range(6):
    row, column = divmod(place, 2)
    square = IMAGES[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
    np.testing.assert_array_equal(got[:, place], square.reshape(2, 12))


def test_joining_undoes_cutting():
  patches = ops.cut_patches(jnp.asarray(IMAGES), 2)
  again = ops.join_patches(patches, patch=2, grid=ops.patch_grid(IMAGES.shape, 2))
  np.testing.assert_array_equal(again, IMAGES)


def test_the_variance_of_a_patch_is_unbiased():
  patches = IMAGES.reshape(2, 6, 12)
  mean, deviation = ops.patch_moments(jnp.asarray(patches))
  np.testing.assert_allclose(mean[..., 0], patches.mean(-1), atol=1e-6)
  expected = np.sqrt(patches.var(-1, ddof=1) + 1e-6)
  np.testing.assert_allclose(deviation[..., 0], expected, rtol=1e-5)


def test_a_flat_patch_has_a_deviation():
  _, deviation = ops.patch_moments(jnp.full((1, 1, 4), 0.5))
  np.testing.assert_allclose(deviation, 1e-3, rtol=1e-5)


def test_bad_shapes_are_refused():
  with pytest.raises(InputError, match="6 x 4 pixels do not split into patches of 4"):
    ops.cut_patches(jnp.asarray(IMAGES), 4)
  with pytest.raises(InputError, match="patches of 0"):
    ops.patch_grid(IMAGES.shape, 0)
  with pytest.raises(InputError, match=r"\[batch, height, width, channels\]"):
    ops.cut_patches(jnp.asarray(IMAGES[0]), 2)
  with pytest.raises(InputError, match="one value"):
    ops.patch_moments(jnp.zeros((2, 3, 1)))
