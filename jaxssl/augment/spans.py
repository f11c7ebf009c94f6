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
  order = jax.random.permutation(key, frames - span + 1)
  late = jnp.full(span - 1, frames, order.dtype)
  order = jnp.concatenate([late, order, late])
  covered = jnp.stack([order[i : i + frames] for i in range(span)])
  turn = jnp.min(covered, axis=0)  # the first span that a frame is in
  index = jnp.sort(jnp.argsort(turn, stable=True)[:count]).astype(jnp.int32)
  return Spans(jnp.zeros(frames, bool).at[index].set(True), index)
