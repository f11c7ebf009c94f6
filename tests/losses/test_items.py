"""The loss of SASRec against a loop, and what it refuses."""

import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from tests.losses.common import normal


def test_the_loss_by_hand():
  positive, negative = normal((2, 3), (2, 3))
  counted = np.array([[True, True, False], [False] * 3])
  error, count = losses.next_item(positive, negative, counted)
  expected = sum(
    np.log1p(np.exp(-p)) + np.log1p(np.exp(n))
    for p, n in zip(positive[0, :2], negative[0, :2], strict=True)
  )
  np.testing.assert_allclose(error, [expected, 0.0], rtol=1e-5)
  np.testing.assert_array_equal(count, [2, 0])


def test_scores_of_zero_know_nothing():
  zeros = np.zeros((1, 4), np.float32)
  error, count = losses.next_item(zeros, zeros, np.ones((1, 4), bool))
  np.testing.assert_allclose(error / count, 2 * np.log(2), rtol=1e-6)


def test_bad_input_is_refused():
  positive, negative = normal((2, 3), (2, 3))
  with pytest.raises(InputError, match="one shape"):
    losses.next_item(positive, negative[:, :2], np.ones((2, 3), bool))
  with pytest.raises(InputError, match="bool"):
    losses.next_item(positive, negative, np.ones((2, 3)))
  with pytest.raises(InputError, match="places"):
    losses.next_item(positive[0], negative[0], np.ones(3, bool))
