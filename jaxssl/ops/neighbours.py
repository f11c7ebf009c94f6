"""The nearest row of a support set, by cosine."""

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.ops.numerics import l2_normalize


def nearest_neighbours(
  queries: jax.Array, support: jax.Array, *, block_size: int | None = None
) -> jax.Array:
  """Index of the row of `support` with the largest cosine to each query.

  NNCLR, Dwibedi et al., arXiv 2104.14548, eq. 2. Of equal rows the first wins.

  Args:
    queries: [batch, dim], of any length.
    support: [size, dim], of any length.
    block_size: rows of the support at a time, so that only [batch, block_size]
      cosines exist at once; None takes all.

  Returns:
    Indices, int32 [batch].

  Raises:
    InputError: if the two do not hold vectors of one size, or the support is empty.
  """
  _check(queries, support, block_size)
  queries, support = (l2_normalize(x.astype(jnp.float32)) for x in (queries, support))
  if block_size is None:
    return _best(queries, support)[1]
  return _streamed(queries, support, min(block_size, len(support)))


def _check(queries, support, block_size):
  if queries.ndim != 2 or support.ndim != 2 or queries.shape[1] != support.shape[1]:
    raise InputError(
      "nearest_neighbours takes queries [batch, dim] and support [size, dim], not "
      f"{queries.shape} and {support.shape}."
    )
  if not len(support) or (block_size is not None and block_size < 1):
    raise InputError(
      "nearest_neighbours needs a support of at least 1 row and blocks of at least "
      f"1, not {len(support)} and {block_size}."
    )


def _best(queries, rows):
  """The largest cosine to any of `rows`, and where it is."""
  cosines = jnp.matmul(queries, rows.T, precision="highest")
  return jnp.max(cosines, axis=1), jnp.argmax(cosines, axis=1).astype(jnp.int32)


def _streamed(queries, support, block):
  last = len(support) - block

  def visit(i, carry):
    peak, index = carry
    start = jnp.minimum(i * block, last)  # the last block overlaps: no padding
    rows = jax.lax.dynamic_slice_in_dim(support, start, block)
    cosine, here = _best(queries, rows)
    better = cosine > peak
    return jnp.where(better, cosine, peak), jnp.where(better, start + here, index)

  carry = jnp.full_like(queries[:, 0], -2.0), jnp.zeros_like(queries[:, 0], jnp.int32)
  return jax.lax.fori_loop(0, -(-len(support) // block), visit, carry)[1]
