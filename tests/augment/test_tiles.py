"""Tiles: where they lie, and that what would betray their places is gone."""

from functools import partial

import jax
import numpy as np
import pytest

from jaxssl import augment
from jaxssl.errors import InputError
from tests.augment.examples import noise

DRAWS = 200
SIDE, GRID, TILE, GAP = 36, (3, 3), 8, 1  # cells of 12: a tile may move by 3


def keys(count, seed=0):
  return jax.random.split(jax.random.key(seed), count)


def corners():
  """Upper left corners of the tiles of many draws, [DRAWS, rows, columns, 2]."""
  row, column = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
  where = np.stack([row, column, row], axis=-1).astype(np.float32) / 64
  cut = partial(augment.random_tiles, grid=GRID, tile=TILE, gap=GAP)
  tiles = np.asarray(jax.jit(jax.vmap(cut, in_axes=(0, None)))(keys(DRAWS), where))
  assert tiles.shape == (DRAWS, 9, TILE, TILE, 3)
  found = (64 * tiles[:, :, 0, 0, :2]).astype(int)
  inside = found[:, :, None, None] + np.indices((TILE, TILE)).transpose(1, 2, 0)
  np.testing.assert_array_equal(64 * tiles[..., :2], inside)  # whole windows
  return found.reshape(DRAWS, 3, 3, 2)


def test_neighbouring_tiles_never_touch():
  found = corners()
  down = found[:, 1:, :, 0] - found[:, :-1, :, 0] - TILE
  right = found[:, :, 1:, 1] - found[:, :, :-1, 1] - TILE
  assert down.min() == right.min() == GAP
  assert down.max() == right.max() == GAP + 6


def test_every_tile_moves_by_itself_and_over_all_places():
  cell = SIDE // 3 * np.stack(np.indices(GRID), axis=-1)
  moves = (corners() - cell).reshape(DRAWS, -1)
  for tile in moves.T:
    assert set(tile) == {0, 1, 2, 3}
  together = np.corrcoef(moves.T) - np.eye(moves.shape[1])
  assert np.abs(together).max() < 0.3  # 4 deviations of 200 independent draws


def test_tiles_of_an_uneven_grid_are_row_by_row():
  image = noise(0, 9, 20, 1)
  tiles = augment.random_tiles(
    jax.random.key(0), image, grid=(2, 3), tile=(4, 6), gap=0
  )
  blocks = [image[r : r + 4, c : c + 6] for r in (0, 4) for c in (0, 6, 12)]
  np.testing.assert_array_equal(tiles, np.stack(blocks))


@pytest.mark.parametrize("tile, gap", [(13, 0), (12, 1), (8, -1), ((13, 2), 0)])
def test_tiles_that_do_not_fit_are_refused(tile, gap):
  with pytest.raises(InputError, match="at most 12"):
    augment.random_tiles(
      jax.random.key(0), noise(0, SIDE, SIDE, 3), grid=GRID, tile=tile, gap=gap
    )


def dropped(images, seed=1):
  return np.asarray(
    jax.jit(jax.vmap(augment.drop_colors))(keys(len(images), seed), images)
  )


def test_one_channel_is_left_and_each_as_often():
  images = noise(2, 300, 6, 6, 3)
  kept = (dropped(images) == images).all(axis=(1, 2))
  np.testing.assert_array_equal(kept.sum(1), 1)
  assert kept.sum(0).min() > 70 and kept.sum(0).max() < 130


def test_grey_images_have_no_color_to_drop():
  images = noise(2, 4, 6, 6, 1)
  np.testing.assert_array_equal(dropped(images), images)


def fringe(tiles):
  """Shift at which red and green agree best, of -1, 0 and 1 columns; by tile."""
  red, green = tiles[:, :, 1:-1, 0], tiles[..., 1]
  width = green.shape[2]
  shifted = [green[:, :, 1 + s : width - 1 + s] for s in (-1, 0, 1)]
  return np.argmax([correlation(red, x) for x in shifted], axis=0) - 1


def correlation(a, b):
  a, b = (x.reshape(len(x), -1) - x.mean((1, 2))[:, None] for x in (a, b))
  return (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))


def test_color_fringes_tell_the_place_and_are_gone_without_colors():
  """A lens shifts red outwards: one column left in tiles of the left, right there."""
  texture = noise(3, DRAWS, 10, 12)
  side = np.where(np.arange(DRAWS) % 2, 1, -1)
  red = np.stack([np.roll(x, -s, axis=1) for x, s in zip(texture, side, strict=True)])
  tiles = np.stack([red, texture, texture], axis=-1)
  assert np.mean(fringe(tiles) == side) == 1.0
  assert np.mean(fringe(dropped(tiles)) == side) < 0.45  # a third by chance


@pytest.mark.parametrize(
  "scale, sides", [(0.5, (6, 5)), (1.0, (12, 10)), (0.3, (4, 3))]
)
def test_low_resolution_is_down_and_up(scale, sides):
  image = noise(4, 12, 10, 3)
  window = {"top": 0, "left": 0}
  small = augment.crop_and_resize(image, **window, height=12, width=10, size=sides)
  large = augment.crop_and_resize(
    small, **window, height=sides[0], width=sides[1], size=(12, 10)
  )
  got = jax.jit(augment.low_resolution)(image, scale=scale)
  np.testing.assert_allclose(got, large, atol=2e-6)


def test_a_third_of_the_tiles_lose_resolution():
  image = noise(5, 9, 9, 1)
  lower = partial(augment.random_low_resolution, smallest=3, probability=1 / 3)
  drawn = np.asarray(jax.jit(jax.vmap(lower, in_axes=(0, None)))(keys(300), image))
  assert 70 < (drawn == image).all(axis=(1, 2, 3)).sum() - 100 < 130
  least = np.abs(drawn - image).max(axis=(1, 2, 3)).max()
  lowest = augment.low_resolution(image, scale=3 / 9)
  np.testing.assert_allclose(least, np.abs(lowest - image).max(), atol=0.1)


@pytest.mark.parametrize("smallest, probability", [(0, 0.5), (10, 0.5), (3, 1.5)])
def test_impossible_resolutions_are_refused(smallest, probability):
  with pytest.raises(InputError, match="pass 1 to 9 pixels"):
    augment.random_low_resolution(
      jax.random.key(0),
      noise(5, 9, 9, 1),
      smallest=smallest,
      probability=probability,
    )
