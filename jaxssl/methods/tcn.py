"""Time-contrastive networks: frames of one moment are alike, of others are not."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.losses.video import triplet_semi_hard
from jaxssl.methods.common import Extra
from jaxssl.models.siamese import (
  apply,
  apply_still,
  draw_views,
  encode_alone,
  init_on_views,
)
from jaxssl.ops.numerics import l2_normalize, to_float


class Moments(NamedTuple):
  """Embedded frames of each clip, and when they were.

  Attributes:
    z: [batch, frames, dim].
    time: int32 [batch, frames], the frame's number in its clip.
    camera: int32 [batch, frames]; 0 where there is one camera.
  """

  z: jax.Array
  time: jax.Array
  camera: jax.Array


def tcn(
  net: nn.Module,
  views: Callable,
  *,
  pairs: int,
  positive_range: int,
  negative_range: int,
  contrast: Callable = triplet_semi_hard,
) -> Method:
  """Single-view TCN (Sermanet et al., arXiv 1704.06888, section 3.2).

  From each clip come `pairs` random frames and a neighbour in time of each. Positive
  are frames of a clip that are at most `positive_range` apart, negative are those more
  than `negative_range` apart, and all frames of other clips; what lies between is
  neither. Batches hold several pairs of each clip, so that there are negatives of the
  same clip.

  Args:
    net: `models.FrameEmbedder`: clips -> embeddings [batch, frames, dim].
    views: (key, example) -> inputs, of which the first is used, a clip.
    pairs: of each clip.
    positive_range: in frames, 6 in the official code (at 29 frames a second).
    negative_range: in frames, 12 there; `positive_range` or more.
    contrast: (embeddings [n, dim], positive [n, n], negative [n, n]) -> loss:
      `losses.triplet_semi_hard`, or `losses.n_pairs`.

  Returns:
    The method; its features are the encoder's, of all frames of a clip.

  Raises:
    InputError: for an option out of its range; when it is traced, if clips are not
      longer than `positive_range`.
  """
  if not 1 <= positive_range <= negative_range or pairs < 1:
    raise InputError(
      f"pairs {pairs}, ranges {positive_range} and {negative_range}; pass 1 pair or "
      "more, and 1 <= positive_range <= negative_range"
    )

  def pick(key, clips):
    clip = clips[0]
    time = neighbours(key, len(clip), pairs=pairs, reach=positive_range)
    return clip[time], time, jnp.zeros_like(time)

  def relate(a, b):
    apart = jnp.abs(a.time - b.time)
    near = (apart > 0) & (apart <= positive_range)
    return near, apart > negative_range

  return _contrasting(net, views, pick, relate, contrast)


def tcn_multi_view(
  net: nn.Module,
  views: Callable,
  *,
  moments: int,
  contrast: Callable = triplet_semi_hard,
) -> Method:
  """Multi-view TCN (arXiv 1704.06888, section 3.1): two cameras see the same moment.

  Positive are frames of the two cameras at one time, negative are all frames of other
  times and of other clips.

  Args:
    net: as in `tcn`.
    views: (key, example) -> two clips of the same moments, one of each camera.
    moments: taken from each clip.
    contrast: as in `tcn`.

  Returns:
    The method; its features are the encoder's, of all frames of a clip, so examples
    for it are clips of one camera.

  Raises:
    InputError: for fewer than 1 moment; when it is traced, if the clips are shorter, or
      there is one clip.
  """
  if moments < 1:
    raise InputError(f"{moments} moments; pass 1 or more.")

  def pick(key, clips):
    if len(clips) < 2 or clips[0].shape != clips[1].shape:
      raise InputError("Multi-view TCN needs views that give two clips of one shape.")
    if len(clips[0]) < moments:
      raise InputError(f"{moments} moments of clips of {len(clips[0])} frames.")
    time = jax.random.permutation(key, len(clips[0]))[:moments].astype(jnp.int32)
    frames = jnp.concatenate([clip[time] for clip in clips[:2]])
    camera = jnp.repeat(jnp.arange(2, dtype=jnp.int32), moments)
    return frames, jnp.tile(time, 2), camera

  def relate(a, b):
    same = a.time == b.time
    return same & (a.camera != b.camera), ~same

  return _contrasting(net, views, pick, relate, contrast)


def _contrasting(net, views, pick, relate, contrast):
  def picked(key, example):
    key_view, key_pick = jax.random.split(key)
    return pick(key_pick, to_float(views(key_view, example)))

  def init(key, batch):
    shown = lambda key, example: picked(key, example)[:1]
    params, stats = init_on_views(net, key, shown, batch)
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    (frames, time, camera), keys = draw_views(picked, keys, batch["input"])
    z, stats = apply(net, params, extra.stats, frames, keys)
    return Moments(z, time, camera), Extra(stats)

  def objective(params, extra, moments, step):
    del params, step
    positive, negative = relations(moments, relate)
    z = moments.z.reshape(-1, moments.z.shape[-1])
    loss = contrast(z, positive, negative)
    return loss, (extra, {"positives": jnp.mean(positive.sum(1, dtype=jnp.float32))})

  def show(params, extra, batch, keys):
    clips = to_float(draw_views(views, keys, batch["input"])[0][0])
    z = apply_still(net, params, extra.stats, clips)
    return {"frame | nearest of another clip": _nearest(clips, z)}

  return Method(init, forward, objective, encode_alone(net.encoder), show=show)


def neighbours(key: jax.Array, length: int, *, pairs: int, reach: int) -> jax.Array:
  """Draws frames and, for each, another one close to it in time.

  Args:
    key: PRNG key.
    length: frames of the clip, more than `reach`.
    pairs: how many frames are drawn, uniformly.
    reach: the most frames between the two, 1 or more.

  Returns:
    int32 [2 * pairs], the frames, then their neighbours, which are not themselves.

  Raises:
    InputError: if the clip is too short.
  """
  if length <= reach:
    raise InputError(
      f"Clips of {length} frames have no pairs up to {reach} apart; pass longer clips "
      "or a smaller positive_range."
    )
  key_first, key_apart, key_side = jax.random.split(key, 3)
  first = jax.random.randint(key_first, (pairs,), 0, length)
  apart = jax.random.randint(key_apart, (pairs,), 1, reach + 1)
  later = jax.random.bernoulli(key_side, shape=(pairs,))
  second = jnp.where(later, first + apart, first - apart)
  inside = (second >= 0) & (second < length)
  second = jnp.where(inside, second, 2 * first - second)
  # where neither side has room: the nearest end, or beside it
  second = jnp.clip(second, 0, length - 1)
  second = jnp.where(second == first, jnp.where(first > 0, first - 1, 1), second)
  return jnp.concatenate([first, second]).astype(jnp.int32)


def relations(moments: Moments, relate: Callable) -> tuple[jax.Array, jax.Array]:
  """Which frames of a batch are positives, and which negatives, of which.

  Args:
    moments: of all clips.
    relate: (moments, moments) -> positive, negative, of frames of one clip.

  Returns:
    bool [n, n] each, n = batch * frames; frames of other clips are negatives.
  """
  batch, frames = moments.time.shape
  clip = jnp.repeat(jnp.arange(batch), frames)
  flat = Moments(None, moments.time.reshape(-1), moments.camera.reshape(-1))
  rows = Moments(None, flat.time[:, None], flat.camera[:, None])
  columns = Moments(None, flat.time[None], flat.camera[None])
  same = clip[:, None] == clip[None]
  positive, negative = relate(rows, columns)
  return same & positive, ~same | negative


def _nearest(clips, z):
  """The middle frame of each clip, and the frame of the next clip that is nearest."""
  middle = clips.shape[1] // 2
  unit = l2_normalize(z.astype(jnp.float32))
  other = jnp.roll(unit, -1, axis=0)
  close = jnp.einsum("bd,bfd->bf", unit[:, middle], other, precision="highest")
  chosen = jnp.argmax(close, axis=1)
  found = jax.vmap(lambda clip, i: clip[i])(jnp.roll(clips, -1, axis=0), chosen)
  return jnp.clip(jnp.stack([clips[:, middle], found], axis=1), 0.0, 1.0)
