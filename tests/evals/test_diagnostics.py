import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import evals
from jaxssl.errors import InputError
from tests import golden

RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(500, 64)).astype(np.float32)
LINE = RNG.normal(size=(1, 64)).astype(np.float32)
measure = jax.jit(evals.collapse_measures)


@pytest.mark.parametrize("case", golden.load("alignment"))
def test_alignment_agrees_with_the_reference(case):
  function = functools.partial(evals.alignment, **case.options)
  inputs = case.inputs["x"], case.inputs["y"]
  value, grads = jax.jit(jax.value_and_grad(function, argnums=(0, 1)))(*inputs)
  got = {"expected_mean": value, "grad_x": grads[0], "grad_y": grads[1]}
  check_golden(case, got)


@pytest.mark.parametrize("case", golden.load("uniformity"))
def test_uniformity_agrees_with_the_reference(case):
  function = functools.partial(evals.uniformity, **case.options)
  value, grad = jax.jit(jax.value_and_grad(function))(case.inputs["x"])
  check_golden(case, {"expected": value, "grad_x": grad})


@pytest.mark.parametrize("case", golden.load("rankme"))
def test_rankme_agrees_with_the_reference(case):
  check_golden(case, {"expected": evals.rankme(case.inputs["z"], **case.options)})


def check_golden(case, got):
  assert got.keys() == case.outputs.keys()
  for name, (atol, rtol) in case.tolerance.items():
    np.testing.assert_allclose(got[name], case.outputs[name], rtol, atol)


def test_identical_pairs_are_aligned_and_have_a_gradient():
  pairs = np.eye(8, dtype=np.float32)  # unit already, so the distance is exactly 0
  for power in (1, 2):
    function = functools.partial(evals.alignment, power=power)
    value, grad = jax.jit(jax.value_and_grad(function))(pairs, pairs)
    assert value < 1e-11 and jnp.isfinite(grad).all()


def test_alignment_of_opposite_pairs():
  assert evals.alignment(NOISE, -NOISE) == pytest.approx(4, rel=1e-5)
  assert evals.alignment(NOISE, -NOISE, power=1) == pytest.approx(2, rel=1e-5)


def test_uniformity_of_one_point_and_of_two_poles():
  assert evals.uniformity(np.ones((4, 3), np.float32)) == pytest.approx(0, abs=1e-5)
  poles = np.array([[1, 0], [-1, 0]], np.float32)
  assert evals.uniformity(poles, t=3) == pytest.approx(-12, rel=1e-5)
  with pytest.raises(InputError, match="at least 2 rows"):
    evals.uniformity(poles[:1])


def test_ranks_count_directions():
  basis = np.linalg.qr(RNG.normal(size=(64, 5)))[0].T
  rows = np.concatenate([basis, -basis]).astype(np.float32)
  assert evals.rankme(rows, epsilon=1e-7) == pytest.approx(5, rel=1e-3)
  assert evals.effective_rank(rows) == pytest.approx(5, rel=1e-3)
  assert evals.effective_rank(rows + 100) == pytest.approx(5, rel=1e-2)


def test_deviations_run_over_the_rows_and_not_over_the_dimensions():
  assert evals.feature_std(NOISE) == pytest.approx(1, abs=0.01)
  assert evals.spread(NOISE) == pytest.approx(1, abs=0.01)
  equal_rows = np.repeat(NOISE[:1], 100, axis=0)
  assert evals.feature_std(equal_rows) < 1e-6
  assert evals.spread(equal_rows) < 1e-6


def test_spread_ignores_scale_and_counts_the_mean():
  offset = NOISE / NOISE.std() + np.float32(3)
  assert evals.spread(offset) == pytest.approx(1 / np.sqrt(10), rel=0.01)
  np.testing.assert_allclose(evals.spread(1e-3 * offset), evals.spread(offset), 1e-4)


def test_measures_are_float32_for_half_precision_features():
  for value in measure(NOISE.astype(jnp.bfloat16)).values():
    assert value.dtype == jnp.float32 and jnp.isfinite(value)


def untrained_features(images, seed):
  """Mean-pooled ReLU features of four random convolutions, [n, 64]."""
  x, shape = images.reshape(-1, 8, 8, 1), (3, 3, 1, 64)
  for key in jax.random.split(jax.random.key(seed), 4):
    kernel = jax.nn.initializers.he_normal()(key, shape)
    dimensions = ("NHWC", "HWIO", "NHWC")
    conv = jax.lax.conv_general_dilated(
      x, kernel, (1, 1), "SAME", dimension_numbers=dimensions
    )
    x, shape = jax.nn.relu(conv), (3, 3, 64, 64)
  return x.mean((1, 2))


@pytest.mark.parametrize("seed", range(3))
def test_untrained_nets_are_not_called_collapsed(digits, seed):
  features = untrained_features(digits.test[:200], seed)
  assert evals.feature_std(features) < 0.5  # the large common mean of ReLU features
  assert evals.verdict(measure(features)) is None


def test_healthy_features_are_not_called_collapsed(digits):
  clusters = LINE + NOISE[np.arange(500) % 10] + 0.01 * NOISE
  healthy = [digits.train, NOISE, np.maximum(NOISE, 0), 1e-3 * NOISE, clusters]
  assert [evals.verdict(measure(z)) for z in healthy] == [None] * 5


def test_few_rows_or_dimensions_are_not_called_collapsed():
  assert evals.verdict(measure(NOISE[:2])) is None
  assert evals.verdict(measure(NOISE[:, :1])) is None


@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
def test_equal_features_are_called_collapsed(scale):
  for noise in (0, 1e-4, 1e-2):
    z = (LINE + noise * NOISE) * np.float32(scale)
    sentence = evals.verdict(measure(z))
    assert "collapsing: the standard deviation per dimension" in sentence
  assert "collapsing" in evals.verdict(measure(np.zeros((20, 64), np.float32)))


@pytest.mark.parametrize("offset", [0, 1])
def test_features_on_a_line_are_called_collapsed(offset):
  for noise in (0, 1e-3):
    z = NOISE[:, :1] * LINE + noise * NOISE + np.float32(offset)
    sentence = evals.verdict(measure(z))
    assert "of 64 possible directions" in sentence


def test_diverged_features_are_named():
  z = NOISE.copy()
  z[3, 4] = np.nan
  assert "diverged" in evals.verdict(measure(z))
