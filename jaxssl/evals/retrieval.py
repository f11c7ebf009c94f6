"""Retrieval: whether an image finds its caption, and a caption its image."""

from collections.abc import Sequence

import numpy as np

from jaxssl.errors import InputError

BLOCK = 1024  # queries compared at a time


def recall(
  queries: np.ndarray,
  candidates: np.ndarray,
  query_ids: np.ndarray,
  candidate_ids: np.ndarray,
  *,
  ks: Sequence[int] = (1, 5, 10),
) -> dict[int, float]:
  """Recall@k: how often one of the k nearest candidates is a right one.

  Right are the candidates with the query's id. Candidates that are as near as the
  nearest right one count as before it, so that vectors that are all alike find nothing.

  Args:
    queries: unit vectors [n, dim].
    candidates: unit vectors [m, dim].
    query_ids: int [n].
    candidate_ids: int [m].
    ks: numbers of candidates that may be looked at.

  Returns:
    k -> percent of the queries.

  Raises:
    InputError: on shapes that don't fit, vectors that are not finite, a k below 1, or
      a query without a right candidate.
  """
  _check(queries, candidates, query_ids, candidate_ids, ks)
  blocks = range(0, len(queries), BLOCK)
  parts = [slice(start, start + BLOCK) for start in blocks]
  found = [_ranks(queries[p], candidates, query_ids[p], candidate_ids) for p in parts]
  ranks = np.concatenate(found)
  return {k: 100.0 * float((ranks < k).mean()) for k in ks}


def retrieval(
  images: np.ndarray,
  texts: np.ndarray,
  image_ids: np.ndarray,
  text_ids: np.ndarray,
  *,
  ks: Sequence[int] = (1, 5, 10),
) -> dict[str, dict[int, float]]:
  """Recall@k in both directions.

  Args:
    images: unit vectors [n, dim].
    texts: unit vectors [m, dim]; a caption that several images share is here once.
    image_ids: the caption of each image, int [n].
    text_ids: the caption that each text is, int [m].
    ks: as in `recall`.

  Returns:
    {"image to text": {k: percent}, "text to image": {k: percent}}.

  Raises:
    InputError: as `recall`.
  """
  return {
    "image to text": recall(images, texts, image_ids, text_ids, ks=ks),
    "text to image": recall(texts, images, text_ids, image_ids, ks=ks),
  }


def _ranks(queries, candidates, query_ids, candidate_ids):
  """Of each query, the wrong candidates that are as near as its nearest right one."""
  scores = queries.astype(np.float32) @ candidates.astype(np.float32).T
  right = query_ids[:, None] == candidate_ids[None, :]
  if not right.any(axis=1).all():
    row = int(np.flatnonzero(~right.any(axis=1))[0])
    raise InputError(f"No candidate has the id {query_ids[row]} of a query.")
  best = np.where(right, scores, -np.inf).max(axis=1, keepdims=True)
  return ((scores >= best) & ~right).sum(axis=1)


def _check(queries, candidates, query_ids, candidate_ids, ks):
  for name, vectors, ids in (
    ("queries", queries, query_ids),
    ("candidates", candidates, candidate_ids),
  ):
    if np.ndim(vectors) != 2 or np.shape(ids) != (len(vectors),) or not len(vectors):
      raise InputError(
        f"{name} are {np.shape(vectors)} with ids {np.shape(ids)}; pass vectors "
        "[n, dim], one or more, and one id each"
      )
    if not np.isfinite(vectors).all():
      raise InputError(f"{name} hold values that are not finite")
  if queries.shape[1] != candidates.shape[1]:
    raise InputError(
      f"queries have {queries.shape[1]} dims and candidates {candidates.shape[1]}; "
      "both are vectors of one space"
    )
  if not len(ks) or min(ks) < 1:
    raise InputError(f"ks are {tuple(ks)}; pass numbers from 1 on")
