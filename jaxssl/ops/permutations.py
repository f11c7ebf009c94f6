"""Sets of permutations that differ in as many places as they can: jigsaw's classes.

All of it is numpy on the host, when a method is built; nothing here is traced.
"""

import math
from collections.abc import Callable

import numpy as np

from jaxssl.errors import InputError

MOST_PLACES = 10  # whose 3,628,800 orders still fit a small memory


def all_permutations(places: int) -> np.ndarray:
  """Every order of `places` things, in lexicographic order.

  Args:
    places: how many things there are, 2 to 10.

  Returns:
    int32 [places!, places], each row a permutation of 0 ... places - 1.

  Raises:
    InputError: for another number of things.
  """
  _check_places(places)
  return np.ascontiguousarray(_by_place(places).T, np.int32)


def permutation_set(
  places: int, *, count: int, seed: int, combine: Callable = np.add
) -> np.ndarray:
  """Permutations far from each other: the greedy set of Jigsaw (arXiv 1603.09246).

  The first is drawn, and each next one is the permutation with the largest Hamming
  distance to those chosen, the first in lexicographic order of several. Distances to
  all permutations are kept as running sums, so 1,000 of 9 places take a second.

  Args:
    places: how many things are permuted, 2 to 10.
    count: permutations in the set, at least 2 and at most `places` factorial.
    seed: draws the first permutation; the set is a function of it.
    combine: how a permutation's distances to the chosen ones become one: `np.add`
      for the mean distance ("max_avg", VISSL's default), `np.minimum` for the
      smallest ("max_min").

  Returns:
    int32 [count, places], all rows different, in the order in which they were chosen.

  Raises:
    InputError: more permutations than exist, fewer than 2, or too many places.
  """
  _check_places(places)
  _check_count(count, places)
  table = _by_place(places)
  newest = int(np.random.default_rng(seed).integers(table.shape[1]))
  chosen, score = [newest], _distances(table, newest)
  while len(chosen) < count:
    score[newest] = np.iinfo(np.int32).min // 2  # stays below every sum
    newest = int(np.argmax(score))
    chosen.append(newest)
    score = combine(score, _distances(table, newest))
  return np.ascontiguousarray(table[:, chosen].T, np.int32)


def _distances(table, newest):
  """Hamming distances of all permutations to one: int32 [permutations]."""
  distance = np.zeros(table.shape[1], np.uint8)
  for place in table:  # place by place: long rows of bytes are what numpy is fast at
    distance += place != place[newest]
  return distance.astype(np.int32)


def _by_place(places):
  """All permutations in lexicographic order, uint8 [places, places!]."""
  table = np.zeros((1, 1), np.uint8)
  for size in range(2, places + 1):
    first = np.arange(size, dtype=np.uint8)[:, None]
    rest = [table + (table >= i) for i in range(size)]
    first = np.repeat(first, table.shape[1], axis=1).reshape(1, -1)
    table = np.concatenate([first, np.concatenate(rest, axis=1)]).astype(np.uint8)
  return table


def _check_places(places):
  if not 2 <= places <= MOST_PLACES:
    raise InputError(
      f"Permutations of {places} things; pass 2 to {MOST_PLACES}, as all of them are "
      "listed."
    )


def _check_count(count, places):
  if not 2 <= count <= math.factorial(places):
    raise InputError(
      f"{count} permutations of {places} tiles; pass 2 to {math.factorial(places)}, "
      "the number that exists."
    )
