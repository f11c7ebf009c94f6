"""How well the features fall into the classes by themselves: k-means, no labels."""

import jax
import numpy as np

from jaxssl.evals.features import check_labelled
from jaxssl.ops.kmeans import spherical_kmeans
from jaxssl.ops.numerics import l2_normalize


def cluster_accuracy(
  features: np.ndarray, labels: np.ndarray, *, classes: int, starts: int = 5
) -> float:
  """Accuracy of k-means clusters as classes, under the best matching of the two.

  Spherical k-means (`ops.spherical_kmeans`) with as many clusters as classes and 50
  iterations, empty clusters moved, from each of `starts` random starts; every cluster
  is given the class that makes the most examples right, each class once (the Hungarian
  algorithm, as in arXiv 1511.06335, section 4).

  Args:
    features: [n, dim].
    labels: integers from 0, [n].
    classes: number of classes.
    starts: random starts that are averaged.

  Returns:
    The mean accuracy in percent.
  """
  check_labelled(features, labels, classes=classes)
  unit = l2_normalize(jax.numpy.asarray(features, jax.numpy.float32))
  keys = jax.random.split(jax.random.key(0), starts)
  options = {"clusters": classes, "iterations": 50, "reseed": True}
  runs = [spherical_kmeans(k, unit, **options) for k in keys]
  scores = [matched_share(np.asarray(run.labels), labels, classes) for run in runs]
  return 100.0 * float(np.mean(scores))


def matched_share(clusters: np.ndarray, labels: np.ndarray, classes: int) -> float:
  """Share of examples whose cluster has their class, in the best matching."""
  from scipy.optimize import linear_sum_assignment

  counts = np.zeros((classes, classes), np.int64)
  np.add.at(counts, (clusters, labels), 1)
  rows, columns = linear_sum_assignment(counts, maximize=True)
  return counts[rows, columns].sum() / len(labels)
