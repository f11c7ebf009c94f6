"""Masks of spans of frames: as many masked frames for each example, a key each."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxssl.errors import InputError


class Spans(NamedTuple):
  """Which frames of a sequence are masked.

  Attributes:
    mask: bool [frames], True where masked.
    index: int32 [masked], the places of these, in rising order.
  """

  mask: jax.Array
  index: jax.Array


def masked_frames(frames: int, *, span: int, start: float) -> int:
  """Returns how many frames `span_mask` masks: `frames * (1 - (1 - start)**span)`.

  Raises:
    InputError: if a span doesn't fit, `start` is no share, or all or none are masked.
  """
  if not 1 <= span <= frames or not 0.0 < start < 1.0:
    raise InputError(
      f"Spans of {span} from a share of {start} of {frames} frames; pass a span of 1 "
      f"to {frames} and a share between 0 and 1."
    )
  count = round(frames * (1.0 - (1.0 - start) ** span))
  if not 0 < count < frames:
    raise InputError(
      f"Spans of {span} from a share of {start} of {frames} frames mask {count} of "
      "them; there must be masked frames and others."
    )
  return count


def span_mask(key: jax.Array, *, frames: int, span: int, start: float) -> Spans:
  """Masks spans that start anywhere and may overlap.

  wav2vec 2.0 (arXiv 2006.11477, section 3.1): spans of 10 from 0.065 of the frames,
  about 49 % masked; HuBERT (arXiv 2106.07447): from 0.08, 57 %. There the number is
  random, and the official code leaves some out so that all examples of a batch have as
  many. Here spans come in random order, from places without replacement, until exactly
  the expected number is masked; the last one may be cut.

  Args:
    key: PRNG key.
    frames: length of the sequence.
    span: frames of a span.
    start: share of the frames that spans start from.

  Returns:
    The mask, and the places of the masked frames, a number that depends on the options
    alone.

  Raises:
    InputError: as `masked_frames`.
  """
  count = masked_frames(frames, span=span, start=start)
  turn = _turns(key, frames, span)
  index = jnp.sort(jnp.argsort(turn, stable=True)[:count]).astype(jnp.int32)
  return Spans(jnp.zeros(frames, bool).at[index].set(True), index)


def span_mask_of(
  key: jax.Array, own: jax.Array, *, span: int, start: float
) -> jax.Array:
  """`span_mask` of a sequence that is padded: the same share of its own frames.

  Args:
    key: PRNG key.
    own: bool [frames], True for the frames that are there, which come first.
    span: frames of a span.
    start: share of the frames that spans start from.

  Returns:
    bool [frames], True where masked; at least one of the own frames is not.

  Raises:
    InputError: as `masked_frames`.
  """
  frames = len(own)
  share = 1.0 - (1.0 - start) ** span
  counts = [max(0, min(round(n * share), n - 1)) for n in range(frames)]
  counts = [*counts, masked_frames(frames, span=span, start=start)]
  turn = jnp.where(own, _turns(key, frames, span), 2 * frames)
  rank = jnp.argsort(jnp.argsort(turn, stable=True), stable=True)
  return (rank < jnp.asarray(counts)[own.sum()]) & own


def _turns(key, frames, span):
  """When each frame is masked: the place in a random order of its first span."""
  order = jax.random.permutation(key, frames - span + 1)
  late = jnp.full(span - 1, frames, order.dtype)
  order = jnp.concatenate([late, order, late])
  return jnp.min(jnp.stack([order[i : i + frames] for i in range(span)]), axis=0)
