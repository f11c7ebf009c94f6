"""Losses of graphs: between the nodes of one, between many, of nodes left out."""

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.losses._checks import (
  check_block_size,
  check_paired,
  check_positive,
  check_rows,
)
from jaxssl.losses._streaming import Tags, row_terms
from jaxssl.ops.numerics import masked_mean

SHORTEST = 1e-6  # shorter vectors have no direction


def grace(
  z_a: jax.Array,
  z_b: jax.Array,
  mask: jax.Array,
  *,
  temperature: float | jax.Array,
  block_size: int | None = None,
) -> jax.Array:
  """The loss of GRACE between the nodes of two views of one graph.

  Zhu et al. 2020, arXiv:2006.04131, eq. 1: a node's positive is itself in the other
  view, and all other nodes of both views are negatives. Its mean over nodes and
  directions is the paper's loss; it is NT-Xent whose rows are nodes.

  Args:
    z_a: projections of the first view, [nodes, dim].
    z_b: projections of the second view, [nodes, dim].
    mask: bool [nodes], True where a node is in both views.
    temperature: divides the cosines, above 0.
    block_size: columns of the logits per block, or None for all at once.

  Returns:
    One value per node and view, [2 * nodes]: those of `z_a`, then those of `z_b`; 0
    where the mask is False.

  Raises:
    InputError: on other ranks, unequal shapes, or a bad option.
  """
  check_paired(z_a=z_a, z_b=z_b)
  check_positive(temperature=temperature)
  check_block_size(block_size)
  _check_mask(mask, z_a)
  z = jnp.concatenate([_scaled(z_a, temperature), _scaled(z_b, temperature)])
  there = jnp.tile(mask, 2)
  rows = jnp.arange(z.shape[0])
  tags = Tags(sample=jnp.where(there, rows, -1), group=rows % z_a.shape[0])
  terms = row_terms(_nodes_that_are_there, z, z, tags, tags, block_size=block_size)
  return jnp.where(there, terms.attraction(), 0.0)


def graphcl(
  z: jax.Array, z_augmented: jax.Array, *, temperature: float | jax.Array
) -> jax.Array:
  """The loss of GraphCL: each graph against the augmented forms of all others.

  You et al. 2020, arXiv:2010.13902, eq. 3: the positive is not in the denominator,
  and there is one direction. It can be negative.

  Args:
    z: projections of graphs, [batch, dim], batch at least 2.
    z_augmented: projections of their other views, [batch, dim].
    temperature: divides the cosines, above 0.

  Returns:
    One value per graph, [batch].

  Raises:
    InputError: on other ranks, unequal shapes, a single graph, or a bad option.
  """
  check_paired(z=z, z_augmented=z_augmented)
  check_rows(2, "the negatives are the other graphs", z=z)
  check_positive(temperature=temperature)
  z, other = _scaled(z, temperature), _scaled(z_augmented, temperature)
  rows = jnp.arange(z.shape[0])
  tags = Tags(sample=rows, group=rows)
  return row_terms(_others, z, other, tags, tags, block_size=None).attraction()


def dgi(real: jax.Array, corrupted: jax.Array, mask: jax.Array) -> jax.Array:
  """The loss of DGI: tell nodes of the graph from nodes of a corrupted one.

  Velickovic et al. 2019, arXiv:1809.10341, eq. 1: the mean binary cross-entropy of
  all nodes of both. Scores of 0 give ln 2.

  Args:
    real: scores of the nodes, [nodes].
    corrupted: scores of the corrupted graph's nodes, [nodes].
    mask: bool [nodes], True where there is a node.

  Returns:
    A scalar.

  Raises:
    InputError: if the shapes differ.
  """
  if not real.shape == corrupted.shape == mask.shape:
    raise InputError(
      f"real, corrupted and mask are all [nodes]; got {list(real.shape)}, "
      f"{list(corrupted.shape)} and {list(mask.shape)}."
    )
  each = jax.nn.softplus(-real.astype(jnp.float32))
  each += jax.nn.softplus(corrupted.astype(jnp.float32))
  return masked_mean(each / 2, mask)


def scaled_cosine_error(
  prediction: jax.Array, target: jax.Array, *, gamma: float
) -> jax.Array:
  """The loss of GraphMAE: (1 - cosine)^gamma, which cares less for what is near.

  Hou et al. 2022, arXiv:2205.10803, eq. 2.

  Args:
    prediction: [..., dim].
    target: the same shape; no gradient reaches it.
    gamma: the power, 1 or more.

  Returns:
    float32 [...], from 0 to 2^gamma.

  Raises:
    InputError: if the shapes differ, or `gamma` is below 1.
  """
  if prediction.shape != target.shape:
    raise InputError(
      f"`prediction` is {list(prediction.shape)} and `target` {list(target.shape)}; "
      "pass one target for each prediction."
    )
  if gamma < 1:
    raise InputError(f"`gamma` is {gamma}; pass a power of 1 or more.")
  cosine = jnp.sum(_unit(prediction) * jax.lax.stop_gradient(_unit(target)), -1)
  return jnp.maximum(1.0 - cosine, 0.0) ** gamma


def _nodes_that_are_there(rows, columns):
  there = (columns.sample >= 0) & (rows.sample >= 0)
  others = there & (rows.sample != columns.sample)
  return others, others & (rows.group == columns.group)


def _others(rows, columns):
  same = rows.group == columns.group
  return ~same, same


def _scaled(x, temperature):
  """Rows of length 1 / sqrt(temperature), whose products are logits, in float32."""
  return _unit(x) / jnp.sqrt(jnp.asarray(temperature, jnp.float32))


def _unit(x):
  """Vectors of length 1 in float32; those of length 0 stay 0 and get no gradient.

  A node without features and neighbours, or with all of them hidden, is exactly 0 as
  long as biases are. Dividing by a tiny number makes its gradient 1e12 times too large.
  """
  x = x.astype(jnp.float32)
  square = jnp.sum(jnp.square(x), -1, keepdims=True)
  there = square > SHORTEST**2
  scale = jnp.where(there, jax.lax.rsqrt(jnp.where(there, square, 1.0)), 0.0)
  return x * scale


def _check_mask(mask, z):
  if (mask.shape, mask.dtype) != (z.shape[:1], jnp.bool_):
    raise InputError(
      f"`mask` must be bool {list(z.shape[:1])}, one entry per node; got {mask.dtype} "
      f"{list(mask.shape)}."
    )
