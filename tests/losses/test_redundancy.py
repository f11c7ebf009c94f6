"""Barlow Twins, VICReg and TiCo: reference values, invariances, hard points, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from tests import golden
from tests.losses import common

NAMES = ["barlow_twins", "vicreg"]
CASES = [
  pytest.param(name, case, id=f"{name}-{i}")
  for name in NAMES
  for i, case in enumerate(golden.load(name))
]


def normal(rows=9, dim=5, seed=0):
  rng = np.random.default_rng(seed)
  return [rng.normal(size=(rows, dim)).astype(np.float32) for _ in range(2)]


def run(name, z_a, z_b, **options):
  """The loss and its gradients to both views."""
  loss = lambda z_a, z_b: getattr(losses, name)(z_a, z_b, **options)
  return jax.jit(jax.value_and_grad(loss, (0, 1)))(z_a, z_b)


@pytest.mark.parametrize(("name", "case"), CASES)
def test_published_implementations(name, case):
  value, gradients = run(name, case.inputs["z_a"], case.inputs["z_b"], **case.options)
  got = {"expected": value, "grad_z_a": gradients[0], "grad_z_b": gradients[1]}
  for output, expected in case.outputs.items():
    atol, rtol = case.tolerance[output]
    np.testing.assert_allclose(
      got[output], expected, atol=atol, rtol=rtol, err_msg=f"{output}: {case.note}"
    )


# ---- loops


def loop_barlow_twins(z_a, z_b):
  views = [(z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5) for z in (z_a, z_b)]
  rows, dim = z_a.shape
  total = 0.0
  for i in range(dim):
    for j in range(dim):
      c = sum(views[0][n, i] * views[1][n, j] for n in range(rows)) / rows
      total += (1 - c) ** 2 if i == j else 0.0051 * c**2
  return total


def loop_vicreg(z_a, z_b):
  (rows, dim), total = z_a.shape, 25.0 * np.mean((z_a - z_b) ** 2)
  for z in (z_a, z_b):
    for i in range(dim):
      deviation = np.sqrt(z[:, i].var(ddof=1) + 1e-4)
      total += 25.0 / 2 * max(0.0, 1.0 - deviation) / dim
      for j in set(range(dim)) - {i}:
        products = (z[:, i] - z[:, i].mean()) * (z[:, j] - z[:, j].mean())
        total += (products.sum() / (rows - 1)) ** 2 / dim
  return total


@pytest.mark.parametrize("loop", [loop_barlow_twins, loop_vicreg])
def test_value_and_gradient_of_a_loop(loop):
  z_a, z_b = normal()
  exact_a, exact_b = z_a.astype(np.float64), z_b.astype(np.float64)
  value, gradients = run(loop.__name__.removeprefix("loop_"), z_a, z_b)
  np.testing.assert_allclose(value, loop(exact_a, exact_b), rtol=1e-5)
  expected = (
    common.numeric_gradient(lambda x: loop(x, exact_b), exact_a),
    common.numeric_gradient(lambda x: loop(exact_a, x), exact_b),
  )
  for gradient, numeric in zip(gradients, expected, strict=True):
    np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-5)


# ---- values and properties


def test_barlow_of_identical_whitened_views_is_zero():
  signs = np.array([[1, 1], [1, -1]])
  z = np.kron(np.kron(signs, signs), signs)[:, 1:].astype(np.float32)  # orthogonal
  value, _ = run("barlow_twins", z, z)
  np.testing.assert_allclose(value, 0.0, atol=1e-6)


def test_pitfall_4_barlow_of_independent_views():
  """dim + weight * dim * (dim - 1) / batch, in expectation."""
  z_a, z_b = normal(rows=2048, dim=16)
  value, _ = run("barlow_twins", z_a, z_b, off_diagonal_weight=100.0)
  np.testing.assert_allclose(value, 16 + 100.0 * 16 * 15 / 2048, rtol=0.1)


def test_barlow_is_invariant_to_scale_and_shift_of_a_dimension():
  z_a, z_b = normal()
  scale = np.linspace(2.0, 40.0, 5, dtype=np.float32)
  value, _ = run("barlow_twins", z_a, z_b)
  moved, _ = run("barlow_twins", z_a * scale + 3.0, z_b * 7.0 - scale)
  np.testing.assert_allclose(moved, value, rtol=1e-4)


def test_pitfall_4_vicreg_of_constant_views_is_the_variance_hinge():
  z = np.ones((6, 4), np.float32)
  value, _ = run("vicreg", z, z)
  np.testing.assert_allclose(value, 25.0 * (1.0 - 1e-4**0.5), rtol=1e-6)


def test_vicreg_is_invariant_to_a_shift_of_both_views():
  z_a, z_b = normal()
  value, _ = run("vicreg", z_a, z_b)
  moved, _ = run("vicreg", z_a + 3.0, z_b + 3.0)
  np.testing.assert_allclose(moved, value, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_order_of_rows_and_of_dimensions_does_not_matter(name):
  z_a, z_b = normal()
  rng = np.random.default_rng(1)
  place = np.ix_(rng.permutation(9), rng.permutation(5))
  value, _ = run(name, z_a, z_b)
  permuted, _ = run(name, z_a[place], z_b[place])
  np.testing.assert_allclose(permuted, value, rtol=1e-5)
  exchanged, _ = run(name, z_b, z_a)
  np.testing.assert_allclose(exchanged, value, rtol=1e-5)


@pytest.mark.parametrize(
  ("weight", "term"),
  [
    ("invariance_weight", lambda a, b: np.mean((a - b) ** 2)),
    ("variance_weight", lambda a, b: 0.5 * (hinge(a) + hinge(b))),
  ],
)
def test_vicreg_weights_belong_to_their_terms(weight, term):
  z_a, z_b = (0.3 * z for z in normal())
  off = dict.fromkeys(
    ["invariance_weight", "variance_weight", "covariance_weight"], 0.0
  )
  value = losses.vicreg(z_a, z_b, **{**off, weight: 2.0})
  np.testing.assert_allclose(value, 2.0 * term(z_a, z_b), rtol=1e-5)


def hinge(z):
  return np.mean(np.maximum(0.0, 1.0 - np.sqrt(z.var(0, ddof=1) + 1e-4)))


@pytest.mark.parametrize("name", NAMES)
def test_sharded_rows_give_the_same(name):
  z_a, z_b = normal(rows=16)
  mesh = jax.sharding.Mesh(np.array(jax.devices()), ("data",))
  rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
  expected = jax.tree.leaves(run(name, z_a, z_b))
  got = jax.tree.leaves(run(name, *jax.device_put((z_a, z_b), rows)))
  for g, e in zip(got, expected, strict=True):
    np.testing.assert_allclose(g, e, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_products_are_taken_at_full_precision(name):
  text = str(jax.make_jaxpr(lambda a, b: run(name, a, b))(*normal()))
  full = "precision=(Precision.HIGHEST, Precision.HIGHEST)"
  assert text.count(full) == text.count("dot_general[") >= 3


# ---- hard points and errors

HARD = {
  "identical views": lambda a, b: (a, a),
  "zeros": lambda a, b: (0.0 * a, 0.0 * b),
  "one view constant": lambda a, b: (a, 0.0 * b + 5.0),
  "batch of two": lambda a, b: (a[:2], b[:2]),
  "two equal rows": lambda a, b: (a[[0, 0]], b[[0, 0]]),
  "large": lambda a, b: (1e4 * a, 1e4 * b),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("point", HARD.values(), ids=HARD.keys())
@pytest.mark.parametrize("name", NAMES)
def test_hard_points_are_finite(name, point, dtype):
  z_a, z_b = (jnp.asarray(z, dtype) for z in point(*normal()))
  value, gradients = run(name, z_a, z_b)
  assert value.dtype == jnp.float32
  assert np.isfinite(value)
  for gradient in gradients:
    assert gradient.dtype == dtype
    assert np.isfinite(np.asarray(gradient, np.float32)).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
  ("shapes", "message"),
  [
    (((4,), (4,)), r"\[batch, dim\]"),
    (((2, 3, 4), (2, 3, 4)), r"\[batch, dim\]"),
    (((3, 4), (1, 4)), "same"),
    (((3, 4), (3, 5)), "same"),
    (((1, 4), (1, 4)), "at least 2"),
  ],
)
def test_other_shapes_say_what_to_pass(name, shapes, message):
  with pytest.raises(InputError, match=message):
    getattr(losses, name)(*map(jnp.ones, shapes))


# ---- TiCo

TICO = {"beta": 0.9, "rho": 20.0}


def moment(dim=5):
  z = common.unit(common.normal((40, dim), seed=4)[0])
  return z.T @ z / 40


def run_tico(z_a, z_b, covariance, **options):
  """The loss, its gradients to both views, and the updated moment."""

  def loss(z_a, z_b):
    return losses.tico(z_a, z_b, covariance, **{**TICO, **options})

  both = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
  (value, updated), gradients = both(z_a, z_b)
  return value, gradients, updated


@pytest.mark.parametrize("case", golden.load("tico"), ids=range(2))
def test_tico_of_published_implementations(case):
  value, gradients, updated = run_tico(**case.inputs, **case.options)
  got = {"expected": value, "grad_z_a": gradients[0], "grad_z_b": gradients[1]}
  common.assert_matches(got | {"updated_covariance": updated}, case)


def loop_tico_moment(z, covariance):
  fresh = sum(np.outer(row, row) for row in common.unit(z)) / len(z)
  return 0.9 * covariance + 0.1 * fresh


def loop_tico(z_a, z_b, seen):
  rows = []
  for a, b in zip(common.unit(z_a), common.unit(z_b), strict=True):
    rows.append(1 - a @ b + 20.0 * (a @ seen @ a))
  return np.mean(rows)


def test_tico_is_the_value_and_gradient_of_a_loop_with_the_moment_constant():
  z_a, z_b = normal()
  value, gradients, updated = run_tico(z_a, z_b, moment())
  exact_a, exact_b = z_a.astype(np.float64), z_b.astype(np.float64)
  seen = loop_tico_moment(exact_a, moment())
  np.testing.assert_allclose(updated, seen, rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(value, loop_tico(exact_a, exact_b, seen), rtol=1e-5)
  expected = (
    common.numeric_gradient(lambda z: loop_tico(z, exact_b, seen), exact_a),
    common.numeric_gradient(lambda z: loop_tico(exact_a, z, seen), exact_b),
  )
  common.assert_all_close(gradients, expected, rtol=1e-4, atol=1e-5)


def test_tico_of_one_point_is_the_share_of_this_batch_in_the_moment():
  z = np.ones((4, 5), np.float32)
  value, _, _ = run_tico(z, z, np.zeros((5, 5), np.float32))
  np.testing.assert_allclose(value, 20.0 * 0.1, rtol=1e-5)


def test_tico_ignores_length_order_and_rotation():
  z_a, z_b = normal()
  value, _, _ = run_tico(z_a, z_b, moment())
  turn, order = common.rotation(5), np.roll(np.arange(9), 2)
  lengths = np.linspace(0.1, 9.0, 9, dtype=np.float32)[:, None]
  views = [(lengths * z)[order] @ turn for z in (z_a, z_b)]
  moved, _, _ = run_tico(*views, turn.T @ moment() @ turn)
  np.testing.assert_allclose(moved, value, rtol=1e-4)


def test_tico_over_devices_and_at_full_precision():
  z_a, z_b = normal(rows=16)
  got = run_tico(*common.over_devices([z_a, z_b]), moment())
  common.assert_all_close(got, run_tico(z_a, z_b, moment()), rtol=1e-4, atol=1e-5)
  loss = lambda z_a, z_b: run_tico(z_a, z_b, moment())
  common.assert_full_precision(loss, z_a, z_b, products=3)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("point", HARD.values(), ids=HARD.keys())
def test_tico_at_hard_points_is_finite_and_in_single(point, dtype):
  views = [jnp.asarray(z, dtype) for z in point(*normal())]
  value, gradients, updated = run_tico(*views, jnp.asarray(moment(), dtype))
  assert value.dtype == updated.dtype == jnp.float32
  common.assert_finite([value, gradients])
  widened = common.widened([*views, jnp.asarray(moment(), dtype)])
  np.testing.assert_allclose(value, run_tico(*widened)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  ("shapes", "message"),
  [
    ([(4,), (4,), (4, 4)], r"\[batch, dim\]"),
    ([(3, 4), (1, 4), (4, 4)], "same"),
    ([(1, 4), (1, 4), (4, 4)], "at least 2"),
    ([(3, 4), (3, 4), (5, 5)], "covariance"),
    ([(3, 4), (3, 4), (4,)], "covariance"),
  ],
)
def test_tico_shapes_say_what_to_pass(shapes, message):
  with pytest.raises(InputError, match=message):
    losses.tico(*map(jnp.ones, shapes), **TICO)
