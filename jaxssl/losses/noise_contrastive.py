"""Losses that tell each example of the data set from all others by a memory bank."""

import chex
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.losses._checks import (
  check_block_size,
  check_matrices,
  check_positive,
  check_rows,
)
from jaxssl.losses._streaming import Tags, row_terms
from jaxssl.ops.numerics import l2_normalize


def npid(
  positive: jax.Array,
  negatives: jax.Array,
  *,
  normalizer: float | jax.Array,
  examples: int,
) -> jax.Array:
  """Noise-contrastive estimation of instance discrimination.

  Wu et al. 2018, arXiv:1805.01978, section 3.2. With P = s / normalizer and m uniform
  noise samples of n examples, h = P / (P + m / n) is the probability that a sample
  is data; the loss is -log h(positive) - sum log(1 - h(negative)), with 1e-7 added
  to both denominators as in the official code. Computed from log1p of ratios, which
  stays finite.

  Args:
    positive: s = exp(cosine / temperature) with the example's own row of the bank,
      [batch].
    negatives: the same with m rows drawn uniformly from the bank, [batch, m].
    normalizer: estimate of the sum of s over the bank, above 0: n times the mean s of
      the first batch, then frozen.
    examples: n, the number of rows of the bank, above 0.

  Returns:
    One value per example, [batch].

  Raises:
    InputError: on other ranks, unequal batches, no negatives or a bad option.
  """
  _check_samples(positive, negatives)
  check_positive(normalizer=normalizer, examples=examples)
  noise = negatives.shape[1] / examples
  own, other = (_probability(s, normalizer) for s in (positive, negatives))
  missed = jnp.log1p((noise + 1e-7) / own)
  mistaken = jnp.log1p((other + 1e-7) / noise)
  return missed + jnp.sum(mistaken, axis=1)


def instance_softmax(
  z: jax.Array,
  bank: jax.Array,
  index: jax.Array,
  *,
  temperature: float | jax.Array,
  block_size: int | None = None,
) -> jax.Array:
  """Cross-entropy over every example of the data set, each its own class.

  Wu et al. 2018, arXiv:1805.01978, eq. 2, without the noise-contrastive
  approximation, for data sets whose bank can be scored whole.

  Args:
    z: projections, normalised inside, [batch, dim].
    bank: one row per example of the data set, used as it is (the official bank is
      not of unit length at first), [examples, dim]; no gradient reaches it.
    index: row of the bank that belongs to each row of `z`, integers, [batch].
    temperature: divides the products, above 0.
    block_size: rows of the bank per block, or None for all at once.

  Returns:
    One value per row, [batch].

  Raises:
    InputError: on other ranks, unequal dims, an index that is not one integer per
      row, or a bad option.
  """
  _check_bank(z, bank, index)
  check_positive(temperature=temperature)
  check_block_size(block_size)
  queries = l2_normalize(z.astype(jnp.float32)) / temperature
  bank = jax.lax.stop_gradient(bank).astype(jnp.float32)
  rows = jnp.arange(bank.shape[0])
  tags = Tags(index, index), Tags(rows, rows)
  terms = row_terms(_own_row, queries, bank, *tags, block_size=block_size)
  return terms.log_partition - terms.positive_sum


def _own_row(rows, columns):
  own = rows.sample == columns.sample
  return jnp.ones_like(own), own


def _probability(similarity, normalizer):
  """s / normalizer within what float32 can hold the squared inverse of."""
  return jnp.clip(similarity.astype(jnp.float32) / normalizer, 1e-18, 1e18)


def _check_samples(positive, negatives):
  chex.assert_rank(
    [positive, negatives],
    [1, 2],
    custom_message="Pass `positive` as [batch] and `negatives` as [batch, m]",
    exception_type=InputError,
  )
  if positive.shape[0] != negatives.shape[0] or not positive.shape[0]:
    raise InputError(
      f"`positive` has {positive.shape[0]} rows and `negatives` {negatives.shape[0]}; "
      "pass the same number of both, at least 1."
    )
  if not negatives.shape[1]:
    raise InputError("`negatives` is empty; pass one or more samples per row.")


def _check_bank(z, bank, index):
  check_matrices(z=z, bank=bank)
  check_rows(1, "an empty one has no loss", z=z, bank=bank)
  if z.shape[1] != bank.shape[1]:
    raise InputError(
      f"`bank` has {bank.shape[1]} dimensions and `z` {z.shape[1]}; pass the same dim."
    )
  if index.shape != z.shape[:1] or not jnp.issubdtype(index.dtype, jnp.integer):
    raise InputError(
      f"`index` is {index.dtype}{list(index.shape)} for `z` of {list(z.shape)}; pass "
      "one integer per row of `z`, [batch]."
    )
