"""What the tests of several losses share."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def normal(*shapes, seed=0):
  """One float32 array of normal numbers for each shape."""
  rng = np.random.default_rng(seed)
  return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def numeric_gradient(function, x, step=1e-5):
  """Central differences of a float64 function."""
  steps = step * np.eye(x.size).reshape(-1, *x.shape)
  ends = [function(x + s) - function(x - s) for s in steps]
  return np.reshape(ends, x.shape) / (2 * step)


def unit(x):
  return x / np.sqrt(np.maximum((x * x).sum(-1, keepdims=True), 1e-24))


def softmax(x):
  x = np.exp(x - x.max())
  return x / x.sum()


def rotation(dim, seed=3):
  return np.linalg.qr(normal((dim, dim), seed=seed)[0])[0].astype(np.float32)


def assert_matches(got, case, without=()):
  """`got` has every output of the golden case, within its tolerance."""
  for output in set(case.outputs) - set(without):
    atol, rtol = case.tolerance[output]
    np.testing.assert_allclose(
      got[output],
      case.outputs[output],
      atol=atol,
      rtol=rtol,
      err_msg=f"{output}: {case.note}",
    )


def assert_all_close(got, expected, **tolerance):
  for g, e in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(g, e, **tolerance)


def assert_finite(tree):
  for leaf in jax.tree.leaves(tree):
    assert np.isfinite(np.asarray(leaf, np.float32)).all()


def over_devices(arrays):
  """The arrays with their rows spread over all devices."""
  mesh = Mesh(np.array(jax.devices()), ("data",))
  return jax.device_put(arrays, NamedSharding(mesh, PartitionSpec("data")))


def assert_full_precision(function, *arrays, products):
  """At least so many matrix products, each at the highest precision."""
  text = str(jax.make_jaxpr(function)(*arrays))
  full = "precision=(Precision.HIGHEST, Precision.HIGHEST)"
  full_products = text.count(full) + text.count("precision=Precision.HIGHEST")
  assert full_products == text.count("dot_general[") >= products


def half(arrays):
  return [jnp.asarray(a, jnp.bfloat16) for a in arrays]


def widened(arrays):
  return [np.asarray(a, np.float32) for a in arrays]
