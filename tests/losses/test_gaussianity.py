"""SIGReg: reference values, a loop, invariances, hard points, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from tests import golden
from tests.losses import common


def inputs(rows=6, dim=3, number=4):
  z, directions = common.normal((rows, dim), (dim, number))
  return z, directions / np.linalg.norm(directions, axis=0)


@functools.partial(jax.jit, static_argnames="knots")
def run(z, directions, t_max=3.0, knots=17):
  loss = lambda z: losses.sigreg(z, directions, t_max=t_max, knots=knots)
  return jax.value_and_grad(loss)(z)


@pytest.mark.parametrize("case", golden.load("sigreg"), ids=range(3))
def test_published_implementations(case):
  value, gradient = run(case.inputs["z"], case.inputs["directions"], **case.options)
  common.assert_matches({"expected": value, "grad_z": gradient}, case)


def loop_sigreg(z, directions, t_max, knots):
  """The trapezoid rule over [-t_max, t_max], with both halves written out."""
  points = np.linspace(-t_max, t_max, 2 * knots - 1)
  total = 0.0
  for direction in directions.T:
    heights = []
    for t in points:
      seen = np.mean([np.exp(1j * t * (row @ direction)) for row in z])
      gap = abs(seen - np.exp(-t * t / 2)) ** 2
      heights.append(gap * np.exp(-t * t / 2))
    total += np.trapezoid(heights, points)
  return len(z) * total / directions.shape[1]


@pytest.mark.parametrize(("t_max", "knots"), [(3.0, 17), (5.0, 2)])
def test_value_and_gradient_of_a_loop(t_max, knots):
  z, directions = inputs()
  value, gradient = run(z, directions, t_max, knots)
  loop = lambda z: loop_sigreg(z, np.float64(directions), t_max, knots)
  np.testing.assert_allclose(value, loop(np.float64(z)), rtol=1e-5)
  numeric = common.numeric_gradient(loop, np.float64(z))
  np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-5)


def test_normal_embeddings_are_better_than_collapsed_scaled_or_correlated_ones():
  z, directions = inputs(rows=512, dim=4, number=64)
  value, _ = run(z, directions)
  np.testing.assert_allclose(value, 1.06, rtol=0.3)  # its expectation, any batch
  correlated = z @ (np.ones((4, 4), np.float32) / 2)
  for other in (0 * z, 2 * z, z / 2, z + 1, correlated):
    assert run(other, directions)[0] > 5 * value


def test_order_rotation_and_sign_do_not_matter():
  z, directions = inputs()
  value, _ = run(z, directions)
  turn, order = common.rotation(3), np.array([3, 1, 5, 0, 2, 4])
  signs = np.array([1, -1, -1, 1], np.float32)
  moved, _ = run(z[order] @ turn, turn.T @ directions[:, ::-1] * signs)
  np.testing.assert_allclose(moved, value, rtol=1e-4)


def test_sharded_rows_give_the_same():
  z, directions = inputs(rows=16)
  got = run(common.over_devices(z), directions)
  common.assert_all_close(got, run(z, directions), rtol=1e-4, atol=1e-5)


def test_knots_do_not_add_to_the_memory():
  z, directions = (
    jax.ShapeDtypeStruct(shape, jnp.float32) for shape in ((512, 16), (16, 512))
  )
  few, many = (
    run.lower(z, directions, knots=k).compile().memory_analysis().temp_size_in_bytes
    for k in (3, 65)
  )
  assert many < few + 2**20


def test_products_are_taken_at_full_precision():
  common.assert_full_precision(losses.sigreg, *inputs(), products=1)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("rows", [2, 6])
def test_hard_points_are_finite_and_in_single(rows, scale, dtype):
  z, directions = inputs(rows=rows)
  z = jnp.asarray(scale * z, dtype)
  value, gradient = run(z, directions)
  assert (value.dtype, gradient.dtype) == (jnp.float32, dtype)
  common.assert_finite([value, gradient])
  np.testing.assert_allclose(value, run(np.float32(z), directions)[0], rtol=1e-5)


@pytest.mark.parametrize(
  ("shapes", "options", "message"),
  [
    ([(4,), (4, 2)], {}, r"\[batch, dim\]"),
    ([(1, 4), (4, 2)], {}, "at least 2"),
    ([(3, 4), (2, 4)], {}, "directions"),
    ([(3, 4), (4,)], {}, "directions"),
    ([(3, 4), (4, 2)], {"t_max": 0.0}, "t_max"),
    ([(3, 4), (4, 2)], {"knots": 1}, "knots"),
    ([(3, 4), (4, 2)], {"knots": 17.0}, "knots"),
  ],
)
def test_errors_say_what_to_pass(shapes, options, message):
  with pytest.raises(InputError, match=message):
    losses.sigreg(*map(jnp.ones, shapes), **options)
