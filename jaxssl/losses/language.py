"""Losses of language models: the hidden tokens, the next token, the next sentence.

The first two give the error of each row and the count that it is divided by, since
the mean is over the tokens of the whole batch: `error.sum() / count.sum()`.
"""

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError

IGNORED = -100  # the label of what isn't asked for


def masked_language_modelling(
  logits: jax.Array, labels: jax.Array, *, ignored: int = IGNORED
) -> tuple[jax.Array, jax.Array]:
  """BERT's cross-entropy of the tokens that were hidden, in nats.

  Devlin et al. 2018, arXiv:1810.04805, section 3.1. The official code adds 1e-5 to the
  count.

  Args:
    logits: [batch, places, vocabulary].
    labels: int [batch, places], the tokens that stood there.
    ignored: the label of a place that doesn't count.

  Returns:
    float32 [batch] errors, and float32 [batch] counts; the loss is
    `error.sum() / count.sum()`.

  Raises:
    InputError: if the labels don't fit the logits.
  """
  _check(logits, labels, 3)
  asked = labels != ignored
  each = _cross_entropy(logits, jnp.where(asked, labels, 0))
  error = jnp.sum(jnp.where(asked, each, 0.0), axis=1)
  return error, jnp.sum(asked, axis=1, dtype=jnp.float32)


def causal_language_modelling(
  logits: jax.Array, tokens: jax.Array, *, padding: int | None = None
) -> tuple[jax.Array, jax.Array]:
  """GPT's cross-entropy of each token but the first, from those before it, in nats.

  Radford et al. 2018, equation 1: `logits[:, t]` predicts `tokens[:, t + 1]`.

  Args:
    logits: [batch, length, vocabulary]; those of the last place are not used.
    tokens: int [batch, length].
    padding: the token that is not asked for; None: all are.

  Returns:
    float32 [batch] errors, and float32 [batch] counts; the loss is
    `error.sum() / count.sum()`.

  Raises:
    InputError: if the tokens don't fit the logits, or there is only one a row.
  """
  _check(logits, tokens, 3)
  if tokens.shape[1] < 2:
    raise InputError("A row of one token has no next token to predict.")
  labels = tokens[:, 1:]
  if padding is not None:
    labels = jnp.where(labels == padding, IGNORED, labels)
  return masked_language_modelling(logits[:, :-1], labels)


def next_sentence(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """BERT's cross-entropy of whether the second segment follows the first, in nats.

  Devlin et al. 2018, arXiv:1810.04805, section 3.1.

  Args:
    logits: [batch, 2].
    labels: int [batch], 0: it follows, 1: it is random.

  Returns:
    float32 [batch].

  Raises:
    InputError: if the labels don't fit the logits.
  """
  _check(logits, labels, 2)
  return _cross_entropy(logits, labels)


def _cross_entropy(logits, labels):
  logs = jax.nn.log_softmax(logits.astype(jnp.float32))
  return -jnp.take_along_axis(logs, labels[..., None], axis=-1)[..., 0]


def _check(logits, labels, rank):
  whole = jnp.issubdtype(labels.dtype, jnp.integer)
  if logits.ndim != rank or labels.shape != logits.shape[:-1] or not whole:
    raise InputError(
      f"`logits` must have {rank} axes, the last one the classes, and the labels be "
      f"integers of the others' shape; got {logits.dtype} {logits.shape} and "
      f"{labels.dtype} {labels.shape}."
    )
  if not logits.size:
    raise InputError(f"Logits of shape {logits.shape} have no loss.")
