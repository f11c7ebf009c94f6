"""How well what comes next is ranked: hit rate and NDCG, beside popularity's."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxssl.errors import InputError


def target_ranks(
  scores: np.ndarray, target: np.ndarray, seen: np.ndarray | None = None
) -> np.ndarray:
  """The rank of the right item among all items, 1 for the best score.

  All items are ranked: the sampled candidates of the papers of SASRec (100) and
  BERT4Rec reorder methods (Krichene and Rendle 2020). Items of the same score as the
  right one count half each.

  Args:
    scores: of the items 1 ... n, [batch, n].
    target: the right item of each row, int [batch], 1 ... n.
    seen: items that are not ranked unless they are the right one, int [batch, any], 0
      for none; None: all are ranked.

  Returns:
    float [batch].

  Raises:
    InputError: for shapes that don't fit, items outside 1 ... n, or scores that aren't
      finite.
  """
  scores, target = np.array(scores, np.float64), np.asarray(target)
  _check(scores, target)
  rows = np.arange(len(target))
  right = scores[rows, target - 1][:, None]
  if seen is not None:
    where, which = np.nonzero(seen)
    scores[where, np.asarray(seen)[where, which] - 1] = -np.inf
  scores[rows, target - 1] = -np.inf
  above = (scores > right).sum(1)
  return 1.0 + above + (scores == right).sum(1) / 2.0


def hit_rate(ranks: np.ndarray, *, k: int) -> float:
  """Percent of the ranks that are `k` or better."""
  return 100.0 * float(np.mean(np.asarray(ranks) <= k))


def ndcg(ranks: np.ndarray, *, k: int) -> float:
  """Mean of 1 / log2(rank + 1) over all ranks, 0 beyond `k`, in percent."""
  ranks = np.asarray(ranks)
  return 100.0 * float(np.mean(np.where(ranks <= k, 1.0 / np.log2(ranks + 1.0), 0.0)))


def popularity(histories: np.ndarray, *, items: int) -> np.ndarray:
  """How often each item occurs: the same scores for everyone.

  Args:
    histories: int [users, length], 0 for none.
    items: number of items.

  Returns:
    float [items], of the items 1 ... items.
  """
  counts = np.bincount(np.ravel(histories), minlength=items + 1)
  return counts[1 : items + 1].astype(np.float64)


def next_item_scores(
  score: Callable[[np.ndarray], jax.Array],
  data_set: Any,
  *,
  k: int = 10,
  batch: int = 256,
  repeats: bool = True,
) -> dict[str, float]:
  """Hit rate and NDCG of the held-out last item, beside those of popularity.

  Args:
    score: histories int [batch, length] -> scores [batch, items]; called with the same
      shape each time.
    data_set: of `data.items`: its test rows are histories, their labels what came next.
    k: how many of the best count.
    batch: histories a call.
    repeats: whether items that a user had may come again, and are ranked.

  Returns:
    "hit", "ndcg", "popularity_hit" and "popularity_ndcg", in percent.
  """
  histories = np.asarray(data_set.test.arrays()["input"])
  target = np.asarray(data_set.test.arrays()["label"])
  train, found = data_set.train.arrays()["input"], []
  for start in range(0, len(histories), batch):  # the scores of all need not fit
    block, right = (x[start : start + batch] for x in (histories, target))
    padded = np.pad(block, ((0, batch - len(block)), (0, 0)))
    scores = np.asarray(score(padded))[: len(block)]
    known = np.broadcast_to(popularity(train, items=scores.shape[1]), scores.shape)
    seen = None if repeats else block
    found.append([target_ranks(x, right, seen) for x in (scores, known)])
  ranks, plain = np.concatenate(found, axis=1)
  return {
    "hit": hit_rate(ranks, k=k),
    "ndcg": ndcg(ranks, k=k),
    "popularity_hit": hit_rate(plain, k=k),
    "popularity_ndcg": ndcg(plain, k=k),
  }


def _check(scores, target):
  if scores.ndim != 2 or target.shape != scores.shape[:1] or not len(target):
    raise InputError(
      f"scores are [batch, items] and target [batch]; got {scores.shape} and "
      f"{target.shape}."
    )
  if target.min() < 1 or target.max() > scores.shape[1]:
    raise InputError(
      f"targets run from {target.min()} to {target.max()}; items are 1 to "
      f"{scores.shape[1]}."
    )
  if not np.isfinite(scores).all():
    raise InputError("the scores hold NaN or infinity; the net has diverged.")
