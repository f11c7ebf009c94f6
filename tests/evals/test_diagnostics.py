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


def test_pitfall_15_deviations_run_over_the_rows_and_not_over_the_dimensions():
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


def test_features_that_point_one_way_are_called_collapsed():
  """A collapse under a loss of cosines leaves the lengths free: the spread is 0.1."""
  lengths = np.float32(1 + 0.1 * RNG.normal(size=(500, 1)))
  z = lengths * (LINE + 0.01 * NOISE)
  assert evals.spread(z) > 0.09 and evals.effective_rank(z) > 2
  assert "point nearly one way" in evals.verdict(measure(z))
  assert evals.verdict(measure(z[:, :4])) is None


def test_diverged_features_are_named():
  z = NOISE.copy()
  z[3, 4] = np.nan
  assert "diverged" in evals.verdict(measure(z))


@pytest.mark.parametrize("case", golden.load("lidar"))
def test_lidar_agrees_with_the_reference(case):
  check_golden(case, {"expected": evals.lidar(case.inputs["z"], **case.options)})


def loop_lidar(z, *, delta, epsilon):
  """By the formula: means, two covariances, eigenvectors, in float64."""
  z = z.astype(np.float64)
  samples, views, dim = z.shape
  between, within = np.zeros((dim, dim)), delta * np.eye(dim)
  for views_of_one in z:
    mean = views_of_one.mean(0)
    offset = mean - z.mean((0, 1))
    between += np.outer(offset, offset) / (samples - 1)
    for x in views_of_one:
      within += np.outer(x - mean, x - mean) / (samples * (views - 1))
  values, axes = np.linalg.eigh(within)
  root = axes @ np.diag(values**-0.5) @ axes.T
  p = np.linalg.eigvalsh(root @ between @ root).clip(0) + epsilon
  p /= p.sum()
  return np.exp(-(p * np.log(p)).sum())


@pytest.mark.parametrize("shape", [(6, 2, 30), (40, 2, 5), (9, 3, 18)])
@pytest.mark.parametrize("offset", [0, 10])
def test_lidar_agrees_with_the_formula(shape, offset):
  rng = np.random.default_rng(1)
  spectrum = np.geomspace(1, 0.05, shape[2])
  means = rng.normal(size=(shape[0], 1, shape[2])) * spectrum
  z = (offset + means + 0.1 * rng.normal(size=shape)).astype(np.float32)
  got = evals.lidar(z, delta=1e-3, epsilon=1e-6)
  expected = loop_lidar(z, delta=1e-3, epsilon=1e-6)
  np.testing.assert_allclose(got, expected, rtol=2e-3)


def test_lidar_counts_only_what_tells_examples_apart():
  """Rotations and any noise that views share in all directions change nothing."""
  rng = np.random.default_rng(2)
  means = np.zeros((200, 1, 16))
  means[..., :4] = rng.normal(size=(200, 1, 4))
  z = (means + 1e-2 * rng.normal(size=(200, 2, 16))).astype(np.float32)
  rotation = np.linalg.qr(rng.normal(size=(16, 16)))[0].astype(np.float32)
  assert evals.lidar(z) == pytest.approx(4, rel=0.05)
  assert evals.lidar(z @ rotation) == pytest.approx(float(evals.lidar(z)), rel=1e-3)
  with pytest.raises(InputError, match="2 views or more"):
    evals.lidar(z[:, :1])


def power_law(alpha, *, rows=400, dim=60):
  """Features whose covariance has the eigenvalues 1, 2^-alpha, 3^-alpha, ..."""
  rng = np.random.default_rng(3)
  x = rng.normal(size=(rows, dim))
  rows_axes = np.linalg.qr(x - x.mean(0))[0]
  axes = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
  scale = np.arange(1, dim + 1) ** (-alpha / 2)
  return (rows_axes * scale @ axes).astype(np.float32)


@pytest.mark.parametrize("alpha", [0, 0.5, 1, 2])
def test_alpha_req_of_a_power_law(alpha):
  z = power_law(alpha)
  assert evals.alpha_req(z) == pytest.approx(alpha, abs=1e-3)
  assert evals.alpha_req(100 * z + np.float32(5)) == pytest.approx(alpha, abs=1e-2)


def test_alpha_req_fits_the_middle_of_the_spectrum():
  """60 eigenvalues: ranks 4 to 30; what lies before and after has no say."""
  u, s, v = np.linalg.svd(power_law(1), full_matrices=False)
  s[:3], s[30:] = 100, 0
  assert evals.alpha_req(u * s @ v) == pytest.approx(1, abs=1e-3)
  s[3] *= 2
  assert evals.alpha_req(u * s @ v) > 1.05


def test_alpha_req_weighs_ranks_as_the_authors_do():
  """Against numpy's weighted line fit: `polyfit` wants roots of the weights."""
  values = np.linalg.svd(NOISE - NOISE.mean(0), compute_uv=False)[3:32] ** 2
  ranks = np.arange(4, 33)
  slope, _ = np.polyfit(np.log(ranks), np.log(values), 1, w=ranks**-0.5)
  assert evals.alpha_req(NOISE) == pytest.approx(-slope, rel=1e-3)


def test_alpha_req_at_the_edges():
  line = NOISE[:, :1] * LINE
  assert evals.alpha_req(line) == np.inf
  assert evals.alpha_req(np.ones((20, 8), np.float32)) == np.inf
  assert np.isfinite(evals.alpha_req(NOISE[:3, :2]))
  assert np.isnan(evals.alpha_req(np.full((20, 8), np.nan, np.float32)))
  with pytest.raises(InputError, match=r"\[3, 2\]"):
    evals.alpha_req(NOISE[:2])


def test_prototype_entropy_and_perplexity():
  uniform = np.full((6, 4), 0.25, np.float32)
  assert evals.prototype_entropy(uniform) == pytest.approx(np.log(4), rel=1e-6)
  hard = np.eye(4, dtype=np.float32)[[0, 1, 1, 0]]  # two of four, in equal parts
  assert evals.prototype_perplexity(hard) == pytest.approx(2, rel=1e-6)
  assert evals.prototype_entropy(hard[:1]) == 0
  grad = jax.grad(evals.prototype_perplexity)(uniform)
  assert jnp.isfinite(grad).all()
