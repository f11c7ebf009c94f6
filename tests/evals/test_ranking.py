"""Ranks of the next item by hand, and what popularity reaches."""

import numpy as np
import pytest

from jaxssl import evals
from jaxssl.data.sources import ArraySource, DataSet
from jaxssl.errors import InputError

SCORES = np.array([[0.1, 0.9, 0.5, 0.3], [2.0, 1.0, 0.0, -1.0]])


def test_ranks_by_hand():
  np.testing.assert_array_equal(evals.target_ranks(SCORES, [3, 1]), [2, 1])


def test_items_that_were_seen_are_not_ranked_but_the_target_is():
  seen = np.array([[2, 3, 0], [1, 2, 0]])
  ranks = evals.target_ranks(SCORES, [3, 4], seen)
  np.testing.assert_array_equal(ranks, [1, 2])


def test_equal_scores_count_half():
  """Constant scores are in the middle: no measure takes them for knowledge."""
  ranks = evals.target_ranks(np.zeros((1, 21)), [7])
  np.testing.assert_array_equal(ranks, [11])
  assert evals.hit_rate(ranks, k=10) == 0


def test_hit_rate_and_ndcg_by_hand():
  ranks = [1, 3, 10, 11]
  assert evals.hit_rate(ranks, k=10) == 75
  expected = (1 + 1 / np.log2(4) + 1 / np.log2(11)) / 4
  assert evals.ndcg(ranks, k=10) == pytest.approx(100 * expected)


def test_popularity_counts_items_and_no_padding():
  counts = evals.popularity(np.array([[1, 3, 3, 0], [3, 1, 0, 0]]), items=4)
  np.testing.assert_array_equal(counts, [2, 0, 3, 0])


def data_set():
  histories = np.array([[1, 2, 0], [2, 3, 0], [3, 1, 0]], np.int32)
  test = {"input": histories, "label": np.array([3, 1, 2], np.int32)}
  return DataSet("x", ArraySource({"input": histories}), ArraySource(test), ())


def test_a_perfect_score_beats_popularity_whatever_the_batch():
  """Who had an item and the next one in the circle gets the one after."""

  def score(histories):
    assert histories.shape == (2, 3)
    return np.eye(3)[(histories[:, 0] + 1) % 3]

  found = evals.next_item_scores(score, data_set(), k=1, batch=2)
  assert found["hit"] == found["ndcg"] == 100
  assert found["popularity_hit"] == 0  # all are equally popular: rank 2
  no_repeats = evals.next_item_scores(score, data_set(), k=1, batch=2, repeats=False)
  assert no_repeats["popularity_hit"] == 100  # one item is left


@pytest.mark.parametrize(
  ("scores", "target", "message"),
  [
    (SCORES, [1], "batch"),
    (SCORES, [0, 1], "items are 1"),
    (SCORES, [5, 1], "items are 1"),
    (SCORES * np.nan, [1, 1], "diverged"),
  ],
)
def test_bad_input_is_refused(scores, target, message):
  with pytest.raises(InputError, match=message):
    evals.target_ranks(scores, np.asarray(target))
