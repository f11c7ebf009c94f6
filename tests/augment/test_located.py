"""Located views, against images whose pixels hold their own coordinates."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import augment
from jaxssl.errors import InputError
from tests.augment.examples import noise

HEIGHT, WIDTH = 40, 50


def keep(key, image):
  return image


def coordinates():
  """The centres of the pixels in shares of the sides; the third channel is 0."""
  down = (np.arange(HEIGHT) + 0.5) / HEIGHT
  right = (np.arange(WIDTH) + 0.5) / WIDTH
  grid = np.stack(np.meshgrid(down, right, indexing="ij"), axis=-1)
  return np.pad(grid, [(0, 0), (0, 0), (0, 1)]).astype(np.float32)


def located(count=64, **options):
  options = {"scale": (0.2, 0.8), "recolor": keep} | options
  view = jax.vmap(augment.located_view(**options), in_axes=(0, None))
  return jax.jit(view)(jax.random.split(jax.random.key(0), count), coordinates())


@pytest.mark.parametrize("flip", [0.0, 0.5, 1.0])
def test_positions_are_what_the_pixels_show(flip):
  """An enlarged view's pixel in the middle of a cell shows its own coordinates."""
  image, positions = located(size=(45, 63), grid=(5, 7), flip_probability=flip)
  image = image[:, 4::9, 4::9]
  inner = np.s_[:, 1:-1, 1:-1]  # the borders of a window are resampled one-sidedly
  np.testing.assert_allclose(positions[inner], image[..., :2][inner], atol=1e-5)
  flipped = np.asarray(positions[:, 0, 0, 1] > positions[:, 0, -1, 1])
  np.testing.assert_array_equal(
    flipped, np.asarray(image[:, 2, 1, 1] > image[:, 2, -2, 1])
  )
  assert abs(flipped.mean() - flip) < 0.3 and (0.0 < flip < 1.0 or flipped.std() == 0)


def test_cells_are_means_of_their_pixels():
  """A grid coarser than the view: the mean coordinates of each cell's pixels."""
  image, positions = located(size=24, grid=3)
  cells = np.asarray(image[..., :2]).reshape(-1, 3, 8, 3, 8, 2).mean((2, 4))
  np.testing.assert_allclose(positions, cells, atol=5e-3)


def test_positions_of_a_window():
  window = augment.Window(*(jnp.float32(x) for x in (10, 0, 20, 50)))
  grid = augment.grid_positions(window, shape=(40, 50), grid=(2, 1))
  np.testing.assert_allclose(grid, [[[0.375, 0.5]], [[0.625, 0.5]]])


def test_views_differ_and_a_batch_equals_its_rows():
  view = augment.located_view(8, grid=2, scale=(0.2, 0.8), recolor=keep)
  keys = jax.random.split(jax.random.key(0), 64)
  batch = located(size=8, grid=2)
  for i in range(4):
    one = view(keys[i], coordinates())
    np.testing.assert_allclose(one.image, batch.image[i], atol=1e-5)
    np.testing.assert_allclose(one.positions, batch.positions[i], atol=1e-6)
  assert len(np.unique(np.asarray(batch.positions), axis=0)) > 50


def test_recoloring_has_a_key_of_its_own_and_leaves_positions():
  noisy = partial(augment.gaussian_noise, deviation=0.1)
  plain, changed = located(size=8, grid=2), located(size=8, grid=2, recolor=noisy)
  np.testing.assert_array_equal(plain.positions, changed.positions)
  added = np.asarray(changed.image - plain.image)
  assert added.std() > 0.05 and len(np.unique(added, axis=0)) == len(added)


def test_vicregl_views_of_bytes():
  image = np.round(255 * noise(0, 16, 16, 3)).astype(np.uint8)
  views = augment.two_views(*augment.vicregl_views(12, grid=3))
  for made in jax.eval_shape(views, jax.random.key(0), image):
    assert made.image.shape == (12, 12, 3) and made.image.dtype == jnp.float32
    assert made.positions.shape == (3, 3, 2)


@pytest.mark.parametrize(
  "options",
  [{"size": 0}, {"grid": (2, 0)}, {"flip_probability": 1.5}, {"scale": (0.5, 2.0)}],
)
def test_bad_options(options):
  options = {"size": 8, "grid": 2, "scale": (0.5, 1.0), "recolor": keep} | options
  with pytest.raises(InputError, match="size|flip_probability|scale"):
    augment.located_view(**options)(jax.random.key(0), coordinates())
