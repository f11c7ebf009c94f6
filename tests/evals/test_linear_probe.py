import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jaxssl.errors import InputError
from jaxssl.evals import fit_probe, linear_accuracy, probe_predict

RNG = np.random.default_rng(0)


def blobs(rows):
  """Three well separated clusters in 5 dimensions."""
  labels = RNG.integers(0, 3, rows)
  centers = 4 * np.eye(3, 5)
  points = centers[labels] + 0.3 * RNG.normal(size=(rows, 5))
  return points.astype(np.float32), labels


def test_separable_classes_are_separated():
  assert linear_accuracy(*blobs(300), *blobs(100), classes=3) == 100.0


def test_shuffled_labels_give_chance(digits):
  labels = np.random.default_rng(1).permutation(digits.labels)
  data = digits._replace(labels=labels)
  assert 4 < linear_accuracy(*data, classes=10) < 16


def test_digits_agree_with_scikit_learn(digits):
  mean, std = digits.train.mean(0), digits.train.std(0) + 1e-6
  reference = LogisticRegression(max_iter=1000)
  reference.fit((digits.train - mean) / std, digits.labels)
  expected = 100 * reference.score((digits.test - mean) / std, digits.test_labels)
  assert linear_accuracy(*digits, classes=10) == pytest.approx(expected, abs=1.0)


def test_pitfall_15_the_probe_minimises_the_cross_entropy():
  x = RNG.normal(size=(200, 3)).astype(np.float32)
  y = (x @ [1, -1, 0] + RNG.normal(size=200) > 0).astype(np.int32)
  probe = fit_probe(x, y, classes=2)
  z = (x - x.mean(0)) / x.std(0)
  reference = LogisticRegression(C=1e4).fit(z, y)
  learned = np.asarray(probe.weights[:, 1] - probe.weights[:, 0])
  np.testing.assert_allclose(learned, reference.coef_[0], atol=0.02)


def test_the_same_seed_gives_the_same_probe():
  data = blobs(300)
  first, second = (fit_probe(*data, classes=3, minimum_steps=5) for _ in range(2))
  for a, b in zip(first, second, strict=True):
    np.testing.assert_array_equal(a, b)
  other = fit_probe(*data, classes=3, minimum_steps=5, seed=1)
  assert np.abs(np.asarray(other.weights - first.weights)).max() > 1e-6


def test_scale_and_offset_of_the_features_do_not_matter():
  x, y = blobs(300)
  other = np.array([10, 100, 0.5, 1, 3], np.float32) * x + 7
  expected = fit_probe(x, y, classes=3).weights
  np.testing.assert_allclose(
    fit_probe(other, y, classes=3).weights, expected, rtol=0.01
  )


def test_dead_dimensions_are_ignored():
  x, y = blobs(100)
  dead = np.concatenate([x, np.zeros((100, 2), np.float32)], axis=1)
  probe = fit_probe(dead, y, classes=3)
  np.testing.assert_array_equal(probe.weights[5:], 0)
  alive_later = dead + np.array([0] * 5 + [1] * 2, np.float32)
  np.testing.assert_array_equal(probe_predict(probe, alive_later), y)


def test_small_sets_get_the_minimum_of_steps(monkeypatch):
  x, y = blobs(10)
  assert linear_accuracy(x, y, x, y, classes=3) == 100.0
  short = fit_probe(x, y, classes=3, epochs=1, minimum_steps=1)
  long = fit_probe(x, y, classes=3, epochs=1, minimum_steps=50)
  assert np.linalg.norm(long.weights) > 3 * np.linalg.norm(short.weights)


def test_labels_outside_the_classes_are_refused():
  x, y = blobs(10)
  with pytest.raises(InputError, match="labels must be 0 to 1"):
    fit_probe(x, np.full(10, 2), classes=2)
  with pytest.raises(InputError, match="they run from"):
    linear_accuracy(x, y, x, y + 3, classes=3)
