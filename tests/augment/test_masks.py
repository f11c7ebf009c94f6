"""Masks of patches: slow loops from the same draws, counts, shapes, independence."""

import math
from functools import partial

import jax
import numpy as np
import pytest

from jaxssl import augment
from jaxssl.augment import masks
from jaxssl.errors import InputError

GRID = (14, 14)
KEY = jax.random.key(0)
BEIT = {"ratio": (75 / 196, 75 / 196), "probability": 1.0}


def keys(count, seed=0):
  return jax.random.split(jax.random.key(seed), count)


def many(mask, count=512):
  return np.asarray(jax.jit(jax.vmap(mask))(keys(count)))


def layouts(count=256, step=0, **options):
  """I-JEPA's masks of one step, context [rows, *grid], targets [rows, n, *grid]."""
  grid = options.setdefault("grid", GRID)
  draw = jax.vmap(partial(augment.ijepa_blocks, **options), in_axes=(None, 0))
  context, targets = jax.jit(draw)(jax.random.key(step), keys(count, seed=1))
  shape = targets.shape[:2]
  return np.asarray(context).reshape(-1, *grid), np.asarray(targets).reshape(
    *shape, *grid
  )


# Single patches and units.


@pytest.mark.parametrize(
  "grid, ratio, unit, masked",
  [
    (GRID, 0.75, 1, 147),
    (GRID, 0.6, 2, 30 * 4),
    ((3, 5), 0.4, 1, 6),
    ((2, 5), 0.7, 1, 7),
    ((4, 4), 0.0, 1, 0),
    ((4, 4), 1.0, 2, 16),
  ],
)
def test_random_masks_have_one_count(grid, ratio, unit, masked):
  drawn = many(partial(augment.random_mask, grid=grid, ratio=ratio, unit=unit), 64)
  assert drawn.shape == (64, math.prod(grid)) and drawn.dtype == bool
  np.testing.assert_array_equal(drawn.sum(1), masked)


def test_random_masks_are_whole_units():
  drawn = many(partial(augment.random_mask, grid=(4, 6), ratio=0.5, unit=2), 32)
  units = drawn.reshape(32, 2, 2, 3, 2)
  assert np.all(units == units[:, :, :1, :, :1])


def test_random_masks_are_uniform():
  drawn = many(partial(augment.random_mask, grid=(4, 4), ratio=0.25), 2048)
  bound = 5 * math.sqrt(0.25 * 0.75 / 2048)
  assert np.abs(drawn.mean(0) - 0.25).max() < bound
  together = (drawn[:, 0] & drawn[:, 1]).mean()
  assert abs(together - 0.25 * 3 / 15) < 5 * math.sqrt(0.05 / 2048)


# Blocks.


def loop_block_mask(key, grid, ratio, probability, aspect):
  """One block after another, from the same uniform numbers."""
  gate, share, blocks = jax.random.split(key, 3)
  share = ratio[0] + (ratio[1] - ratio[0]) * float(jax.random.uniform(share))
  masked = bool(jax.random.bernoulli(gate, probability))
  budget = round(share * math.prod(grid)) if masked else 0
  mask = np.zeros(grid, bool)
  for draw in np.asarray(jax.random.uniform(blocks, (masks.BLOCKS, 4)), np.float64):
    block = loop_block(draw, grid, budget - mask.sum(), aspect)
    if block is not None and 0 < (block & ~mask).sum() <= budget - mask.sum():
      mask |= block
  return mask.reshape(-1)


