"""Losses that drive the distribution of the embeddings towards a Gaussian."""

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.losses._checks import check_matrices, check_positive, check_rows


def sigreg(
  z: jax.Array, directions: jax.Array, *, t_max: float = 3.0, knots: int = 17
) -> jax.Array:
  """Sketched isotropic Gaussian regularisation of LeJEPA.

  Balestriero and LeCun 2025, arXiv:2511.08544: the Epps-Pulley statistic of the
  embeddings along random directions. The squared difference of their characteristic
  function to the standard normal's, weighted by exp(-t^2 / 2), is integrated over
  [-t_max, t_max] by the trapezoid rule on one half (even in t, so counted twice),
  times the number of rows; the mean over directions. Zero-mean, unit-variance,
  uncorrelated Gaussian embeddings have the smallest expectation.

  Args:
    z: embeddings, not normalised, [batch, dim], batch at least 2.
    directions: unit columns, drawn anew each step, [dim, number].
    t_max: end of the integral, above 0.
    knots: points in [0, t_max], at least 2.

  Returns:
    The loss of the batch, [].

  Raises:
    InputError: on other ranks, a single row, or bad options.
  """
  check_matrices(z=z)
  check_rows(2, "the statistic is over the batch", z=z)
  _check_directions(z, directions)
  _check_grid(t_max, knots)
  z, directions = z.astype(jnp.float32), directions.astype(jnp.float32)
  projected = jnp.matmul(z, directions, precision=jax.lax.Precision.HIGHEST)
  points = jnp.linspace(0.0, t_max, knots)
  errors = jax.lax.map(jax.checkpoint(lambda t: _error(projected, t)), points)
  return z.shape[0] * jnp.sum(errors * _weights(points))


def _error(projected, t):
  """Squared distance to the normal's characteristic function at t, mean over axes.

  One point at a time and recomputed in the backward pass: all points at once would
  hold [knots, batch, number].
  """
  real = jnp.mean(jnp.cos(t * projected), axis=0) - jnp.exp(-jnp.square(t) / 2.0)
  imaginary = jnp.mean(jnp.sin(t * projected), axis=0)
  return jnp.mean(jnp.square(real) + jnp.square(imaginary))


def _weights(points):
  """Trapezoid weights of both halves times the window exp(-t^2 / 2)."""
  step = points[1] - points[0]
  inner = jnp.arange(points.shape[0]) % (points.shape[0] - 1) > 0
  return jnp.where(inner, 2.0 * step, step) * jnp.exp(-jnp.square(points) / 2.0)


def _check_directions(z, directions):
  if directions.ndim != 2 or directions.shape[0] != z.shape[1]:
    raise InputError(
      f"`directions` is {list(directions.shape)} for `z` of {list(z.shape)}; pass "
      "[dim, number], one direction per column."
    )


def _check_grid(t_max, knots):
  check_positive(t_max=t_max)
  if not isinstance(knots, int) or isinstance(knots, bool) or knots < 2:
    raise InputError(f"`knots` is {knots!r}; pass an int of at least 2.")
