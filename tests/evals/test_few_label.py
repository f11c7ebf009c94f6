import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jaxssl.errors import InputError
from jaxssl.evals import few_label, few_label_draw


def test_digits_pixels(digits):
  # Measured once with scikit-learn alone, by a script that shares no code with this.
  scores = few_label(*digits)
  expected = {1: (66.3, 3.3), 5: (85.8, 2.4), 10: (89.9, 1.5)}
  assert scores.keys() == expected.keys()
  for count, score in scores.items():
    np.testing.assert_allclose(score, expected[count], atol=0.2)


def test_mean_and_deviation_of_a_loop_over_the_draws(digits):
  scores = []
  for seed in range(3):
    rng = np.random.default_rng(seed)
    rows = [
      row
      for c in range(10)
      for row in rng.choice(np.flatnonzero(digits.labels == c), 2, replace=False)
    ]
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in digits[::2]]
    model = LogisticRegression(C=10, max_iter=1000)
    model.fit(unit[0][rows], digits.labels[rows])
    scores.append(100 * model.score(unit[1], digits.test_labels))
  mean, deviation = few_label(*digits, per_class=[2], draws=3)[2]
  np.testing.assert_allclose(mean, np.mean(scores), atol=0.2)
  np.testing.assert_allclose(deviation, np.std(scores), atol=0.2)


def test_draws_depend_on_labels_and_seed_alone(digits):
  first, again, other = (
    few_label_draw(digits.labels, per_class=5, seed=s) for s in (3, 3, 4)
  )
  np.testing.assert_array_equal(first, again)
  assert set(first) != set(other)
  np.testing.assert_array_equal(digits.labels[first], np.repeat(np.arange(10), 5))
  assert len(set(first)) == 50


def test_lengths_of_features_do_not_matter(digits):
  few = {"per_class": [1], "draws": 2}
  stretched = digits._replace(train=digits.train * 50, test=digits.test * 0.1)
  np.testing.assert_allclose(
    few_label(*stretched, **few)[1], few_label(*digits, **few)[1], atol=0.3
  )


def test_classes_need_not_be_numbered_without_gaps():
  x = np.eye(2, dtype=np.float32)
  assert few_label(x, [1, 4], x, [1, 4], per_class=[1], draws=1) == {1: (100.0, 0.0)}


def test_too_few_labels_are_refused():
  x, y = np.ones((5, 2), np.float32), np.array([0, 0, 0, 1, 1])
  with pytest.raises(InputError, match="allowed are 1 to 2, which is what class 1 has"):
    few_label(x, y, x, y, per_class=[3])
  with pytest.raises(InputError, match="allowed are 1 to 2"):
    few_label_draw(y, per_class=0, seed=0)
  with pytest.raises(InputError, match="needs 2 classes"):
    few_label(x, np.zeros(5, int), x, y)
