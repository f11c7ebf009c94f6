"""W-MSE: reference values, a loop, invariances, conditioning, hard points, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from tests import golden
from tests.losses import common


def views(rows=9, dim=3):
  z_a, noise = common.normal((rows, dim), (rows, dim))
  return z_a, z_a + 0.5 * noise


@jax.jit
def run(z_a, z_b, epsilon=0.0):
  """The loss and its gradients to both views."""
  loss = lambda z_a, z_b: losses.w_mse(z_a, z_b, epsilon=epsilon)
  return jax.value_and_grad(loss, (0, 1))(z_a, z_b)


@pytest.mark.parametrize("case", golden.load("w_mse"), ids=range(2))
def test_published_implementations(case):
  epsilon = case.options["epsilon"]
  value, gradients = run(case.inputs["z_a"], case.inputs["z_b"], epsilon)
  got = {"expected": value, "grad_z_a": gradients[0], "grad_z_b": gradients[1]}
  common.assert_matches(got, case)


def loop_w_mse(z_a, z_b, epsilon=0.0):
  whitened = []
  for z in (z_a, z_b):
    covariance = np.cov(z.T, ddof=1)
    covariance = (1 - epsilon) * covariance + epsilon * np.eye(z.shape[1])
    inverse = np.linalg.inv(np.linalg.cholesky(covariance))
    whitened.append([common.unit(inverse @ row) for row in z - z.mean(0)])
  return np.mean([np.sum((a - b) ** 2) for a, b in zip(*whitened, strict=True)])


@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_value_and_gradient_of_a_loop(epsilon):
  inputs = views()
  exact_a, exact_b = (np.float64(z) for z in inputs)
  value, gradients = run(*inputs, epsilon)
  np.testing.assert_allclose(value, loop_w_mse(exact_a, exact_b, epsilon), rtol=1e-5)
  expected = (
    common.numeric_gradient(lambda z: loop_w_mse(z, exact_b, epsilon), exact_a),
    common.numeric_gradient(lambda z: loop_w_mse(exact_a, z, epsilon), exact_b),
  )
  common.assert_all_close(gradients, expected, rtol=1e-3, atol=1e-5)


def test_identical_views_have_no_loss_and_no_gradient():
  z, _ = views()
  value, gradients = run(z, z)
  common.assert_all_close([value, *gradients], [0.0, 0 * z, 0 * z], atol=1e-5)


def test_shift_and_triangular_maps_of_a_view_do_not_matter():
  """They move into the Cholesky factor; so do the scales of the dimensions."""
  z_a, z_b = views()
  maps = [np.tril(m) + 2 * np.eye(3, dtype=np.float32)
          for m in common.normal((3, 3), (3, 3), seed=2)]  # fmt: skip
  value, _ = run(z_a, z_b)
  moved, _ = run(z_a @ maps[0].T + 3.0, z_b @ maps[1].T - 1.0)
  np.testing.assert_allclose(moved, value, rtol=1e-4)


def test_rotation_of_views_with_one_covariance_does_not_matter():
  z, _ = views()
  turn, order = common.rotation(3), np.roll(np.arange(9), 2)
  value, _ = run(z, z[order])
  rotated, _ = run(z @ turn, (z @ turn)[order])
  np.testing.assert_allclose(rotated, value, rtol=1e-4)


def test_order_of_rows_and_of_views_does_not_matter():
  z_a, z_b = views()
  value, _ = run(z_a, z_b)
  order = np.roll(np.arange(9), 4)
  np.testing.assert_allclose(run(z_a[order], z_b[order])[0], value, rtol=1e-5)
  np.testing.assert_allclose(run(z_b, z_a)[0], value, rtol=1e-5)


@pytest.mark.parametrize("kind", ["scales", "nearly one direction"])
def test_stays_exact_where_a_float32_cholesky_does_not(kind):
  """Condition numbers of 1e6 (of dimensions) and 1e3 (of directions)."""
  z_a, z_b = views(rows=24)
  if kind == "scales":
    change = np.diag([1e-3, 1.0, 1e3])
  else:
    change = np.ones((3, 3)) + 1e-3 * np.eye(3)
  moved = [(z @ change).astype(np.float32) for z in (z_a, z_b)]
  value, gradients = run(*moved)
  np.testing.assert_allclose(value, loop_w_mse(*map(np.float64, moved)), rtol=5e-3)
  common.assert_finite(gradients)


def test_sharded_rows_give_the_same():
  inputs = views(rows=16)
  got = run(*common.over_devices(inputs))
  common.assert_all_close(got, run(*inputs), rtol=1e-4, atol=1e-5)


HARD = {
  "identical views": lambda a, b: (a, a),
  "zeros": lambda a, b: (0.0 * a, 0.0 * b),
  "one view constant": lambda a, b: (a, 0.0 * b + 5.0),
  "one dimension constant": lambda a, b: (a * [1, 0, 1], b),
  "repeated dimension": lambda a, b: (a[:, [0, 0, 1]], b[:, [1, 1, 1]]),
  "all rows equal": lambda a, b: (a[[0] * 9], b[[0] * 9]),
  "one row more than dimensions": lambda a, b: (a[:4], b[:4]),
  "batch of two": lambda a, b: (a[:2, :1], b[:2, :1]),
  "large": lambda a, b: (1e4 * a, 1e4 * b),
  "small": lambda a, b: (1e-9 * a, 1e-9 * b),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("point", HARD.values(), ids=HARD.keys())
def test_hard_points_are_finite(point, dtype):
  inputs = [jnp.asarray(z, dtype) for z in point(*views())]
  value, gradients = run(*inputs)
  assert value.dtype == jnp.float32
  assert all(g.dtype == dtype for g in gradients)
  common.assert_finite([value, gradients])


def test_pitfall_6_half_precision_is_computed_in_single():
  inputs = common.half(views())
  expected, _ = run(*common.widened(inputs))
  np.testing.assert_allclose(run(*inputs)[0], expected, rtol=1e-6)


@pytest.mark.parametrize(
  ("shapes", "message"),
  [
    ([(4,), (4,)], r"\[batch, dim\]"),
    ([(9, 3), (1, 3)], "same"),
    ([(1, 3), (1, 3)], "more rows than dimensions"),
    ([(3, 3), (3, 3)], "more rows than dimensions"),
  ],
)
def test_other_shapes_say_what_to_pass(shapes, message):
  with pytest.raises(InputError, match=message):
    losses.w_mse(*map(jnp.ones, shapes))


@pytest.mark.parametrize("epsilon", [-0.1, 1.0, float("nan")])
def test_epsilon_is_a_share(epsilon):
  with pytest.raises(InputError, match="epsilon"):
    losses.w_mse(*views(), epsilon=epsilon)
