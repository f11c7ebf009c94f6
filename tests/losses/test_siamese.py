"""BYOL and SimSiam losses: reference values, geometry, hard points, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from tests import golden

NAMES = ["byol", "negative_cosine"]
CASES = [
  pytest.param(name, case, id=f"{name}-{i}")
  for name in NAMES
  for i, case in enumerate(golden.load(name))
]


def normal(rows=6, dim=5):
  rng = np.random.default_rng(0)
  return [rng.normal(size=(rows, dim)).astype(np.float32) for _ in range(2)]


def run(name, prediction, target):
  """Rows, and the gradients of their mean to both inputs."""

  def mean(prediction, target):
    rows = getattr(losses, name)(prediction, target)
    return jnp.mean(rows), rows

  both = jax.jit(jax.value_and_grad(mean, (0, 1), has_aux=True))
  (_, rows), gradients = both(prediction, target)
  return rows, gradients


@pytest.mark.parametrize(("name", "case"), CASES)
def test_published_implementations(name, case):
  rows, gradients = run(name, case.inputs["prediction"], case.inputs["target"])
  got = {
    "expected_mean": np.mean(rows),
    "expected_rows": rows,
    "grad_prediction": gradients[0],
    "unstopped_grad_target": gradients[1],
  }
  for output, expected in case.outputs.items():
    atol, rtol = case.tolerance[output]
    np.testing.assert_allclose(
      got[output], expected, atol=atol, rtol=rtol, err_msg=f"{output}: {case.note}"
    )


@pytest.mark.parametrize("name", NAMES)
def test_value_of_a_loop(name):
  prediction, target = normal()
  rows, _ = run(name, prediction, target)
  for row, p, t in zip(rows, prediction, target, strict=True):
    p, t = p / np.linalg.norm(p), t / np.linalg.norm(t)
    expected = {"byol": np.sum((p - t) ** 2), "negative_cosine": -np.sum(p * t)}
    np.testing.assert_allclose(row, expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  ("name", "expected"), [("byol", [0, 2, 4]), ("negative_cosine", [-1, 0, 1])]
)
def test_aligned_orthogonal_and_opposite(name, expected):
  prediction = jnp.array([[3.0, 0.0]] * 3)
  target = jnp.array([[0.5, 0.0], [0.0, 2.0], [-7.0, 0.0]])
  rows = getattr(losses, name)(prediction, target)
  np.testing.assert_allclose(rows, expected, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_length_of_a_row_does_not_matter_and_its_gradient_is_across(name):
  prediction, target = normal()
  rows, (gradient, _) = run(name, prediction, target)
  lengths = np.linspace(0.01, 50.0, 6, dtype=np.float32)[:, None]
  scaled, _ = run(name, prediction * lengths, target / lengths)
  np.testing.assert_allclose(scaled, rows, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(np.sum(gradient * prediction, axis=1), 0.0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_detached(name):
  _, gradients = run(name, *normal())
  for gradient in gradients:
    assert (np.abs(gradient).sum(axis=1) > 1e-3).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_hard_points_are_finite(name, dtype):
  """Zero against zero, zero against one, identical, and very long rows."""
  zero, one = np.zeros(4), np.ones(4)
  prediction = jnp.asarray(np.stack([zero, zero, one, 1e4 * one]), dtype)
  target = jnp.asarray(np.stack([zero, one, one, -1e4 * one]), dtype)
  rows, gradients = run(name, prediction, target)
  expected = {"byol": [2, 2, 0, 4], "negative_cosine": [0, 0, -1, 1]}
  assert rows.dtype == jnp.float32
  np.testing.assert_allclose(rows, expected[name], atol=1e-6)
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
  ],
)
def test_other_shapes_say_what_to_pass(name, shapes, message):
  with pytest.raises(InputError, match=message):
    getattr(losses, name)(*map(jnp.ones, shapes))
