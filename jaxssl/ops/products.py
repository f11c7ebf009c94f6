"""A product whose result is standardised, without the result: for batch norm.

A 1x1 convolution in a ResNet's bottleneck puts out four times what it takes in, and
batch norm then reads that array, and the backward pass three times more. But the mean
and the variance of `x @ kernel` follow from the mean and the second moments of `x`, so
the norm can be a part of the product; and the gradient needs of `x @ kernel` only what
is linear in it. The wide array is never kept and never read.
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.ops.convolutions import convolution


class Standardized(NamedTuple):
  """What `standardized_product` returns.

  Attributes:
    y: (x @ kernel - mean) * rsqrt(var + epsilon) * scale + bias, of the dtype of `x`.
    mean: of `x @ kernel` over all positions, float32 [out]; without gradient.
    var: its biased variance, float32 [out]; without gradient.
  """

  y: jax.Array
  mean: jax.Array
  var: jax.Array


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def standardized_product(
  x: jax.Array,
  kernel: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  epsilon: float,
  axis_name: str | None,
) -> Standardized:
  """Batch norm (arXiv 1502.03167) of `x @ kernel` in training.

  Args:
    x: [batch, height, width, in]; products are taken in its dtype, sums in float32.
    kernel: float32 [in, out].
    scale: float32 [out].
    bias: float32 [out].
    epsilon: added to the variance.
    axis_name: the pmap axis that the moments are averaged over, or None.

  Returns:
    A `Standardized`.
  """
  return _forward(x, kernel, scale, bias, epsilon, axis_name)[0]


def _forward(x, kernel, scale, bias, epsilon, axis_name):
  count = math.prod(x.shape[:-1])
  centre, second = _over_devices(
    (jnp.mean(x, (0, 1, 2), dtype=jnp.float32), _sums(x, x) / count), axis_name
  )
  rounded = kernel.astype(x.dtype).astype(jnp.float32)
  spread = _exact(second - jnp.outer(centre, centre), rounded)  # covariance with y
  mean = jnp.sum(centre[:, None] * rounded, axis=0)
  var = jnp.maximum(jnp.sum(rounded * spread, axis=0), 0.0)
  factor = jax.lax.rsqrt(var + epsilon)
  weights = (rounded * _row(scale * factor)).astype(x.dtype)
  offset = bias - jnp.sum(centre[:, None] * weights.astype(jnp.float32), axis=0)
  y = _pointwise(x, weights, x.dtype) + _each(offset)  # of mean `bias` as rounded, too
  saved = x, rounded, scale, centre, spread, factor
  return Standardized(y.astype(x.dtype), mean, var), saved


def _backward(epsilon, axis_name, saved, cotangent):
  del epsilon
  x, kernel, scale, centre, spread, factor = saved
  g = cotangent.y
  count = math.prod(x.shape[:-1])
  d_bias = jnp.sum(g, (0, 1, 2), dtype=jnp.float32)
  with_x = _sums(x, g) - jnp.outer(centre, d_bias)  # of (x - centre) g
  d_scale = factor * jnp.sum(kernel * with_x, axis=0)
  d_kernel = _row(scale * factor) * (with_x - spread * _row(factor * d_scale))
  mean, slope = _over_devices((d_bias / count, d_scale / count), axis_name)
  weights = kernel * _row(scale * factor)
  back = _exact(weights * _row(factor * slope), kernel.T)
  d_x = _pointwise(g.astype(jnp.float32) - _each(mean), weights.T, g.dtype)
  along_y = _pointwise(x.astype(jnp.float32) - _each(centre), back, x.dtype)
  along_y = along_y.astype(x.dtype).astype(jnp.float32)  # a small part: kept short
  return (d_x - along_y).astype(x.dtype), d_kernel, d_scale, d_bias


standardized_product.defvjp(_forward, _backward)


def _over_devices(tree, axis_name):
  return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def _row(vector):
  return vector[None, :]


def _each(vector):
  """Along the channels of maps."""
  return vector[None, None, None, :]


def _exact(a, b):
  return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def _pointwise(x, kernel, dtype):
  """`x @ kernel` in float32."""
  x, kernel = x.astype(dtype), kernel.astype(dtype)
  return jax.lax.platform_dependent(x, kernel, cpu=_product, default=_convolution)


def _sums(x, y):
  """Sums over positions of the products of channels, float32 [x's, y's]."""
  return jax.lax.platform_dependent(x, y, cpu=_rows_product, default=_map_product)


def _product(x, kernel):
  return jnp.matmul(x, kernel, preferred_element_type=jnp.float32)


def _rows_product(x, y):
  rows = [a.reshape(-1, a.shape[-1]) for a in (x, y)]
  return jnp.matmul(rows[0].T, rows[1], preferred_element_type=jnp.float32)


# Elsewhere convolutions, whose layouts the neighbours have: nothing is copied.


def _convolution(x, kernel):
  return convolution(x, kernel[None, None], dtype=jnp.float32)


def _map_product(x, y):
  spec = (3, 0, 1, 2)  # the channels of x are the batch, positions are summed over
  found = jax.lax.conv_general_dilated(
    x,
    y,
    window_strides=(1, 1),
    padding="VALID",
    dimension_numbers=jax.lax.ConvDimensionNumbers(spec, spec, (0, 1, 2, 3)),
    preferred_element_type=jnp.float32,
  )
  return found[:, :, 0, 0]
