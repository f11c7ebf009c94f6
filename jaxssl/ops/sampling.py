"""Words and items drawn by their counts: noise, subsampling, what is not in a row."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError


def noise_cdf(counts: np.ndarray, *, power: float = 0.75) -> np.ndarray:
  """Cumulative probabilities of words as noise, proportional to counts^power.

  Mikolov et al. 2013, arXiv:1310.4546, section 2.2.

  Args:
    counts: how often each word occurs, [words]; words of count 0 are never drawn.
    power: 0.75 in the paper; 0 draws all words that occur alike.

  Returns:
    float32 [words], rising to 1.

  Raises:
    InputError: unless counts are 0 or more, and one of them is more.
  """
  counts = np.asarray(counts, np.float64)
  if counts.ndim != 1 or not (counts >= 0).all() or not counts.sum() > 0:
    raise InputError("Counts must be [words], 0 or more, and one of them more than 0.")
  weights = np.where(counts > 0, np.maximum(counts, 1e-300) ** power, 0.0)
  cdf = np.cumsum(weights)
  return (cdf / cdf[-1]).astype(np.float32)


def draw_noise(key: jax.Array, cdf: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """Draws words from cumulative probabilities.

  Args:
    key: PRNG key.
    cdf: float32 [words], from `noise_cdf`.
    shape: how many to draw.

  Returns:
    int32 `shape`.
  """
  uniform = jax.random.uniform(key, shape)
  found = jnp.searchsorted(cdf, uniform, side="right").astype(jnp.int32)
  return jnp.minimum(found, len(cdf) - 1)


def keep_probability(counts: np.ndarray, *, threshold: float) -> np.ndarray:
  """How likely word2vec keeps an occurrence of each word, so that frequent ones thin.

  `(sqrt(f / t) + 1) t / f`, at most 1, for the share f of all words: what the official
  code computes. (The paper, arXiv:1310.4546, equation 5, has sqrt(t / f).)

  Args:
    counts: how often each word occurs, [words].
    threshold: t; 1e-3 by default there, 1e-4 for 17 million words, 1e-5 for more.

  Returns:
    float64 [words], 1 for words of count 0.

  Raises:
    InputError: unless the threshold is above 0.
  """
  if not threshold > 0:
    raise InputError(f"The threshold of subsampling is {threshold}; it is above 0.")
  counts = np.asarray(counts, np.float64)
  share = np.maximum(counts, 1e-9) / max(counts.sum(), 1.0)
  return np.minimum((np.sqrt(share / threshold) + 1.0) * threshold / share, 1.0)


def draw_absent(
  key: jax.Array, row: jax.Array, shape: tuple[int, ...], *, items: int
) -> jax.Array:
  """Draws uniformly from the items 1 ... `items` that are not in a row.

  Args:
    key: PRNG key.
    row: int32 [length]; 0 and what is above `items` is no item.
    shape: how many to draw.
    items: number of items. If all of them are in the row, any are drawn.

  Returns:
    int32 `shape`.
  """
  beyond = items + 1
  taken = jnp.sort(jnp.where((row >= 1) & (row <= items), row, beyond))
  again = jnp.concatenate([jnp.zeros(1, bool), taken[1:] == taken[:-1]])
  taken = jnp.sort(jnp.where(again, beyond, taken))
  number = jnp.sum(taken <= items, dtype=jnp.int32)
  free = items - number
  drawn = jax.random.randint(key, shape, 0, jnp.where(free > 0, free, items))
  # The free items below taken[i] are taken[i] - 1 - i: those drawn from there on shift.
  below = taken - 1 - jnp.arange(len(taken), dtype=taken.dtype)
  below = jnp.where(taken <= items, below, beyond)
  shift = jnp.searchsorted(below, drawn, side="right").astype(jnp.int32)
  return 1 + drawn + jnp.where(free > 0, shift, 0)
