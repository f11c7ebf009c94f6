"""Future frames: predict the pixels of the frames that come next."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.losses.generative import squared_error
from jaxssl.losses.video import gradient_difference
from jaxssl.methods.common import Extra
from jaxssl.methods.predictive import on_board
from jaxssl.models.siamese import (
  apply,
  apply_still,
  draw_views,
  encode_alone,
  init_on_views,
)
from jaxssl.ops.numerics import to_float


def future_frame(
  net: nn.Module,
  views: Callable,
  *,
  future: int,
  error: Callable = squared_error,
  gradient_weight: float = 0.0,
) -> Method:
  """Predicts the last frames of a clip from those before (arXiv 1511.05440).

  The loss is an error of the pixels, summed over a clip and averaged over the batch,
  and, with a weight, the gradient difference loss (section 3.2 there), which blurred
  predictions do badly at.

  Args:
    net: past clips -> future frames, such as `models.FramePredictor`; its part
      `encoder` is what is kept.
    views: (key, example) -> inputs, of which the first is used, a clip of past and
      future.
    future: how many of the last frames are predicted.
    error: (prediction, frames) -> [batch]: `losses.squared_error`, or
      `losses.absolute_error` for the paper's L1.
    gradient_weight: of `losses.gradient_difference`, 1 in the paper.

  Returns:
    The method; its features are the encoder's, of the whole clip. `frame_error` in its
    log is the squared error summed over a frame, `still_error` that of a prediction
    that nothing moves any more.

  Raises:
    InputError: for an option out of its range; when it is traced, if the clips are too
      short, or the net makes other frames than these.
  """
  if future < 1 or gradient_weight < 0:
    raise InputError(
      f"future {future}, gradient_weight {gradient_weight}; pass 1 frame or more, and "
      "a weight of 0 or more"
    )

  def past_of(key, example):
    return (split(views(key, example)[0])[0],)

  def split(clip):
    if clip.shape[-4] <= future:
      raise InputError(
        f"A clip of {clip.shape[-4]} frames has no past before {future} future frames."
      )
    return clip[..., :-future, :, :, :], clip[..., -future:, :, :, :]

  def init(key, batch):
    params, stats = init_on_views(net, key, past_of, batch)
    return params, Extra(stats)

  def drawn(batch, keys):
    crops, keys = draw_views(views, keys, batch["input"])
    return *split(to_float(crops[0])), keys

  def forward(params, extra, batch, keys, step):
    del step
    past, frames, net_keys = drawn(batch, keys)
    made, stats = apply(net, params, extra.stats, past, net_keys)
    _check_made(made, frames)
    rows = {
      "loss": _loss(made, frames, error, gradient_weight),
      "frame_error": squared_error(made, frames) / future,
      "still_error": squared_error(_still(past, future), frames) / future,
    }
    return rows, Extra(stats)

  def objective(params, extra, rows, step):
    del params, step
    means = {name: values.mean() for name, values in rows.items()}
    return means.pop("loss"), (extra, means)

  def show(params, extra, batch, keys):
    past, frames, _ = drawn(batch, keys)
    made = apply_still(net, params, extra.stats, past)
    return {"past | true future | predicted": strips(past, frames, made)}

  return Method(init, forward, objective, encode_alone(net.encoder), show=show)


def strips(past: jax.Array, frames: jax.Array, made: jax.Array) -> jax.Array:
  """Frames side by side: the end of the past, the true future, the predicted one.

  Args:
    past: [batch, frames, height, width, channels].
    frames: that came next.
    made: those predicted.

  Returns:
    [batch, 3, height, width of as many frames as the future has, channels] in [0, 1];
    a shorter past has grey before it.
  """
  count = frames.shape[1]
  last = past[:, -count:]
  missing = count - last.shape[1]
  edges = ((0, 0), (missing, 0), (0, 0), (0, 0), (0, 0))
  last = jnp.pad(last, edges, constant_values=0.5)
  columns = [on_board(jnp.clip(x, 0.0, 1.0), (1, count)) for x in (last, frames, made)]
  return jnp.stack(columns, axis=1)


def _loss(made, frames, error, gradient_weight):
  loss = error(made, frames)
  if not gradient_weight:
    return loss
  return loss + gradient_weight * gradient_difference(made, frames)


def _still(past, future):
  """The last frame again and again."""
  return jnp.repeat(past[:, -1:], future, axis=1)


def _check_made(made, frames):
  if made.shape != frames.shape:
    raise InputError(
      f"The net makes frames {made.shape} for a future of {frames.shape}; change the "
      "decoder's shape."
    )
