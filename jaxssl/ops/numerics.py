"""Norms, masked means and input conversion: one definition each, used everywhere."""

from typing import Any

import chex
import jax
import jax.numpy as jnp

PyTree = Any


def l2_normalize(x: jax.Array, axis: int = -1) -> jax.Array:
  """Scales `x` to unit length along `axis`; zero vectors stay zero.

  `x * rsqrt(max(sum(x^2), 1e-24))`, with the sum in float32: finite value and
  gradient at zero, and equal to `x / max(norm(x), 1e-12)` elsewhere.

  Args:
    x: vectors, any shape.
    axis: the axis that holds the vector.

  Returns:
    An array of the shape and dtype of `x`.
  """
  square = jnp.sum(jnp.square(x.astype(jnp.float32)), axis, keepdims=True)
  scale = jax.lax.rsqrt(jnp.maximum(square, 1e-24))
  return (x.astype(jnp.float32) * scale).astype(x.dtype)


def masked_mean(values: jax.Array, mask: jax.Array) -> jax.Array:
  """Mean of `values` where `mask` is 1, in float32; an empty mask gives 0.

  Args:
    values: any shape, finite also where masked out.
    mask: the same shape, 1 (or True) where the value counts.

  Returns:
    A scalar.
  """
  chex.assert_equal_shape([values, mask])
  weights = mask.astype(jnp.float32)
  total = jnp.sum(values.astype(jnp.float32) * weights)
  return total / jnp.maximum(jnp.sum(weights), 1.0)


def to_float(tree: PyTree) -> PyTree:
  """Turns uint8 leaves (0..255) into float32 in [0, 1]; other leaves stay."""

  def convert(x):
    return x.astype(jnp.float32) / 255.0 if x.dtype == jnp.uint8 else x

  return jax.tree.map(convert, tree)


def in_turns(*arrays: jax.Array, axis: int = 0) -> jax.Array:
  """Joins arrays row by row: the first row of each, the second of each, and so on.

  On a mesh that splits the rows none changes its device, as it would if one array came
  after the other.

  Args:
    *arrays: of one shape, [rows, ...].
    axis: that of the rows.

  Returns:
    [rows * arrays, ...].
  """
  x = jnp.stack(arrays, axis=axis + 1)
  before, (rows, count), after = x.shape[:axis], x.shape[axis:][:2], x.shape[axis + 2 :]
  # not -1: a table may have no categorical columns
  return x.reshape(*before, rows * count, *after)