def loop_block(draw, grid, remaining, aspect):
  least = (min(grid) // 3) ** 2
  area = least + (remaining - least) * draw[0]
  tall = math.exp(math.log(aspect) * (1 - 2 * draw[1]))
  height = max(round(math.sqrt(area * tall)), 1)
  width = max(round(math.sqrt(area / tall)), 1)
  if height >= grid[0] or width >= grid[1]:
    return None
  top = int(draw[2] * (grid[0] - height + 1))
  left = int(draw[3] * (grid[1] - width + 1))
  block = np.zeros(grid, bool)
  block[top : top + height, left : left + width] = True
  return block


@pytest.mark.parametrize("grid", [GRID, (4, 5)])
def test_block_masks_equal_a_loop(grid):
  options = {"grid": grid, "ratio": (0.1, 0.5), "probability": 0.8, "aspect": 0.3}
  drawn = many(partial(augment.block_mask, **options), 24)
  for key, mask in zip(keys(24), drawn, strict=True):
    np.testing.assert_array_equal(mask, loop_block_mask(key, **options))


def test_block_masks_of_ibot():
  """Half the images have none; the others' share is uniform from 0.1 to 0.5."""
  shares = many(partial(augment.block_mask, grid=GRID), 2048).mean(1)
  empty = shares == 0.0
  assert abs(empty.mean() - 0.5) < 5 * 0.5 / math.sqrt(2048)
  shares = shares[~empty]
  assert shares.max() <= 0.5 and 0.05 < shares.min() < 0.13
  assert abs(shares.mean() - 0.3) < 0.02
  assert abs(np.mean(shares < 0.3) - 0.5) < 0.08


def test_block_masks_of_beit():
  counts = many(partial(augment.block_mask, grid=GRID, **BEIT)).sum(1)
  assert counts.max() == 75 and counts.mean() > 72


def test_block_masks_are_blocks():
  """A patch's neighbour is masked far more often than with single patches."""
  drawn = many(partial(augment.block_mask, grid=GRID, **BEIT)).reshape(-1, *GRID)
  pairs = (drawn[:, :, 1:] & drawn[:, :, :-1]).sum() / drawn[:, :, :-1].sum()
  assert pairs > 0.7  # 75 / 196 = 0.38 for single patches


def test_the_aspect_bounds_a_single_block():
  """With an aspect of 1 and a budget of 16 of 196 the first block is a square."""
  options = {"ratio": (16 / 196, 16 / 196), "probability": 1.0, "aspect": 1.0}
  drawn = many(partial(augment.block_mask, grid=GRID, **options), 64)
  drawn = drawn.reshape(-1, *GRID)
  assert np.all(drawn.sum((1, 2)) == 16)
  assert np.all(drawn.any(2).sum(1) == 4) and np.all(drawn.any(1).sum(1) == 4)


@pytest.mark.parametrize("grid", [(2, 2), (4, 4), (2, 7)])
def test_block_masks_of_small_grids(grid):
  options = {"ratio": (0.25, 0.5), "probability": 1.0}
  counts = many(partial(augment.block_mask, grid=grid, **options), 64).sum(1)
  assert counts.min() >= 1 and counts.max() <= math.prod(grid) / 2


# I-JEPA.


@pytest.mark.parametrize("grid", [GRID, (7, 9), (4, 4), (3, 3), (2, 2)])
def test_contexts_and_targets_are_disjoint_and_not_empty(grid):
  context, targets = layouts(grid=grid)
  assert not np.any(context[:, None] & targets)
  assert context.sum((1, 2)).min() >= max(math.ceil(0.05 * math.prod(grid)), 1)
  assert targets.sum((2, 3)).min() >= 1
  assert targets.shape[1] == 4


def is_rectangle(mask):
  return np.array_equal(mask, np.outer(mask.any(1), mask.any(0)))


def test_targets_are_rectangles_of_one_size_a_step():
  for step in range(4):
    _, targets = layouts(count=32, step=step)
    targets = targets.reshape(-1, *GRID)
    assert all(is_rectangle(target) for target in targets)
    sizes = {(t.any(1).sum(), t.any(0).sum()) for t in targets}
    assert len(sizes) == 1
    height, width = sizes.pop()
    assert 24 <= height * width <= 45 and 0.6 < height / width < 1.8


def loop_sizes(step_key):
  """The sizes as the official code computes them: one draw a size."""
  first, second = np.asarray(jax.random.uniform(step_key, (2,)), np.float64)
  area, aspect = int(196 * (0.15 + 0.05 * first)), 0.75 + 0.75 * first
  height = min(round(math.sqrt(area * aspect)), 13)
  width = min(round(math.sqrt(area / aspect)), 13)
  side = min(round(math.sqrt(int(196 * (0.85 + 0.15 * second)))), 13)
  return height, width, side


def test_sizes_come_from_the_step():
  sizes = []
  for step in range(6):
    height, width, side = loop_sizes(jax.random.key(step))
    context, targets = layouts(count=64, step=step)
    assert targets[0, 0].any(1).sum() == height and targets[0, 0].any(0).sum() == width
    assert np.max(context.any(2).sum(1)) <= side
    sizes.append((height, width, side))
  assert len(set(sizes)) > 2


def test_the_context_is_its_block_without_the_targets():
  """All of the block's patches that aren't in a target are in the context."""
  context, targets = layouts(count=64)
  side = loop_sizes(jax.random.key(0))[2]
  for seen, hidden in zip(context, targets.any(1), strict=True):
    blocks = [(top, left) for top in range(15 - side) for left in range(15 - side)]
    outlines = [_square(top, left, side) & ~hidden for top, left in blocks]
    assert any(np.array_equal(seen, outline) for outline in outlines)


def _square(top, left, side):
  block = np.zeros(GRID, bool)
  block[top : top + side, left : left + side] = True
  return block


def test_every_place_is_as_likely():
  """Also the last row and column, which the official code never reaches."""
  _, targets = layouts(count=2048)
  tops = targets[:, 0].any(2).argmax(1)
  last = GRID[0] - targets[0, 0].any(1).sum()
  share = np.bincount(tops, minlength=last + 1) / len(tops)
  assert len(share) == last + 1
  expected = 1 / (last + 1)
  bound = 5 * math.sqrt(expected * (1 - expected) / len(tops))
  assert np.abs(share - expected).max() < bound


def test_a_layout_without_context_falls_back():
  """A context that can't be large enough: one place for all targets, the rest seen."""
  context, targets = layouts(count=8, min_context=0.99)
  np.testing.assert_array_equal(targets, np.stack([targets[:, 0]] * 4, axis=1))
  np.testing.assert_array_equal(context, ~targets[:, 0])


# All of them.

EVERY = {
  "random": partial(augment.random_mask, grid=(4, 6), ratio=0.6),
  "block": partial(augment.block_mask, grid=(4, 6), probability=1.0),
  "ijepa": lambda key: augment.ijepa_blocks(KEY, key, grid=(4, 6)),
}


@pytest.mark.parametrize("mask", EVERY.values(), ids=[*EVERY])
def test_a_batch_equals_its_rows_and_keys_matter(mask):
  batch = jax.jit(jax.vmap(mask))(keys(6))
  for i, key in enumerate(keys(6)):
    jax.tree.map(
      lambda one, all_, i=i: np.testing.assert_array_equal(one, all_[i]),
      mask(key),
      batch,
    )
  first = np.asarray(jax.tree.leaves(batch)[0])
  assert len(np.unique(first, axis=0)) > 2


@pytest.mark.parametrize(
  "call, message",
  [
    (partial(augment.random_mask, grid=(0, 4), ratio=0.5), "grid"),
    (partial(augment.random_mask, grid=(4, 4), ratio=1.5), "ratio"),
    (partial(augment.random_mask, grid=(4, 6), ratio=0.5, unit=4), "divisor"),
    (partial(augment.random_mask, grid=(4, 6), ratio=0.5, unit=0), "divisor"),
    (partial(augment.block_mask, grid=(1, 4)), "at least 2"),
    (partial(augment.block_mask, grid=14), "rows, columns"),
    (partial(augment.block_mask, grid=GRID, ratio=(0.5, 0.1)), "ratio"),
    (partial(augment.block_mask, grid=GRID, ratio=0.5), "ratio"),
    (partial(augment.block_mask, grid=GRID, probability=2.0), "probability"),
    (partial(augment.block_mask, grid=GRID, aspect=0.0), "aspect"),
    (partial(augment.ijepa_blocks, KEY, grid=(14, 1)), "at least 2"),
    (partial(augment.ijepa_blocks, KEY, grid=GRID, targets=0), "0 target blocks"),
    (partial(augment.ijepa_blocks, KEY, grid=GRID, target_scale=(0.3, 0.2)), "scale"),
    (partial(augment.ijepa_blocks, KEY, grid=GRID, target_aspect=(0, 1)), "aspect"),
    (partial(augment.ijepa_blocks, KEY, grid=GRID, min_context=-1.0), "min_context"),
  ],
)
def test_bad_options(call, message):
  with pytest.raises(InputError, match=message):
    call(KEY)
