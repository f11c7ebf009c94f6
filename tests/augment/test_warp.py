"""Warps of small images, against their definition and scipy's interpolation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from sklearn.datasets import load_digits

from jaxssl.augment.warp import random_warp, warp
from jaxssl.errors import InputError

STILL = {"shift": jnp.zeros(2), "displacement": jnp.zeros((3, 3, 2))}
OPTIONS = {"rotation": 20.0, "scale": 1.3, "shift": 1.2, "shear": 0.4, "elastic": 0.7}


def digit(i=0):
  return jnp.asarray(load_digits().images[i][..., None] / 16, jnp.float32)


def test_no_movement_is_the_image():
  np.testing.assert_allclose(
    warp(digit(), matrix=jnp.eye(2), **STILL), digit(), atol=1e-6
  )


def test_whole_pixels_move_the_image():
  options = STILL | {"shift": jnp.asarray([2.0, -1.0])}
  moved = warp(digit(), matrix=jnp.eye(2), **options)
  np.testing.assert_allclose(moved[:-2, 1:], digit()[2:, :-1], atol=1e-6)
  np.testing.assert_allclose(moved[-2:], 0, atol=1e-6)


def test_a_quarter_turn_is_rot90():
  turned = warp(digit(), matrix=jnp.asarray([[0.0, 1.0], [-1.0, 0.0]]), **STILL)
  np.testing.assert_allclose(turned, jnp.rot90(digit()), atol=1e-6)


def test_an_oblong_image_agrees_with_scipy():
  rng = np.random.default_rng(0)
  image = rng.uniform(size=(7, 9, 2)).astype(np.float32)
  matrix, shift = rng.normal(size=(2, 2)).astype(np.float32), np.float32([0.3, -0.8])
  got = warp(
    jnp.asarray(image),
    matrix=jnp.asarray(matrix),
    shift=jnp.asarray(shift),
    displacement=jnp.zeros((3, 3, 2)),
  )
  centre = np.asarray([3.0, 4.0])
  grid = np.stack(np.meshgrid(np.arange(7), np.arange(9), indexing="ij"), -1) - centre
  at = np.moveaxis(grid @ matrix.T + shift + centre, -1, 0)
  for c in range(2):
    expected = map_coordinates(
      np.pad(image[..., c], 1), at + 1, order=1, mode="constant"
    )
    np.testing.assert_allclose(got[..., c], expected, atol=1e-5)


def test_a_constant_displacement_is_a_shift():
  move = jnp.asarray([0.5, -0.25])
  by_points = STILL | {"displacement": jnp.broadcast_to(move, (3, 3, 2))}
  by_shift = STILL | {"shift": move}
  np.testing.assert_allclose(
    warp(digit(), matrix=jnp.eye(2), **by_points),
    warp(digit(), matrix=jnp.eye(2), **by_shift),
    atol=1e-6,
  )


def test_nothing_random_is_the_image():
  still = {"rotation": 0.0, "scale": 1.0, "shift": 0.0, "shear": 0.0, "elastic": 0.0}
  np.testing.assert_allclose(
    random_warp(jax.random.key(0), digit(), **still), digit(), atol=1e-6
  )


def test_vmap_is_a_loop_and_keys_matter():
  keys = jax.random.split(jax.random.key(0), 4)
  warped = jax.vmap(lambda key: random_warp(key, digit(), **OPTIONS))(keys)
  for key, one in zip(keys, warped, strict=True):
    np.testing.assert_allclose(random_warp(key, digit(), **OPTIONS), one, atol=1e-6)
  assert float(jnp.abs(warped[0] - warped[1]).max()) > 0.1
  assert float(warped.min()) >= 0 and float(warped.max()) <= 1


def test_wrong_input_is_refused():
  with pytest.raises(InputError, match="height, width, channels"):
    random_warp(jax.random.key(0), jnp.zeros((8, 8)), **OPTIONS)
  with pytest.raises(InputError, match="scale"):
    random_warp(jax.random.key(0), digit(), **(OPTIONS | {"scale": 0.5}))
