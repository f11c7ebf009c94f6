"""Losses of word vectors: tell a word that was there from words drawn at random."""

import chex
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.losses._checks import check_paired, check_rows


def skip_gram_negative_sampling(
  center: jax.Array,
  context: jax.Array,
  negatives: jax.Array,
  counted: jax.Array | None = None,
) -> jax.Array:
  """A word's vector against that of a word beside it and of words drawn at random.

  Mikolov et al. 2013, arXiv:1310.4546, equation 4:
  `-log sigmoid(center . context) - sum log sigmoid(-center . negative)`; for equal
  vectors of 0 it is (1 + negatives) ln 2. The official code cuts gradients off where a
  product is beyond 6; this one doesn't.

  Args:
    center: vectors of one table, [batch, dim].
    context: of the other, of a word that was near, [batch, dim].
    negatives: of the other, of words drawn at random, [batch, negatives, dim].
    counted: bool [batch, negatives], False where a negative is skipped (the official
      code skips those that are the word itself); None: all count.

  Returns:
    float32 [batch].

  Raises:
    InputError: on other ranks, shapes that don't fit, or an empty batch.
  """
  check_paired(center=center, context=context)
  check_rows(1, "an empty batch has no loss", center=center)
  _check_negatives(center, negatives, counted)
  center, context, negatives = (
    x.astype(jnp.float32) for x in (center, context, negatives)
  )
  near = jnp.einsum("bd,bd->b", center, context, precision="highest")
  far = jnp.einsum("bd,bnd->bn", center, negatives, precision="highest")
  mistaken = jax.nn.softplus(far)
  if counted is not None:
    mistaken = jnp.where(counted, mistaken, 0.0)
  return jax.nn.softplus(-near) + jnp.sum(mistaken, axis=1)


def cbow_negative_sampling(
  contexts: jax.Array,
  present: jax.Array,
  center: jax.Array,
  negatives: jax.Array,
  counted: jax.Array | None = None,
) -> jax.Array:
  """The mean of the vectors around a word against that word's and random ones.

  Mikolov et al. 2013, arXiv:1301.3781, section 3.1, with the negative sampling of
  arXiv:1310.4546. As in the official code each vector around gets the whole gradient of
  the mean, not its share of it. A row with nothing around it has the loss 0.

  Args:
    contexts: vectors of one table, of the words around, [batch, words, dim].
    present: bool [batch, words], False where there is no word.
    center: of the other table, of the word in the middle, [batch, dim].
    negatives: of the other, of words drawn at random, [batch, negatives, dim].
    counted: as for `skip_gram_negative_sampling`.

  Returns:
    float32 [batch].

  Raises:
    InputError: on other ranks, shapes that don't fit, or an empty batch.
  """
  chex.assert_rank(
    contexts,
    3,
    custom_message="Pass `contexts` as [batch, words, dim]",
    exception_type=InputError,
  )
  if (present.shape, present.dtype) != (contexts.shape[:2], jnp.bool_):
    raise InputError(
      f"`present` must be bool {list(contexts.shape[:2])}, one entry per word; got "
      f"{present.dtype} {list(present.shape)}."
    )
  total = jnp.sum(jnp.where(present[..., None], contexts, 0.0), axis=1)
  count = jnp.sum(present, axis=1, dtype=total.dtype)[:, None]
  mean = total / jnp.maximum(count, 1.0)
  mean = total + jax.lax.stop_gradient(mean - total)  # the whole error for each word
  rows = skip_gram_negative_sampling(mean, center, negatives, counted)
  return jnp.where(count[:, 0] > 0, rows, 0.0)


def _check_negatives(center, negatives, counted):
  rows, dim = center.shape
  if negatives.ndim != 3 or (negatives.shape[0], negatives.shape[2]) != (rows, dim):
    raise InputError(
      f"`negatives` is {list(negatives.shape)}; pass [{rows}, negatives, {dim}], some "
      "vectors for each row of `center`."
    )
  if counted is None:
    return
  if (counted.shape, counted.dtype) != (negatives.shape[:2], jnp.bool_):
    raise InputError(
      f"`counted` must be bool {list(negatives.shape[:2])}, one entry per negative; "
      f"got {counted.dtype} {list(counted.shape)}."
    )
