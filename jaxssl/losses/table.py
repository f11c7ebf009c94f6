"""Losses of rows of tables: what a feature was, and whether it was changed."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from jaxssl.errors import InputError


class RowPrediction(NamedTuple):
  """What a net says of each row.

  Attributes:
    numeric: standardised numbers, [batch, columns].
    logits: of the categories of all columns, one column after the other,
      [batch, sum of their sizes].
  """

  numeric: jax.Array
  logits: jax.Array


def row_error(
  prediction: RowPrediction, row: Any, *, sizes: tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
  """Squared error of numbers and cross-entropy of categories, where nothing is missing.

  The reconstruction of VIME (Yoon et al., NeurIPS 2020, equation 6), which takes the
  cross-entropy for categorical features.

  Args:
    prediction: of the rows.
    row: a `data.tables.Row`: numeric [batch, columns], NaN where missing, and
      categorical [batch, columns], 0 where missing.
    sizes: categories of each categorical column.

  Returns:
    float32 [batch] errors summed over the features that are there, and their number;
    the loss is `error.sum() / count.sum()`.

  Raises:
    InputError: on other shapes.
  """
  chex.assert_equal_shape([prediction.numeric, row.numeric], exception_type=InputError)
  chex.assert_shape(prediction.logits, (None, sum(sizes)), exception_type=InputError)
  there = ~jnp.isnan(row.numeric)
  apart = prediction.numeric.astype(jnp.float32) - jnp.where(there, row.numeric, 0.0)
  error = jnp.sum(jnp.where(there, jnp.square(apart), 0.0), axis=1)
  count = jnp.sum(there, axis=1, dtype=jnp.float32)
  for i, logits in enumerate(split_logits(prediction.logits, sizes)):
    word = row.categorical[:, i]
    known = (word > 0).astype(jnp.float32)
    logits = logits.astype(jnp.float32)
    own = optax.softmax_cross_entropy_with_integer_labels(logits, word)
    error, count = error + known * own, count + known
  return error, count


def split_logits(logits: jax.Array, sizes: tuple[int, ...]) -> list[jax.Array]:
  """Cuts [batch, sum(sizes)] into the logits of each column."""
  ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
  return [logits[:, end - n : end] for end, n in zip(ends, sizes, strict=True)]


def mask_error(logits: jax.Array, mask: jax.Array) -> jax.Array:
  """Binary cross-entropy of which features were changed, the mean over the features.

  VIME (Yoon et al., NeurIPS 2020, equation 5).

  Args:
    logits: [batch, features].
    mask: bool, of the same shape.

  Returns:
    float32 [batch], ln 2 for logits of 0.

  Raises:
    InputError: on other ranks or unequal shapes.
  """
  chex.assert_rank(logits, 2, exception_type=InputError)
  chex.assert_equal_shape([logits, mask], exception_type=InputError)
  target = mask.astype(jnp.float32)
  rows = optax.sigmoid_binary_cross_entropy(logits.astype(jnp.float32), target)
  return jnp.mean(rows, axis=1)
