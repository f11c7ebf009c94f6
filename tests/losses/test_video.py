"""Losses of clips: slow loops, hard points, bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from tests.losses import common

ROWS = 7


def relations(seed=0, rows=ROWS):
  """Random positives and negatives; row 0 has no positive, the last no negative."""
  rng = np.random.default_rng(seed)
  kind = rng.integers(3, size=(rows, rows))
  positive, negative = kind == 1, kind == 2
  np.fill_diagonal(positive, False)
  np.fill_diagonal(negative, False)
  positive[0], negative[-1] = False, False
  return positive, negative


def loop_triplets(z, positive, negative, margin):
  z = common.unit(np.float64(z))
  apart = lambda i, j: np.sum((z[i] - z[j]) ** 2)
  total = 0.0
  for a, p in np.argwhere(positive):
    known = [apart(a, n) for n in np.flatnonzero(negative[a])]
    if not known:
      continue
    beyond = [d for d in known if d > apart(a, p)]
    chosen = min(beyond) if beyond else max(known)
    total += max(margin + apart(a, p) - chosen, 0.0)
  return total / max(positive.sum(), 1)


def loop_n_pairs(z, positive, negative, regularization):
  z, total = np.float64(z), 0.0
  for a, p in np.argwhere(positive):
    others = [np.exp(z[a] @ (z[n] - z[p])) for n in np.flatnonzero(negative[a])]
    total += np.log(1.0 + sum(others))
  norms = np.mean(np.sum(z**2, axis=1))
  return total / max(positive.sum(), 1) + regularization / 4 * 2 * norms


LOOPS = {
  "triplet": (losses.triplet_semi_hard, loop_triplets, {"margin": 0.3}),
  "n_pairs": (losses.n_pairs, loop_n_pairs, {"regularization": 0.01}),
}
each = pytest.mark.parametrize("name", LOOPS)


@each
@pytest.mark.parametrize("seed", [0, 1])
def test_value_and_gradient_of_a_loop(name, seed):
  loss, loop, options = LOOPS[name]
  (z,), masks = common.normal((ROWS, 4), seed=seed), relations(seed)
  run = jax.jit(jax.value_and_grad(lambda z: loss(z, *masks, **options)))
  value, gradient = run(z)
  slow = lambda z: loop(z, *masks, *options.values())
  np.testing.assert_allclose(value, slow(z), rtol=1e-5)
  expected = common.numeric_gradient(slow, np.float64(z))
  np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4)


def test_a_semi_hard_negative_is_farther_than_the_positive():
  """The nearest negative of all is nearer than the positive, and is not taken."""
  angles = np.deg2rad([0.0, 40.0, 20.0, 60.0])  # anchor, positive, two negatives
  z = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
  positive, negative = np.zeros((2, 4, 4), bool)
  positive[0, 1], negative[0, 2:] = True, True
  value = losses.triplet_semi_hard(z, positive, negative, margin=1.0)
  chord = lambda degrees: 2 - 2 * np.cos(np.deg2rad(degrees))
  np.testing.assert_allclose(value, 1 + chord(40) - chord(60), rtol=1e-5)
  negative[0, 3] = False
  value = losses.triplet_semi_hard(z, positive, negative, margin=1.0)
  np.testing.assert_allclose(value, 1 + chord(40) - chord(20), rtol=1e-5)


@each
def test_scale_matters_to_n_pairs_alone(name):
  loss, _, options = LOOPS[name]
  (z,), masks = common.normal((ROWS, 4)), relations()
  same = np.isclose(loss(z, *masks, **options), loss(3 * z, *masks, **options))
  assert same == (name == "triplet")


@each
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_hard_points_are_finite(name, dtype):
  loss, _, options = LOOPS[name]
  nothing = np.zeros((ROWS, ROWS), bool)
  for scale in (0.0, 1e3):
    z = jnp.asarray(scale * common.normal((ROWS, 4))[0], dtype)
    for masks in (relations(), (nothing, nothing), (~nothing, nothing)):
      run = jax.value_and_grad(lambda z, m=masks: loss(z, *m, **options))
      value, gradient = run(z)
      assert value.dtype == jnp.float32
      common.assert_finite((value, gradient))


@each
def test_relations_must_fit(name):
  loss, (z,) = LOOPS[name][0], common.normal((ROWS, 4))
  masks = relations()
  with pytest.raises(InputError, match="`negative` must be bool"):
    loss(z, masks[0], masks[1][:2])
  with pytest.raises(InputError, match="`positive` must be bool"):
    loss(z, masks[0].astype(np.float32), masks[1])
  with pytest.raises(InputError, match=r"\[batch, dim\]"):
    loss(z[None], *masks)


def loop_gradient_difference(made, true, alpha):
  total = np.zeros(len(made))
  for place in np.ndindex(made.shape):
    row, *rest, i, j, c = place
    for di, dj in ((1, 0), (0, 1)):
      if i + di == made.shape[-3] or j + dj == made.shape[-2]:
        continue
      there = (row, *rest, i + di, j + dj, c)
      edge = lambda x, p=place, q=there: abs(x[q] - x[p])
      total[row] += abs(edge(true) - edge(made)) ** alpha
  return total


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_gradient_difference_of_a_loop(alpha):
  made, true = common.normal((1, 2, 3, 3, 1), (1, 2, 3, 3, 1))
  got = losses.gradient_difference(made, true, alpha=alpha)
  expected = loop_gradient_difference(np.float64(made), np.float64(true), alpha)
  np.testing.assert_allclose(got, expected, rtol=1e-5)
  slow = lambda x: loop_gradient_difference(x, np.float64(true), alpha).sum()
  run = lambda x: losses.gradient_difference(x, true, alpha=alpha).sum()
  expected = common.numeric_gradient(slow, np.float64(made))
  np.testing.assert_allclose(jax.grad(run)(made), expected, rtol=1e-3, atol=1e-4)


def test_gradient_difference_ignores_brightness_and_sees_blur():
  (true,) = common.normal((1, 1, 8, 8, 1))
  assert float(losses.gradient_difference(true + 0.5, true)[0]) < 1e-3
  assert float(losses.gradient_difference(0.5 * true, true)[0]) > 1.0


def test_absolute_error_of_a_loop():
  made, true = common.normal((3, 2, 2, 2, 1), (3, 2, 2, 2, 1))
  expected = [np.abs(a - b).sum() for a, b in zip(made, true, strict=True)]
  np.testing.assert_allclose(losses.absolute_error(made, true), expected, rtol=1e-6)


def test_frames_must_fit():
  x = jnp.ones((2, 3, 4, 4, 1))
  for loss in (losses.absolute_error, losses.gradient_difference):
    with pytest.raises(InputError):
      loss(x, x[:, :2])
  with pytest.raises(InputError, match="height, width"):
    losses.gradient_difference(x[0, 0], x[0, 0])
  with pytest.raises(InputError, match="exponent"):
    losses.gradient_difference(x, x, alpha=0.5)


def loop_cubes(clip, cube):
  """Every cube by slicing, [cubes, pixels, channels]."""
  deep, high, wide = cube
  t, h, w, _ = clip.shape
  starts = [range(0, n, c) for n, c in ((t, deep), (h, high), (w, wide))]
  return [
    clip[i : i + deep, j : j + high, k : k + wide].reshape(-1, clip.shape[-1])
    for i in starts[0]
    for j in starts[1]
    for k in starts[2]
  ]


def test_cube_targets_of_a_loop():
  (clips,) = common.normal((2, 4, 4, 6, 3))
  cube = (2, 2, 3)
  cubes = np.stack([loop_cubes(clip, cube) for clip in clips])
  plain = losses.cube_targets(clips, cube, normalize=False)
  np.testing.assert_allclose(plain, cubes.reshape(2, len(cubes[0]), -1))
  mean, std = cubes.mean(2, keepdims=True), cubes.std(2, ddof=1, keepdims=True)
  scaled = ((cubes - mean) / (std + 1e-6)).reshape(plain.shape)
  got = losses.cube_targets(clips, cube, normalize=True)
  np.testing.assert_allclose(got, scaled, rtol=1e-4, atol=1e-5)
