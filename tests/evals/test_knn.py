import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from jaxssl.errors import InputError
from jaxssl.evals import knn, knn_accuracy, knn_predict
from tests import golden


@pytest.mark.parametrize("case", golden.load("knn_classifier"))
def test_predictions_agree_with_the_reference(case):
  bank = case.inputs["train_features"], case.inputs["train_labels"]
  test = case.inputs["test_features"], case.inputs["test_labels"]
  predicted = knn_predict(*bank, test[0], **case.options)
  np.testing.assert_array_equal(predicted, case.outputs["predictions"])
  atol, rtol = case.tolerance["top1_percent"]
  accuracy = knn_accuracy(*bank, *test, **case.options)
  np.testing.assert_allclose(accuracy, case.outputs["top1_percent"], rtol, atol)


def test_digits_agree_with_scikit_learn(digits):
  reference = KNeighborsClassifier(
    20, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07)
  ).fit(digits.train, digits.labels)
  predicted = knn_predict(*digits[:3], classes=10)
  np.testing.assert_array_equal(predicted, reference.predict(digits.test))
  assert knn_accuracy(*digits, classes=10) == pytest.approx(97.8)


def test_blocks_of_test_rows_do_not_change_the_answer(digits, monkeypatch):
  expected = knn_predict(*digits[:3], classes=10)
  monkeypatch.setattr(knn, "SIMILARITIES", 7 * len(digits.train))
  np.testing.assert_array_equal(knn_predict(*digits[:3], classes=10), expected)


def test_only_directions_count():
  rng = np.random.default_rng(0)
  bank, test = rng.normal(size=(2, 30, 5)).astype(np.float32)
  labels = np.arange(30) % 4
  expected = knn_predict(bank, labels, test, k=5, classes=4)
  lengths = rng.uniform(0.1, 10, (30, 1)).astype(np.float32)
  stretched = knn_predict(bank * lengths, labels, test * 3, k=5, classes=4)
  np.testing.assert_array_equal(stretched, expected)


def test_one_neighbour_and_all_neighbours():
  bank = np.array([[1, 0], [1, 0.1], [0, 1]], np.float32)
  labels = np.array([2, 2, 0])
  test = np.array([[0.1, 1]], np.float32)
  assert knn_predict(bank, labels, test, k=1, classes=3) == [0]
  # A high temperature counts heads: two rows of class 2 against one of class 0.
  assert knn_predict(bank, labels, test, k=3, temperature=1e3, classes=3) == [2]


def test_a_low_temperature_stays_finite():
  bank = np.array([[1, 0], [0.9, 0.1], [-1, 0]], np.float32)
  assert knn_predict(bank, [1, 0, 0], bank[:1], k=3, temperature=1e-3, classes=2) == [1]


def test_impossible_settings_are_refused():
  bank, labels = np.eye(3, dtype=np.float32), np.arange(3)
  with pytest.raises(InputError, match="k must be 1 to 3"):
    knn_predict(bank, labels, bank, k=4, classes=3)
  with pytest.raises(InputError, match="temperature must be positive"):
    knn_predict(bank, labels, bank, k=1, temperature=0.0, classes=3)
  with pytest.raises(InputError, match="must be \\[m, 3\\]"):
    knn_predict(bank, labels, bank[:, :2], k=1, classes=3)
  with pytest.raises(InputError, match="labels must be 0 to 1"):
    knn_predict(bank, labels, bank, k=1, classes=2)
