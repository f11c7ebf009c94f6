"""Histograms of oriented gradients against a loop over pixels."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import ops
from jaxssl.errors import InputError
from jaxssl.ops.hog import SOBEL

PLAIN = (0.0, 1.0, 0.0)


def images(*shape, seed=0):
  return np.random.default_rng(seed).random(shape).astype(np.float32)


def gradient(image, y, x, smooth):
  """Differences across and down at a pixel of [height, width], borders reflected."""
  height, width = image.shape
  row = lambda i: -i if i < 0 else 2 * height - 2 - i if i >= height else i
  column = lambda j: -j if j < 0 else 2 * width - 2 - j if j >= width else j
  at = lambda i, j: float(image[row(i), column(j)])
  across = down = 0.0
  for k, weight in zip((-1, 0, 1), smooth, strict=True):
    across += weight * (at(y + k, x + 1) - at(y + k, x - 1))
    down += weight * (at(y + 1, x + k) - at(y - 1, x + k))
  return across, down


def loop(image, cell, bins, smooth):
  """One image [height, width, channels] by the definition, pixel by pixel."""
  height, width, channels = image.shape
  cells = np.zeros((height // cell, width // cell, channels, bins))
  for y in range(height):
    for x in range(width):
      for c in range(channels):
        across, down = gradient(image[:, :, c], y, x, smooth)
        angle = math.atan2(across, down) % math.pi
        i = int(angle / math.pi * bins) % bins
        cells[y // cell, x // cell, c, i] += math.hypot(across, down)
  norm = np.linalg.norm(cells, axis=-1, keepdims=True)
  unit = cells / np.maximum(norm, 1e-12)
  return unit.reshape(height // cell, width // cell, -1)


@pytest.mark.parametrize(
  "cell, bins, smooth", [(4, 9, SOBEL), (4, 9, PLAIN), (2, 5, SOBEL)]
)
def test_equals_the_loop(cell, bins, smooth):
  batch = images(2, 8, 12, 3)
  got = jax.jit(functools.partial(ops.hog, cell=cell, bins=bins, smooth=smooth))(batch)
  assert got.dtype == jnp.float32
  for i, image in enumerate(batch):
    np.testing.assert_allclose(got[i], loop(image, cell, bins, smooth), atol=1e-5)


def test_a_patch_of_16_pixels_has_108_numbers():
  cells = ops.hog(images(1, 224, 224, 3))
  assert cells.shape == (1, 28, 28, 27)  # and 2 x 2 cells of 27


def test_an_edge_votes_for_its_own_direction_alone():
  step = np.zeros((1, 8, 8, 1), np.float32)
  step[:, :, 4:] = 1.0
  upright = ops.hog(step, cell=8)[0, 0, 0]
  flat = ops.hog(step.transpose(0, 2, 1, 3), cell=8)[0, 0, 0]
  np.testing.assert_allclose(upright, np.eye(9)[4], atol=1e-6)  # half of half a turn
  np.testing.assert_allclose(flat, np.eye(9)[0], atol=1e-6)


def test_brightness_contrast_and_sign_do_not_matter():
  batch = images(2, 8, 8, 2)
  expected = ops.hog(batch, cell=4)
  np.testing.assert_allclose(ops.hog(0.3 * batch + 0.5, cell=4), expected, atol=1e-4)
  np.testing.assert_allclose(ops.hog(1.0 - batch, cell=4), expected, atol=1e-4)


def test_a_flat_image_has_no_direction_and_uint8_is_float():
  np.testing.assert_array_equal(ops.hog(np.full((1, 8, 8, 1), 0.7, np.float32)), 0)
  raw = np.random.default_rng(1).integers(0, 256, (1, 8, 8, 1)).astype(np.uint8)
  floats = (raw / 255).astype(np.float32)
  np.testing.assert_allclose(ops.hog(raw), ops.hog(floats), atol=1e-6)


def test_the_picture_of_an_edge_is_a_line_along_it():
  step = np.zeros((1, 7, 7, 1), np.float32)
  step[:, :, 3:] = 1.0
  drawn = ops.hog_picture(ops.hog(step, cell=7), cell=7)
  assert drawn.shape == (1, 7, 7, 1)
  brightest = np.asarray(drawn[0, :, :, 0])
  np.testing.assert_allclose(brightest[:, 3], 1.0, atol=1e-5)  # upright, in the middle
  assert brightest[:, [0, 6]].max() < 0.5
  unreal = ops.hog_picture(jnp.linspace(-3, 3, 18).reshape(1, 1, 1, 18), cell=4)
  assert unreal.min() >= 0 and unreal.max() <= 1


@pytest.mark.parametrize(
  "shape, options, match",
  [
    ((1, 8, 8, 1), {"cell": 3}, "multiples of the cell"),
    ((1, 8, 8, 1), {"cell": 0}, "multiples of the cell"),
    ((8, 8, 1), {"cell": 4}, "batch, height"),
    ((1, 8, 8, 1), {"bins": 1}, "2 bins"),
  ],
)
def test_bad_input_is_refused(shape, options, match):
  with pytest.raises(InputError, match=match):
    ops.hog(images(*shape), **options)
