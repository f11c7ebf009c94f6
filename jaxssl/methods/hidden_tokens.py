"""What BERT and RoBERTa share: tokens are hidden, and the net tells them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.augment import MaskedText
from jaxssl.methods.common import mean_over_patches


class TokenErrors(NamedTuple):
  """The error of each row, of which some tokens are asked for.

  Attributes:
    error: [batch], summed over the tokens asked for.
    count: [batch], number of these tokens.
    right: [batch], how many of them are told right.
  """

  error: jax.Array
  count: jax.Array
  right: jax.Array


def hide(
  mask: Callable, keys: jax.Array, ids: jax.Array
) -> tuple[MaskedText, jax.Array]:
  """Hides tokens of every row.

  Args:
    mask: (key, ids of one row) -> `MaskedText`.
    keys: one PRNG key per row, used up here.
    ids: int32 [batch, length].

  Returns:
    `MaskedText` with rows first, and one new key per row for the net.
  """
  split = jax.vmap(jax.random.split)(keys)
  return jax.vmap(mask)(split[:, 0], ids), split[:, 1]


def token_errors(logits: jax.Array, labels: jax.Array) -> TokenErrors:
  """Compares scores [batch, asked, vocabulary] with the tokens [batch, asked]."""
  error, count = losses.masked_language_modelling(logits, labels)
  right = jnp.argmax(logits, axis=-1).astype(labels.dtype) == labels
  return TokenErrors(error, count, jnp.sum(right, axis=1, dtype=jnp.float32))


def mean_error(errors: TokenErrors) -> tuple[jax.Array, dict[str, jax.Array]]:
  """The loss over all tokens asked for in a batch, and metrics."""
  found = {
    "token_accuracy": mean_over_patches(errors.right, errors.count),
    "asked_tokens": errors.count.mean(),
  }
  return mean_over_patches(errors.error, errors.count), found


def filled_in(hidden: MaskedText, logits: jax.Array) -> jax.Array:
  """Original, masked and predicted ids of each row, int32 [batch, 3, length]."""
  asked = hidden.labels != losses.IGNORED
  guess = jnp.argmax(logits, axis=-1).astype(hidden.ids.dtype)

  def put(ids, places, asked, values):
    return ids.at[places].set(jnp.where(asked, values, ids[places]))

  put = jax.vmap(put)
  original = put(hidden.ids, hidden.places, asked, hidden.labels)
  predicted = put(hidden.ids, hidden.places, asked, guess)
  return jnp.stack([original, hidden.ids, predicted], axis=1)
