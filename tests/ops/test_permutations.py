"""Sets of permutations against slow loops, and what they promise."""

import itertools
import math

import numpy as np
import pytest

from jaxssl import ops
from jaxssl.errors import InputError


def loop_set(places, count, seed, score):
  """The paper's greedy choice, distance by distance."""
  left = list(itertools.permutations(range(places)))
  chosen = [left.pop(int(np.random.default_rng(seed).integers(len(left))))]
  while len(chosen) < count:
    distances = [[hamming(p, q) for q in chosen] for p in left]
    scores = [score(row) for row in distances]
    chosen.append(left.pop(scores.index(max(scores))))
  return chosen


def hamming(a, b):
  return sum(x != y for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("combine, score", [(np.add, np.mean), (np.minimum, min)])
@pytest.mark.parametrize("places, count, seed", [(4, 24, 0), (5, 12, 1)])
def test_greedy_set_is_the_loop_s(combine, score, places, count, seed):
  got = ops.permutation_set(places, count=count, seed=seed, combine=combine)
  np.testing.assert_array_equal(got, loop_set(places, count, seed, score))


@pytest.mark.parametrize("places", [2, 3, 6])
def test_all_permutations_are_all_in_order(places):
  expected = list(itertools.permutations(range(places)))
  np.testing.assert_array_equal(ops.all_permutations(places), expected)
  everything = ops.permutation_set(places, count=math.factorial(places), seed=0)
  np.testing.assert_array_equal(sorted(everything.tolist()), np.array(expected))


def test_a_set_of_nine_is_different_permutations_fixed_by_the_seed():
  first, again = (ops.permutation_set(9, count=100, seed=3) for _ in range(2))
  np.testing.assert_array_equal(first, again)
  assert first.dtype == np.int32 and len(np.unique(first, axis=0)) == 100
  np.testing.assert_array_equal(
    np.sort(first, axis=1), np.arange(9)[None].repeat(100, 0)
  )
  assert np.any(first != ops.permutation_set(9, count=100, seed=4))


def test_a_smaller_set_is_the_start_of_a_larger_one():
  small, large = (ops.permutation_set(6, count=n, seed=0) for n in (10, 50))
  np.testing.assert_array_equal(small, large[:10])


def test_the_sets_are_further_apart_than_drawn_ones():
  drawn = ops.all_permutations(9)[np.random.default_rng(0).integers(362_880, size=100)]
  mean = ops.permutation_set(9, count=100, seed=0)
  least = ops.permutation_set(9, count=100, seed=0, combine=np.minimum)
  assert distances(mean).mean() > distances(drawn).mean() + 0.05
  assert distances(least).min() >= 6 > distances(drawn).min()


def distances(permutations):
  """Hamming distances of all pairs."""
  apart = (permutations[:, None] != permutations[None]).sum(axis=2)
  return apart[np.triu_indices(len(permutations), 1)]


@pytest.mark.parametrize(
  "places, count", [(3, 7), (9, 362_881), (4, 1), (4, 0), (1, 2), (11, 2)]
)
def test_impossible_sets_are_refused(places, count):
  with pytest.raises(InputError, match="pass 2 to"):
    ops.permutation_set(places, count=count, seed=0)


@pytest.mark.parametrize("places", [0, 1, 11])
def test_too_few_or_many_places_are_refused(places):
  with pytest.raises(InputError, match="pass 2 to 10"):
    ops.all_permutations(places)
