"""Recall: against a sort, with shared captions, with ties, errors."""

import numpy as np
import pytest

from jaxssl import evals
from jaxssl.errors import InputError


def vectors(rows, dim=6, seed=0):
  x = np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)
  return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_recall_is_what_a_sort_finds():
  queries, candidates = vectors(40), vectors(25, seed=1)
  query_ids = np.arange(40) % 20
  candidate_ids = np.arange(25) % 20  # some have two right ones
  found = evals.recall(queries, candidates, query_ids, candidate_ids, ks=(1, 3, 25))
  order = np.argsort(-queries @ candidates.T, axis=1)
  right = candidate_ids[order] == query_ids[:, None]
  for k, percent in found.items():
    np.testing.assert_allclose(percent, 100 * right[:, :k].any(axis=1).mean())
  assert found[25] == 100.0


def test_both_directions():
  """Two images share caption 0, and text 1 is nearer to them than their own."""
  images = np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]], np.float32)
  texts = np.array([[1.0, 0.0], [0.6, 0.8]], np.float32)
  found = evals.retrieval(images, texts, np.array([0, 0, 1]), np.arange(2), ks=(1, 2))
  assert found["image to text"] == {1: pytest.approx(200 / 3), 2: 100.0}
  assert found["text to image"] == {1: 50.0, 2: 100.0}


def test_vectors_that_are_all_alike_find_nothing():
  ones, ids = np.ones((10, 3), np.float32), np.arange(10)
  assert evals.recall(ones, ones, ids, ids, ks=(1, 9, 10)) == {
    1: 0.0,
    9: 0.0,
    10: 100.0,
  }


def test_more_queries_than_a_block():
  x, ids = vectors(1500, dim=32), np.arange(1500)
  assert evals.recall(x, x, ids, ids, ks=(1,)) == {1: 100.0}


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"queries": np.ones(4)}, "one id each"),
    ({"candidates": np.ones((4, 2))}, "one space"),
    ({"queries": np.full((4, 3), np.nan)}, "finite"),
    ({"query_ids": np.full(4, 7)}, "No candidate"),
    ({"ks": (0,)}, "from 1 on"),
  ],
)
def test_bad_input(change, message):
  ids = np.arange(4)
  given = {
    "queries": np.ones((4, 3)),
    "candidates": np.ones((4, 3)),
    "query_ids": ids,
    "candidate_ids": ids,
    "ks": (1,),
  }
  with pytest.raises(InputError, match=message):
    evals.recall(**{**given, **change})
