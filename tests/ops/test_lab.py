"""L*a*b* and its bins against the CIE's formulas, written out by hand."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import ops
from jaxssl.errors import InputError


def xyz_matrix():
  """Linear sRGB to XYZ from the chromaticities of primaries and white (IEC 61966)."""
  primaries = np.array([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]])
  white = np.array([0.3127, 0.3290])
  lift = lambda xy: np.array([xy[0] / xy[1], 1.0, (1 - xy[0] - xy[1]) / xy[1]])
  columns = np.stack([lift(xy) for xy in primaries], axis=1)
  return columns * np.linalg.solve(columns, lift(white)), lift(white)


def slow_lab(rgb):
  """One colour, number by number."""
  matrix, white = xyz_matrix()
  linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
  ratio = [sum(m * c for m, c in zip(row, linear, strict=True)) for row in matrix]
  ratio = [r / w for r, w in zip(ratio, white, strict=True)]
  f = [
    t ** (1 / 3) if t > (6 / 29) ** 3 else t * (29 / 6) ** 2 / 3 + 4 / 29 for t in ratio
  ]
  return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


@pytest.fixture(scope="module")
def cube():
  """Colours on a grid through all of sRGB, [n, 3]."""
  steps = np.linspace(0, 1, 52, dtype=np.float32)
  return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)


def test_lab_is_the_definition():
  colors = np.array(jax.random.uniform(jax.random.key(0), (50, 3)))
  colors[:10] *= 0.05  # the straight parts of both curves
  expected = [slow_lab(c) for c in colors.astype(np.float64)]
  np.testing.assert_allclose(ops.srgb_to_lab(jnp.asarray(colors)), expected, atol=0.02)


def test_lab_of_known_colors():
  """Values as Lindbloom's calculator and the CIE's tables have them."""
  known = {
    (1, 0, 0): (53.241, 80.092, 67.203),
    (0, 1, 0): (87.735, -86.183, 83.179),
    (0, 0, 1): (32.297, 79.188, -107.860),
    (1, 1, 1): (100, 0, 0),
    (0, 0, 0): (0, 0, 0),
  }
  got = ops.srgb_to_lab(jnp.array(list(known), jnp.float32))
  np.testing.assert_allclose(got, list(known.values()), atol=2e-3)


def test_there_and_back(cube):
  back = ops.lab_to_srgb(ops.srgb_to_lab(jnp.asarray(cube)))
  np.testing.assert_allclose(back, cube, atol=2e-5)


def test_impossible_colors_are_clipped():
  lab = jnp.array([[50.0, 200, 0], [0, 0, -120], [100, -90, 90], [-5, 0, 0]])
  rgb = ops.lab_to_srgb(lab)
  assert np.isfinite(rgb).all() and rgb.min() >= 0 and rgb.max() <= 1


def test_grey_has_no_color_and_its_own_lightness():
  grey = jnp.linspace(0, 1, 11)[:, None]
  lab = ops.srgb_to_lab(jnp.repeat(grey, 3, axis=1))
  np.testing.assert_allclose(lab[:, 1:], 0, atol=1e-4)
  np.testing.assert_array_equal(ops.lightness(grey), lab[:, :1])
  assert float(ops.lightness(jnp.array([0.5]))[0]) == pytest.approx(53.389, abs=1e-3)


def test_gradients_are_finite_at_black_and_white():
  slope = jax.grad(lambda x: ops.srgb_to_lab(x).sum())
  assert np.isfinite(jax.vmap(slope)(jnp.array([[0.0] * 3, [1.0] * 3]))).all()


def test_grey_images_are_refused():
  with pytest.raises(InputError, match="3 channels"):
    ops.srgb_to_lab(jnp.zeros((4, 4, 1)))


def test_there_are_313_bins_which_surround_every_color(cube):
  bins = ops.ab_bins()
  assert bins.shape == (313, 2)
  known = {tuple(b) for b in bins.tolist()}
  assert len(known) == 313 and {p % 10 for b in known for p in b} == {0}
  ab = np.asarray(ops.srgb_to_lab(jnp.asarray(cube)))[:, 1:]
  cells = np.unique(np.floor(ab / 10), axis=0)
  corners = {
    (10 * (a + i), 10 * (b + j))
    for a, b in cells.tolist()
    for i, j in itertools.product((0, 1), (0, 1))
  }
  assert corners <= known and len(known - corners) < 12  # most are just that
  nearest = [np.hypot(*(ab - b).T).min() for b in bins]
  assert max(nearest) < 15  # a corner is less than 14.2 away


def test_soft_bins_are_a_loop_over_the_bins():
  colors = np.array([[3.0, 4.0], [-61.5, 22.2], [97.0, -60.0]], np.float32)
  found = ops.soft_bins(jnp.asarray(colors), nearest=10, sigma=5.0)
  for color, index, weight in zip(colors, *found, strict=True):
    away = [math.dist(color, b) for b in ops.ab_bins()]
    closest = sorted(range(313), key=lambda q, a=away: a[q])[:10]
    assert set(index.tolist()) == set(closest) and int(index[0]) == closest[0]
    raw = np.array([math.exp(-(away[q] ** 2) / 50) for q in index.tolist()])
    np.testing.assert_allclose(weight, raw / raw.sum(), rtol=1e-4, atol=1e-7)


def test_a_color_at_a_bin_is_mostly_that_bin():
  bins = ops.ab_bins()
  found = ops.soft_bins(jnp.asarray(bins), nearest=5)
  np.testing.assert_array_equal(found.index[:, 0], np.arange(313))
  assert (found.weight[:, 0] > 0.6).all()
  np.testing.assert_allclose(found.weight.sum(-1), 1, rtol=1e-6)


def test_annealed_mean_goes_from_the_mean_to_the_mode():
  bins = ops.ab_bins()
  even = ops.annealed_mean(jnp.zeros((2, 313)), temperature=0.38)
  np.testing.assert_allclose(even, np.tile(bins.mean(0), (2, 1)), rtol=1e-4)
  logits = jnp.zeros(313).at[7].set(1.0).at[200].set(0.5)
  near = ops.annealed_mean(logits, temperature=0.01)
  np.testing.assert_allclose(near, bins[7], atol=1e-3)
  share = np.exp(np.asarray(logits, np.float64) / 0.38)
  expected = share @ bins / share.sum()
  np.testing.assert_allclose(ops.annealed_mean(logits), expected, rtol=1e-4)


def test_prior_counts_colors_and_smooths_them():
  red = np.zeros((2, 4, 4, 3), np.uint8)
  red[..., 0] = 255  # a = 80.1, b = 67.2: the bin at (80, 70)
  prior = ops.color_prior(red, sigma=5.0)
  assert prior.sum() == pytest.approx(1)
  top = ops.ab_bins()[prior.argmax()]
  np.testing.assert_array_equal(top, [80, 70])
  at = {tuple(b): p for b, p in zip(ops.ab_bins().tolist(), prior, strict=True)}
  assert at[80, 60] / at[80, 70] == pytest.approx(math.exp(-100 / 50))
  np.testing.assert_allclose(ops.color_prior(red / np.float32(255)), prior)


def test_rebalancing_is_the_formula_and_has_mean_1_under_the_prior():
  prior = np.random.default_rng(0).random(313)
  prior[[3, 5]] = 0
  weights = ops.rebalancing(prior, gamma=0.5, alpha=1.0)
  p = prior / prior.sum()
  assert p @ weights == pytest.approx(1)
  raw = 1 / (0.5 * p + 0.5 / 311)
  kept = prior > 0
  np.testing.assert_allclose(weights[kept] / weights[0], (raw / raw[0])[kept], 1e-5)
  assert weights[3] == weights[5] == weights.max()  # rarer than all that occur
  assert weights[p.argmax()] == weights.min()


def test_rebalancing_without_strength_is_none():
  prior = np.random.default_rng(0).random(313)
  np.testing.assert_allclose(ops.rebalancing(prior, alpha=0.0), 1)
  np.testing.assert_allclose(ops.rebalancing(prior, gamma=1.0), 1, rtol=1e-6)


BAD = {
  "grey": (lambda: ops.color_prior(np.zeros((2, 8, 8, 1), np.uint8)), "colour images"),
  "one image": (lambda: ops.color_prior(np.zeros((8, 8, 3), np.uint8)), "colour"),
  "sigma": (lambda: ops.color_prior(np.zeros((1, 2, 2, 3)), sigma=0.0), "sigma"),
  "no bins": (lambda: ops.soft_bins(jnp.zeros((1, 2)), nearest=0), "1 to 313"),
  "many bins": (lambda: ops.soft_bins(jnp.zeros((1, 2)), nearest=314), "1 to 313"),
  "cold": (lambda: ops.annealed_mean(jnp.zeros(313), temperature=0.0), "above 0"),
  "short prior": (lambda: ops.rebalancing(np.ones(312)), "313 numbers"),
  "empty prior": (lambda: ops.rebalancing(np.zeros(313)), "not all 0"),
  "gamma": (lambda: ops.rebalancing(np.ones(313), gamma=1.5), "gamma is 1.5"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
  run, message = BAD[name]
  with pytest.raises(InputError, match=message):
    run()
