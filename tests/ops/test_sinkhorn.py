"""Sinkhorn-Knopp against SwAV's code, a float64 loop and its own symmetries."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import ops
from jaxssl.errors import InputError
from tests import golden


def loop_sinkhorn(scores, epsilon, iterations):
  """The paper's loop in float64, shifted by the one maximum of all scores."""
  logits = np.asarray(scores, np.float64) / epsilon
  q = np.exp(logits - logits.max())
  for _ in range(iterations):
    q /= q.sum(axis=0, keepdims=True)
    q /= q.sum(axis=1, keepdims=True)
  return q


def random_scores(*shape, low=-1.0, high=1.0):
  return np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)


@pytest.mark.parametrize("case", golden.load("sinkhorn"))
def test_it_is_swavs(case):
  got = ops.sinkhorn(jnp.asarray(case.inputs["scores"]), **case.options)
  atol, rtol = case.tolerance["expected"]
  np.testing.assert_allclose(got, case.outputs["expected"], atol=atol, rtol=rtol)


def test_logits_of_ten_thousand_are_exact():
  scores = random_scores(16, 5, low=490.0, high=510.0)
  got = ops.sinkhorn(jnp.asarray(scores), epsilon=0.05, iterations=3)
  expected = loop_sinkhorn(scores, 0.05, 3)
  np.testing.assert_allclose(got, expected, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize(
  "scores", [np.full((3, 2), -1e4), [[0.0, 500.0]] * 3, np.eye(3) * 1e3 - 500]
)
def test_distant_logits_stay_finite(scores):
  scores = jnp.asarray(scores, jnp.float32)
  got = ops.sinkhorn(scores, epsilon=0.05, iterations=3)
  np.testing.assert_allclose(got.sum(axis=1), 1.0, rtol=1e-5)


def test_pitfall_5_row_maxima_are_not_shifted_away():
  scores = random_scores(8, 4) * np.linspace(0.1, 3.0, 8, dtype=np.float32)[:, None]
  rows_shifted = scores - scores.max(axis=1, keepdims=True)
  options = {"epsilon": 0.05, "iterations": 1}
  got = ops.sinkhorn(jnp.asarray(scores), **options)
  np.testing.assert_allclose(got, loop_sinkhorn(scores, 0.05, 1), atol=1e-5)
  other = loop_sinkhorn(rows_shifted, 0.05, 1)
  assert np.abs(got - other).max() > 0.1  # what libraries that shift rows compute


def test_rows_can_be_permuted():
  scores = random_scores(9, 4)
  order = np.random.default_rng(1).permutation(9)
  got = ops.sinkhorn(jnp.asarray(scores), epsilon=0.1, iterations=3)
  permuted = ops.sinkhorn(jnp.asarray(scores[order]), epsilon=0.1, iterations=3)
  np.testing.assert_allclose(permuted, got[order], rtol=1e-4, atol=1e-6)


def test_many_iterations_use_all_prototypes_alike():
  got = ops.sinkhorn(jnp.asarray(random_scores(12, 4)), epsilon=0.2, iterations=100)
  np.testing.assert_allclose(got.sum(axis=1), 1.0, rtol=1e-5)
  np.testing.assert_allclose(got.sum(axis=0), 3.0, rtol=1e-3)


@pytest.mark.parametrize("garbage", [0.0, 1e6, np.inf, np.nan])
def test_masked_rows_take_no_part(garbage):
  scores, mask = random_scores(8, 3), np.array([1, 0, 1, 1, 0, 1, 1, 0])
  scores[mask == 0] = garbage
  options = {"epsilon": 0.05, "iterations": 3}
  got = ops.sinkhorn(jnp.asarray(scores), mask=jnp.asarray(mask), **options)
  alone = ops.sinkhorn(jnp.asarray(scores[mask == 1]), **options)
  np.testing.assert_allclose(got[mask == 1], alone, rtol=1e-5, atol=1e-7)
  np.testing.assert_array_equal(got[mask == 0], 0.0)


def test_an_empty_mask_gives_zeros():
  scores = jnp.asarray(random_scores(4, 3))
  got = ops.sinkhorn(scores, epsilon=0.05, iterations=3, mask=jnp.zeros(4))
  np.testing.assert_array_equal(got, 0.0)


def test_bfloat16_scores_are_assigned_in_float32():
  scores = jnp.asarray(random_scores(8, 4), jnp.bfloat16)
  got = ops.sinkhorn(scores, epsilon=0.05, iterations=3)
  assert got.dtype == jnp.float32
  expected = loop_sinkhorn(np.asarray(scores.astype(jnp.float32)), 0.05, 3)
  np.testing.assert_allclose(got, expected, atol=1e-5)


def test_epsilon_may_be_a_schedules_value():
  scores = jnp.asarray(random_scores(6, 3))
  assign = jax.jit(lambda epsilon: ops.sinkhorn(scores, epsilon=epsilon, iterations=3))
  expected = loop_sinkhorn(scores, 0.05, 3)
  np.testing.assert_allclose(assign(jnp.float32(0.05)), expected, atol=1e-5)


@pytest.mark.parametrize(
  ("prototypes", "epsilon", "iterations", "says"),
  [
    (1, 0.05, 3, "at least 2 prototypes, not 1"),
    (4, 0.05, 0, "at least 1 iteration, not 0"),
    (4, 0.0, 3, "positive epsilon, not 0.0"),
  ],
)
def test_it_refuses(prototypes, epsilon, iterations, says):
  with pytest.raises(InputError, match=says):
    ops.sinkhorn(jnp.ones((5, prototypes)), epsilon=epsilon, iterations=iterations)


def test_shapes_are_checked():
  with pytest.raises(AssertionError):
    ops.sinkhorn(jnp.ones(4), epsilon=0.05, iterations=3)
  with pytest.raises(AssertionError):
    ops.sinkhorn(jnp.ones((4, 2)), epsilon=0.05, iterations=3, mask=jnp.ones(3))
