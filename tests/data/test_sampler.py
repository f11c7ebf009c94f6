"""The sampler: permutations, pure in the step, the same on any number of hosts."""

import numpy as np
import pytest

from jaxssl.data import in_order, index_block, indices, steps_per_epoch
from jaxssl.errors import InputError

SETTINGS = {"examples": 23, "batch": 5, "seed": 7}


def epoch(number, **changes):
  settings = SETTINGS | changes
  steps = settings["examples"] // settings["batch"]
  return index_block(number * steps, steps, **settings)


def test_steps_per_epoch_drops_the_incomplete_batch():
  assert steps_per_epoch(examples=23, batch=5) == 4
  assert steps_per_epoch(examples=20, batch=5) == 4


@pytest.mark.parametrize("number", [0, 1, 5])
def test_an_epoch_sees_no_example_twice(number):
  seen = epoch(number).ravel()
  assert len(set(seen.tolist())) == 20
  assert seen.min() >= 0 and seen.max() < 23


def test_an_epoch_without_remainder_is_a_permutation():
  np.testing.assert_array_equal(np.sort(epoch(3, examples=20).ravel()), np.arange(20))


def test_examples_dropped_in_one_epoch_come_in_others():
  seen = np.concatenate([epoch(number).ravel() for number in range(12)])
  assert set(seen.tolist()) == set(range(23))


def test_random_access_equals_the_sequence():
  sequence = index_block(0, 13, **SETTINGS)
  for step in (12, 0, 7, 3):  # across epochs, out of order
    np.testing.assert_array_equal(indices(step, **SETTINGS), sequence[step])
  np.testing.assert_array_equal(index_block(3, 6, **SETTINGS), sequence[3:9])


def test_types_and_shapes():
  assert indices(np.int64(2), **SETTINGS).dtype == np.int32
  block = index_block(0, 3, **SETTINGS)
  assert block.shape == (3, 5) and block.dtype == np.int32


def test_the_returned_order_cannot_be_overwritten():
  with pytest.raises(ValueError, match="read-only"):
    indices(0, **SETTINGS)[0] = 1


def test_epochs_and_seeds_differ():
  orders = [epoch(0), epoch(1), epoch(0, seed=8), epoch(1, seed=6)]
  assert len({order.tobytes() for order in orders}) == 4


def test_the_order_is_this_one_forever():
  """Resumed runs rely on it: Philox of SeedSequence([seed, epoch]), raw bits."""
  bits = np.random.Philox(np.random.SeedSequence([7, 1])).random_raw(23).tolist()
  expected = sorted(range(23), key=bits.__getitem__)[:5]
  assert indices(4, **SETTINGS).tolist() == expected
  assert indices(0, examples=8, batch=8, seed=0).tolist() == [0, 3, 7, 5, 1, 2, 6, 4]


def test_in_order_visits_everything_once_and_masks_the_padding():
  rows, masks = zip(*in_order(examples=7, batch=3), strict=True)
  assert [r.tolist() for r in rows] == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]
  assert [m.tolist() for m in masks][2] == [True, False, False]
  assert np.concatenate(rows)[np.concatenate(masks)].tolist() == list(range(7))
  assert rows[2].dtype == np.int32


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"batch": 24}, "larger than the data set of 23 examples"),
    ({"batch": 0}, "at least 1"),
    ({"seed": -1}, "at least 0"),
  ],
)
def test_wrong_settings(changes, message):
  with pytest.raises(InputError, match=message):
    indices(0, **(SETTINGS | changes))


def test_negative_step():
  with pytest.raises(InputError, match="at least 0"):
    indices(-1, **SETTINGS)
