"""Losses of graphs: against loops, published values, and what must not count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import losses
from jaxssl.errors import InputError
from tests import golden


def unit(x):
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def pair(seed=0, rows=6):
  keys = jax.random.split(jax.random.key(seed))
  return [jax.random.normal(k, (rows, 4)) for k in keys]


@pytest.mark.parametrize("case", golden.load("scaled_cosine_error"))
def test_scaled_cosine_error_is_the_official_one(case):
  def mean(prediction):
    rows = losses.scaled_cosine_error(
      prediction, jnp.asarray(case.inputs["target"]), **case.options
    )
    return rows.mean(), rows

  prediction = jnp.asarray(case.inputs["prediction"])
  (loss, rows), grad = jax.value_and_grad(mean, has_aux=True)(prediction)
  found = {"expected_mean": loss, "expected_rows": rows, "grad_prediction": grad}
  for name, got in found.items():
    if name in case.outputs:
      atol, rtol = case.tolerance[name]
      np.testing.assert_allclose(got, case.outputs[name], atol=atol, rtol=rtol)


@pytest.mark.parametrize("block_size", [None, 4])
def test_grace_is_its_equation(block_size):
  z, mask = pair(), np.array([1, 1, 0, 1, 1, 0], bool)
  got = losses.grace(*z, jnp.asarray(mask), temperature=0.5, block_size=block_size)
  views = [unit(np.asarray(x, np.float64)) for x in z]
  expected = np.zeros((2, 6))
  for own, other, row in ((0, 1, 0), (1, 0, 1)):
    u, v = views[own], views[other]
    for i in np.flatnonzero(mask):
      inter = [np.exp(u[i] @ v[j] / 0.5) for j in np.flatnonzero(mask)]
      intra = [np.exp(u[i] @ u[j] / 0.5) for j in np.flatnonzero(mask) if j != i]
      expected[row, i] = -np.log(np.exp(u[i] @ v[i] / 0.5) / (sum(inter) + sum(intra)))
  np.testing.assert_allclose(got, expected.ravel(), atol=1e-5)


def test_no_gradient_reaches_nodes_that_are_not_there():
  mask = jnp.asarray([True, True, True, True, False, False])
  loss = lambda *z: losses.grace(*z, mask, temperature=0.5).sum()
  for grad in jax.grad(loss, argnums=(0, 1))(*pair()):
    np.testing.assert_array_equal(grad[4:], 0)
    assert np.abs(grad[:4]).min() > 0


def test_graphcl_leaves_the_positive_out_of_the_denominator():
  z, other = pair()
  got = losses.graphcl(z, other, temperature=0.2)
  logits = unit(np.asarray(z, np.float64)) @ unit(np.asarray(other, np.float64)).T / 0.2
  for i in range(6):
    rest = np.exp(np.delete(logits[i], i)).sum()
    np.testing.assert_allclose(got[i], np.log(rest) - logits[i, i], rtol=1e-5)


def test_dgi_is_the_mean_cross_entropy_of_both():
  mask = jnp.asarray([True, True, False])
  zeros = jnp.zeros(3)
  np.testing.assert_allclose(losses.dgi(zeros, zeros, mask), np.log(2), rtol=1e-6)
  real, fake = jnp.asarray([2.0, -1.0, 9.0]), jnp.asarray([0.5, 1.0, -9.0])
  p = 1 / (1 + np.exp(-np.asarray([2.0, -1.0, 0.5, 1.0])))
  expected = -np.log([p[0], p[1], 1 - p[2], 1 - p[3]]).mean()
  np.testing.assert_allclose(losses.dgi(real, fake, mask), expected, rtol=1e-5)


def test_vectors_of_length_0_have_no_gradient():
  """A hidden node among hidden nodes is 0; a gradient of 1e12 would end the run."""
  z = jnp.zeros((3, 4)).at[0].set(1.0)
  error = lambda z: losses.scaled_cosine_error(z, jnp.ones((3, 4)), gamma=2).sum()
  nodes = lambda z: losses.grace(z, z, jnp.ones(3, bool), temperature=0.5).sum()
  for loss in (error, nodes):
    assert np.abs(jax.grad(loss)(z)[1:]).max() == 0


def test_bad_input_is_named():
  z = jnp.ones((3, 2))
  with pytest.raises(InputError, match="mask"):
    losses.grace(z, z, jnp.ones(3), temperature=0.5)
  with pytest.raises(InputError, match="at least 2"):
    losses.graphcl(z[:1], z[:1], temperature=0.5)
  with pytest.raises(InputError, match="gamma"):
    losses.scaled_cosine_error(z, z, gamma=0.5)
  with pytest.raises(InputError, match="one target"):
    losses.scaled_cosine_error(z, z[:2], gamma=1)
  with pytest.raises(InputError, match="nodes"):
    losses.dgi(jnp.ones(3), jnp.ones(2), jnp.ones(3, bool))
