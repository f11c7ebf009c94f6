"""Clustering accuracy: planted clusters, chance, the matching, bad input."""

import itertools

import numpy as np
import pytest

from jaxssl.errors import InputError
from jaxssl.evals.clusters import cluster_accuracy, matched_share


def test_planted_clusters_are_found():
  rng = np.random.default_rng(0)
  labels = np.repeat(np.arange(3), 20)
  features = np.eye(3, 5)[labels] + 0.05 * rng.normal(size=(60, 5))
  assert cluster_accuracy(features, labels, classes=3) > 85  # a start may miss one


def test_noise_is_near_chance():
  rng = np.random.default_rng(0)
  features = rng.normal(size=(300, 4))
  assert cluster_accuracy(features, np.arange(300) % 3, classes=3) < 50


def test_the_matching_is_the_best_of_all():
  rng = np.random.default_rng(1)
  clusters, labels = rng.integers(0, 4, 50), rng.integers(0, 4, 50)
  best = max(
    np.mean(np.asarray(order)[clusters] == labels)
    for order in itertools.permutations(range(4))
  )
  assert matched_share(clusters, labels, 4) == pytest.approx(best)


def test_the_scale_of_features_does_not_matter():
  rng = np.random.default_rng(2)
  features, labels = rng.normal(size=(80, 6)), np.arange(80) % 4
  scaled = features * rng.uniform(0.5, 2.0, size=(80, 1))
  got = [cluster_accuracy(x, labels, classes=4) for x in (features, scaled)]
  assert got[0] == pytest.approx(got[1], abs=3)


def test_labels_outside_the_classes_are_refused():
  with pytest.raises(InputError, match="labels must be 0 to 1"):
    cluster_accuracy(np.ones((4, 2)), np.arange(4), classes=2)
