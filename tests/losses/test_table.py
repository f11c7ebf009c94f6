"""Losses of rows, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.data import Row
from jaxssl.errors import InputError
from jaxssl.losses import RowPrediction, mask_error, row_error

SIZES = (3, 4)
ROWS = Row(
  jnp.array([[1.0, jnp.nan], [0.0, 2.0]]), jnp.array([[1, 0], [2, 3]], jnp.int32)
)
PREDICTION = RowPrediction(jnp.array([[3.0, 9.0], [0.0, 1.0]]), jnp.zeros((2, 7)))


def test_row_error_by_hand():
  error, count = row_error(PREDICTION, ROWS, sizes=SIZES)
  expected = [4.0 + np.log(3.0), 1.0 + np.log(3.0) + np.log(4.0)]
  np.testing.assert_allclose(error, expected, rtol=1e-6)
  assert count.tolist() == [2.0, 4.0]


def test_missing_values_have_no_gradient():
  total = lambda p: row_error(p, ROWS, sizes=SIZES)[0].sum()
  grads = jax.grad(total)(PREDICTION)
  np.testing.assert_allclose(grads.numeric, [[4.0, 0.0], [0.0, -2.0]])
  assert (grads.logits[0, 3:] == 0).all() and (grads.logits[0, :3] != 0).all()
  np.testing.assert_allclose(grads.logits[1, 3:], [0.25, 0.25, 0.25, -0.75])


def test_row_error_without_words():
  rows = Row(ROWS.numeric, jnp.zeros((2, 0), jnp.int32))
  prediction = RowPrediction(PREDICTION.numeric, jnp.zeros((2, 0)))
  error, count = row_error(prediction, rows, sizes=())
  assert error.tolist() == [4.0, 1.0] and count.tolist() == [1.0, 2.0]


def test_mask_error_by_hand():
  mask = jnp.array([[True, False], [True, True]])
  np.testing.assert_allclose(
    mask_error(jnp.zeros((2, 2)), mask), np.log(2.0), rtol=1e-6
  )
  logits = jnp.array([[2.0, -1.0], [0.0, 3.0]])
  expected = [
    (np.log1p(np.exp(-2.0)) + np.log1p(np.exp(-1.0))) / 2,
    (np.log(2.0) + np.log1p(np.exp(-3.0))) / 2,
  ]
  np.testing.assert_allclose(mask_error(logits, mask), expected, rtol=1e-6)


def test_bad_shapes():
  with pytest.raises(InputError):
    row_error(PREDICTION, ROWS, sizes=(3, 3))
  with pytest.raises(InputError):
    mask_error(jnp.zeros((2, 2)), jnp.zeros((2, 3), bool))
