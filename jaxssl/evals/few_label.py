"""Accuracy from a few labels a class: what an encoder saves its user in labelling."""

from collections.abc import Sequence

import numpy as np

from jaxssl.errors import InputError
from jaxssl.evals.features import check_labelled
from jaxssl.ops.numerics import l2_normalize


def few_label(
  train: np.ndarray,
  labels: np.ndarray,
  test: np.ndarray,
  test_labels: np.ndarray,
  *,
  per_class: Sequence[int] = (1, 5, 10),
  draws: int = 10,
) -> dict[int, tuple[float, float]]:
  """Accuracy of logistic regression on a few labelled examples of every class.

  scikit-learn's `LogisticRegression(C=10, max_iter=1000)` on l2-normalised features,
  for the draws 0 .. draws - 1. A draw depends on the labels alone, so every encoder
  is given the same examples.

  Args:
    train: features to draw from, [n, dim].
    labels: integers from 0, [n].
    test: features, [m, dim].
    test_labels: [m].
    per_class: numbers of labelled examples a class.
    draws: how many sets of examples are averaged.

  Returns:
    For every entry of `per_class`, mean and standard deviation over the draws, in
    percent.

  Raises:
    InputError: if a class has fewer examples than asked for, or there is one class.
  """
  classes = int(max(np.max(labels, initial=0), np.max(test_labels, initial=0))) + 1
  check_labelled(train, labels, classes=classes)
  check_labelled(test, test_labels, classes=classes)
  labels, test_labels = np.asarray(labels), np.asarray(test_labels)
  train, test = _unit(train), _unit(test)
  results = {}
  for count in per_class:
    rows = [few_label_draw(labels, per_class=count, seed=d) for d in range(draws)]
    scores = _scores(train, labels, rows, test, test_labels)
    results[count] = (float(np.mean(scores)), float(np.std(scores)))
  return results


def few_label_draw(labels: np.ndarray, *, per_class: int, seed: int) -> np.ndarray:
  """Row numbers of one draw: `per_class` rows of every class, class after class.

  Args:
    labels: integers, [n].
    per_class: rows of each class, drawn without replacement.
    seed: of `numpy.random.default_rng`, which draws the classes in ascending order.

  Returns:
    Integers, [classes * per_class].

  Raises:
    InputError: if a class has fewer rows than asked for, or there is one class.
  """
  classes, counts = np.unique(labels, return_counts=True)
  if len(classes) < 2:
    raise InputError(f"few-label accuracy needs 2 classes; the labels have {classes}.")
  if not 1 <= per_class <= counts.min():
    raise InputError(
      f"{per_class} labels a class were asked for; allowed are 1 to {counts.min()}, "
      f"which is what class {classes[counts.argmin()]} has."
    )
  rng = np.random.default_rng(seed)
  rows = [np.flatnonzero(labels == c) for c in classes]
  return np.concatenate([rng.choice(r, per_class, replace=False) for r in rows])


def _scores(train, labels, draws, test, test_labels):
  """Accuracy in percent of a classifier per draw (row numbers of `train`)."""
  from sklearn.linear_model import LogisticRegression
  from threadpoolctl import threadpool_limits

  def score(rows):
    classifier = LogisticRegression(C=10, max_iter=1000).fit(train[rows], labels[rows])
    return 100.0 * classifier.score(test, test_labels)

  with threadpool_limits(1):  # threads cost small fits more than they save
    return [score(rows) for rows in draws]


def _unit(features):
  return np.asarray(l2_normalize(np.asarray(features, np.float32)))
