"""Discrete choices that gradients pass: the hard Gumbel-softmax and its temperature."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError


def gumbel_one_hot(
  keys: jax.Array | None, logits: jax.Array, *, temperature: jax.Array | float
) -> jax.Array:
  """Draws one of the choices, with the gradient of the soft draw.

  The straight-through Gumbel-softmax (arXiv 1611.01144, section 2.2): forward one-hot,
  backward as softmax((logits + noise) / temperature).

  Args:
    keys: one per row; None adds no noise.
    logits: [batch, ..., choices].
    temperature: above 0.

  Returns:
    One-hot, float32, the shape of `logits`.
  """
  logits = logits.astype(jnp.float32)
  if keys is not None:
    draw = lambda key: jax.random.gumbel(key, logits.shape[1:])
    logits = logits + jax.vmap(draw)(keys)
  soft = jax.nn.softmax(logits / temperature)
  hard = jax.nn.one_hot(jnp.argmax(logits, axis=-1), logits.shape[-1])
  return hard + (soft - jax.lax.stop_gradient(soft))


def falling_temperature(
  start: float = 2.0, end: float = 0.5, *, decay: float = 0.999995
) -> Callable[[jax.Array], jax.Array]:
  """wav2vec 2.0's temperature: `max(start * decay ** step, end)`.

  Args:
    start: at step 0.
    end: the least.
    decay: of each step; 0.999995 reaches the end after 277,000.

  Returns:
    step (int32 []) -> temperature (float32 []).

  Raises:
    InputError: unless `0 < end <= start` and `decay` is in (0, 1].
  """
  if not 0 < end <= start or not 0 < decay <= 1:
    raise InputError(
      f"A temperature from {start} to {end} by {decay} a step; pass 0 < end <= start "
      "and a decay in (0, 1]."
    )
  rate = jnp.float32(decay)
  return lambda step: jnp.maximum(start * rate ** jnp.asarray(step, jnp.float32), end)


def other_places(key: jax.Array, *, places: int, count: int) -> jax.Array:
  """Draws, for each of some places, others: uniform, with replacement, never itself.

  Args:
    key: PRNG key.
    places: how many there are, 2 or more.
    count: draws for each.

  Returns:
    int32 [places, count].

  Raises:
    InputError: for fewer than 2 places or no draws.
  """
  if places < 2 or count < 1:
    raise InputError(
      f"{count} negatives from the others of {places} masked frames; there must be 2 "
      "masked frames and 1 negative at least: longer clips, or more of them masked."
    )
  drawn = jax.random.randint(key, (places, count), 0, places - 1)
  own = jnp.arange(places)[:, None]
  return jnp.where(drawn >= own, drawn + 1, drawn)
