"""What contrastive losses need of each row of logits, at once or in blocks.

The logits are `queries @ candidates.T`. A *rule* says which of them matter: it maps
the tags of the rows and of the columns to two masks, `counted` (in the denominator)
and `positive`. With a block size the columns are visited in a loop, so that only
[rows, block] logits exist at a time; the backward pass recomputes them from the rows'
saved log-partition instead of keeping what the forward pass computed.

Products are taken at full float32 precision: accelerators otherwise round the inputs
to 10 bits or fewer, and dividing by a small temperature magnifies that.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

LOWEST = float(jnp.finfo(jnp.float32).min)  # finite: -inf - -inf would be NaN


class Tags(NamedTuple):
  """Integers that identify vectors, for a rule to compare.

  Attributes:
    sample: [n], the vector itself; equal only for one and the same vector.
    group: [n], what it belongs to; positives share it.
  """

  sample: jax.Array
  group: jax.Array


class RowTerms(NamedTuple):
  """What a loss needs of each row of logits, all [rows] in float32.

  Attributes:
    log_partition: logsumexp over the counted columns.
    positive_sum: sum of the logits of the positive columns.
    positives: number of positive columns.
  """

  log_partition: jax.Array
  positive_sum: jax.Array
  positives: jax.Array

  def attraction(self) -> jax.Array:
    """Log-partition minus the mean positive logit; 0 for rows without positives."""
    mean = self.positive_sum / jnp.maximum(self.positives, 1.0)
    return jnp.where(self.positives > 0, self.log_partition - mean, 0.0)


Rule = Callable[[Tags, Tags], tuple[jax.Array, jax.Array]]


class _Columns(NamedTuple):
  vectors: jax.Array  # [columns, dim]
  tags: Tags
  real: jax.Array  # bool [columns], False for padding


def row_terms(
  rule: Rule,
  queries: jax.Array,
  candidates: jax.Array,
  query_tags: Tags,
  candidate_tags: Tags,
  *,
  block_size: int | None,
) -> RowTerms:
  """Reduces each row of `queries @ candidates.T` to its `RowTerms`.

  Args:
    rule: a module-level function, (tags [rows, 1], tags [1, columns]) -> `counted`
      and `positive`, bool [rows, columns].
    queries: [rows, dim] float32; the temperature is in their scale already.
    candidates: [columns, dim] float32.
    query_tags: tags of the rows.
    candidate_tags: tags of the columns.
    block_size: columns per block; None takes all at once.

  Returns:
    The terms; differentiable in `queries` and `candidates`.
  """
  if block_size is None:
    real = jnp.ones(candidates.shape[0], bool)
    columns = _Columns(candidates, candidate_tags, real)
    return _dense(rule, queries, query_tags, columns)
  queries, candidates = _vary_alike(queries, candidates)
  block = min(int(block_size), candidates.shape[0])
  return _streamed(rule, block, queries, candidates, query_tags, candidate_tags)


def _vary_alike(a, b):
  """Adds zeros so that both vary over the same devices, as a loop in shard_map must."""
  return a + jnp.zeros_like(b[:1]), b + jnp.zeros_like(a[:1])


def _dense(rule, queries, query_tags, columns):
  logits, counted, positive = _logits(rule, queries, query_tags, columns)
  return RowTerms(
    jax.nn.logsumexp(jnp.where(counted, logits, LOWEST), axis=1),
    jnp.sum(jnp.where(positive, logits, 0.0), axis=1),
    jnp.sum(positive, axis=1, dtype=jnp.float32),
  )


def _logits(rule, queries, query_tags, columns):
  """Logits [rows, columns] and their two masks; padding is in neither mask."""
  # Arrays of JAX, lest constant tags make the masks constants of the program.
  down = jax.tree.map(lambda tag: jnp.asarray(tag)[:, None], query_tags)
  across = jax.tree.map(lambda tag: jnp.asarray(tag)[None, :], columns.tags)
  counted, positive = rule(down, across)
  real = columns.real[None, :]
  return _product(queries, columns.vectors.T), counted & real, positive & real


def _product(a, b):
  return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _streamed(rule, block, queries, candidates, query_tags, candidate_tags):
  return _forward(rule, block, queries, candidates, query_tags, candidate_tags)[0]


def _forward(rule, block, queries, candidates, query_tags, candidate_tags):
  columns = _padded(block, candidates, candidate_tags)

  def visit(index, carry):
    here = jax.tree.map(lambda x: _cut(x, block, index), columns)
    return _merge(carry, *_logits(rule, queries, query_tags, here))

  rows = queries[:, 0]  # full_like and zeros_like vary over devices as it does
  carry = (jnp.full_like(rows, LOWEST), *[jnp.zeros_like(rows)] * 3)
  count = columns.real.shape[0] // block
  peak, total, *positives = jax.lax.fori_loop(0, count, visit, carry)
  terms = RowTerms(peak + jnp.log(total), *positives)
  return terms, (queries, candidates, query_tags, candidate_tags, terms.log_partition)


def _backward(rule, block, saved, cotangents):
  queries, candidates, query_tags, candidate_tags, log_partition = saved
  columns = _padded(block, candidates, candidate_tags)

  def visit(index, carry):
    d_queries, d_candidates = carry
    here = jax.tree.map(lambda x: _cut(x, block, index), columns)
    logits, counted, positive = _logits(rule, queries, query_tags, here)
    shares = jnp.exp(jnp.where(counted, logits, LOWEST) - log_partition[:, None])
    weights = cotangents.log_partition[:, None] * shares
    weights += jnp.where(positive, cotangents.positive_sum[:, None], 0.0)
    d_queries += _product(weights, here.vectors)
    return d_queries, _paste(d_candidates, _product(weights.T, queries), index)

  start = jnp.zeros_like(queries), _fold(jnp.zeros_like(columns.vectors), block)
  count = columns.real.shape[0] // block
  d_queries, d_candidates = jax.lax.fori_loop(0, count, visit, start)
  d_candidates = d_candidates.reshape(columns.vectors.shape)
  return d_queries, d_candidates[: candidates.shape[0]], None, None


_streamed.defvjp(_forward, _backward)


def _padded(block, candidates, tags):
  """The columns with rows added until `block` divides them."""
  count = candidates.shape[0]

  def pad(x):
    return jnp.pad(x, [(0, -count % block)] + [(0, 0)] * (x.ndim - 1))

  return jax.tree.map(pad, _Columns(candidates, tags, jnp.ones(count, bool)))


def _fold(x, block):
  """[columns, ...] -> [block, blocks, ...], where block i is [:, i].

  Strided blocks, since columns that are sharded over devices are sharded in every
  such block too: a step of the loop gathers one block, and for contiguous blocks all
  columns.
  """
  return x.reshape(block, -1, *x.shape[1:])


def _cut(x, block, index):
  # Folded here, inside the loop, so that x is not held in memory in two shapes.
  return jax.lax.dynamic_index_in_dim(_fold(x, block), index, axis=1, keepdims=False)


def _paste(folded, x, index):
  return jax.lax.dynamic_update_index_in_dim(folded, x, index, axis=1)


def _merge(carry, logits, counted, positive):
  """Adds a block to the running peak, sum of exp(logit - peak), and positive terms."""
  peak, total, positive_sum, positives = carry
  allowed = jnp.where(counted, logits, LOWEST)
  higher = jnp.maximum(peak, jnp.max(allowed, axis=1))
  added = jnp.sum(jnp.exp(allowed - higher[:, None]), axis=1)
  return (
    higher,
    total * jnp.exp(peak - higher) + added,
    positive_sum + jnp.sum(jnp.where(positive, logits, 0.0), axis=1),
    positives + jnp.sum(positive, axis=1, dtype=jnp.float32),
  )
