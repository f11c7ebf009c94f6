"""Batch norm of a product, without the product, against doing one after the other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxssl.ops.products import Standardized, standardized_product

EPSILON = 1e-5


def plain(x, kernel, scale, bias):
  y = x @ kernel.astype(x.dtype)
  y = y.astype(jnp.float32)
  mean, var = y.mean((0, 1, 2)), y.var((0, 1, 2))
  each = lambda vector: vector[None, None, None, :]
  normal = (y - each(mean)) * each(jax.lax.rsqrt(var + EPSILON))
  return Standardized((normal * each(scale) + each(bias)).astype(x.dtype), mean, var)


def folded(x, kernel, scale, bias, axis_name=None):
  return standardized_product(x, kernel, scale, bias, EPSILON, axis_name)


def arrays(dtype=jnp.float32, rows=8):
  draw = np.random.default_rng(0)
  x = np.maximum(draw.normal(0.5, 1.0, (rows, 6, 5, 12)), 0.0)
  vectors = 1 + draw.normal(size=(2, 32))
  kernel = draw.normal(size=(12, 32)) / 12**0.5
  return jnp.asarray(x, dtype), *(
    jnp.asarray(a, jnp.float32) for a in (kernel, *vectors)
  )


def gradients(function, given):
  """Of a loss whose gradient by the result has a mean and follows the result."""

  def loss(x, kernel, scale, bias):
    y = function(x, kernel, scale, bias).y.astype(jnp.float32)
    return jnp.mean(jnp.sin(y) + 0.1 * y**2)

  return jax.grad(loss, (0, 1, 2, 3))(*given)


def assert_close(found, expected, tolerance):
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    assert np.linalg.norm(a - b) <= tolerance * np.linalg.norm(b)


def test_it_is_the_norm_of_the_product():
  assert_close(folded(*arrays()), plain(*arrays()), 1e-6)


def test_its_gradient_is_that_of_the_norm_of_the_product():
  assert_close(gradients(folded, arrays()), gradients(plain, arrays()), 1e-5)


def test_in_bfloat16_it_is_about_as_exact():
  exact = gradients(plain, arrays())
  given = arrays(jnp.bfloat16)
  for new, old, true in zip(
    gradients(folded, given), gradients(plain, given), exact, strict=True
  ):
    error = lambda a, b=true: float(
      jnp.linalg.norm((a.astype(jnp.float32) - b).ravel())
    )
    assert error(new) <= 1.5 * error(old)


def test_the_moments_are_those_of_all_devices_of_an_axis():
  x, *rest = arrays()
  halves = x.reshape(2, -1, *x.shape[1:])

  def loss(x, rest, **options):
    return jnp.mean(jnp.sin(folded(x, *rest, **options).y))

  each = jax.vmap(
    functools.partial(jax.value_and_grad(loss, (0, 1)), axis_name="i"),
    in_axes=(0, None),
    axis_name="i",
  )
  value, (d_halves, d_rest) = each(halves, tuple(rest))
  whole, (d_x, expected) = jax.value_and_grad(loss, (0, 1))(x, tuple(rest))
  np.testing.assert_allclose(value.mean(), whole, rtol=1e-5)
  assert_close(d_halves.reshape(x.shape) / 2, d_x, 1e-5)
  assert_close(jax.tree.map(lambda g: g.mean(0), d_rest), expected, 1e-5)


def test_rows_may_be_split_over_a_mesh():
  mesh = Mesh(np.array(jax.devices()), ("data",))
  x, *rest = arrays()
  split = jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))
  run = jax.jit(functools.partial(gradients, folded))
  assert_close(run((split, *rest)), run((x, *rest)), 1e-5)


@pytest.mark.parametrize("seeds", [3])
def test_several_seeds_are_one_program(seeds):
  x, kernel, *rest = arrays()
  kernels = jnp.stack([kernel * (1 + i) for i in range(seeds)])
  together = jax.vmap(lambda k: gradients(folded, (x, k, *rest)))(kernels)
  alone = [gradients(folded, (x, k, *rest)) for k in kernels]
  assert_close(together, jax.tree.map(lambda *g: jnp.stack(g), *alone), 1e-5)


def test_the_wide_array_is_neither_kept_nor_read():
  """Temporaries of a gradient: the plain one keeps [rows, out] twice, or more."""
  x, kernel, *rest = arrays(rows=64)
  wide = 4 * x[..., 0].size * kernel.shape[1]

  def temporaries(function):
    step = lambda *given: gradients(function, given)
    compiled = jax.jit(step).lower(x, kernel, *rest).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert temporaries(folded) <= temporaries(plain) - 0.9 * wide
