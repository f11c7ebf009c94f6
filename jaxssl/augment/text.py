"""Hides tokens of a text from a net that is to tell them: BERT's and RoBERTa's masks.

All functions see one example.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.data.tokenizers import END, FIRST, MASK, PAD, SPECIAL
from jaxssl.errors import InputError
from jaxssl.losses.language import IGNORED

KEPT = (PAD, FIRST, END)  # ids that are never hidden


class MaskedText(NamedTuple):
  """A text of which some tokens were replaced.

  Attributes:
    ids: int32 [length], with the replacements.
    places: int32 [most], where they are, then where none is.
    labels: int32 [most], what stood there; -100 where there is no replacement.
  """

  ids: jax.Array
  places: jax.Array
  labels: jax.Array


def bert_mask(vocabulary: int, *, ratio: float = 0.15) -> Callable:
  """Returns the mask of BERT (arXiv 1810.04805, section 3.1 and its official code).

  Of n tokens, special ones counted, `max(1, round(ratio * n))` are chosen, none of
  them special. Of these 80 % become [MASK], 10 % stay, and 10 % become any id.

  Args:
    vocabulary: number of ids.
    ratio: share of the tokens.

  Returns:
    (key, ids int32 [length]) -> `MaskedText`.

  Raises:
    InputError: if the ratio isn't between 0 and 1.
  """
  _check(ratio, vocabulary)

  def count(key, n, length):
    del key
    sizes = [max(1, round(ratio * n)) for n in range(length + 1)]
    return jnp.asarray(np.asarray(sizes, np.int32))[n]

  most = lambda length: max(1, round(ratio * length))
  return functools.partial(mask_tokens, count=count, most=most, ids=(0, vocabulary))


def roberta_mask(vocabulary: int, *, ratio: float = 0.15) -> Callable:
  """Returns the mask of RoBERTa (arXiv 1907.11692, fairseq's official code).

  As `bert_mask`, but of n tokens floor(ratio * n + u) are chosen, u uniform from 0 to
  1, and replacements are never special. (fairseq may also hide the first token.)

  Args:
    vocabulary: number of ids.
    ratio: share of the tokens.

  Returns:
    (key, ids int32 [length]) -> `MaskedText`.

  Raises:
    InputError: if the ratio isn't between 0 and 1, or all ids are special.
  """
  _check(ratio, vocabulary)

  def count(key, n, length):
    del length
    share = ratio * n.astype(jnp.float32) + jax.random.uniform(key)
    return jnp.floor(share).astype(jnp.int32)

  most = lambda length: min(length, int(ratio * length) + 1)
  return functools.partial(
    mask_tokens, count=count, most=most, ids=(len(SPECIAL), vocabulary)
  )


def mask_tokens(
  key: jax.Array,
  tokens: jax.Array,
  *,
  count: Callable,
  most: Callable[[int], int],
  ids: tuple[int, int],
  masked: float = 0.8,
  unchanged: float = 0.1,
) -> MaskedText:
  """Chooses tokens and replaces most of them.

  Args:
    key: PRNG key.
    tokens: int32 [length].
    count: (key, tokens that aren't padding, length) -> how many are chosen.
    most: length -> the largest that `count` can be.
    ids: the lowest id that replaces a token, and one more than the highest.
    masked: share of the chosen that become [MASK].
    unchanged: share of the chosen that stay; the rest become random ids.

  Returns:
    The text with its replacements.
  """
  key_count, key_places, key_what, key_ids = jax.random.split(key, 4)
  length = tokens.shape[0]
  free = ~jnp.isin(tokens, jnp.asarray(KEPT, tokens.dtype))
  scores = jnp.where(free, jax.random.uniform(key_places, (length,)), -1.0)
  _, places = jax.lax.top_k(scores, most(length))
  wanted = count(key_count, jnp.sum(tokens != PAD, dtype=jnp.int32), length)
  chosen = free[places] & (jnp.arange(len(places), dtype=jnp.int32) < wanted)
  there = tokens[places]
  what = jax.random.uniform(key_what, places.shape)
  drawn = jax.random.randint(key_ids, places.shape, *ids, tokens.dtype)
  new = jnp.where(what < masked, jnp.asarray(MASK, tokens.dtype), drawn)
  new = jnp.where((what >= masked) & (what < masked + unchanged), there, new)
  replaced = tokens.at[places].set(jnp.where(chosen, new, there))
  return MaskedText(replaced, places, jnp.where(chosen, there, IGNORED))


def _check(ratio, vocabulary):
  if not 0.0 < ratio < 1.0:
    raise InputError(f"ratio {ratio}; pass the share to hide, above 0 and below 1.")
  if vocabulary <= len(SPECIAL):
    raise InputError(f"A vocabulary of {vocabulary} has special tokens only.")
