"""CPC for audio: from what was heard, tell the next frames from frames elsewhere."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import Extra, without
from jaxssl.models import siamese
from jaxssl.ops import to_float

PyTree = Any


class CPCAudioOutputs(NamedTuple):
  """What CPC makes of each example.

  Attributes:
    frames: of the convolutions, [batch, frames, dim].
    context: [batch, frames, width].
    own: bool [batch, frames], False where a recording is padded.
    keys: one PRNG key per row; the batch's negatives are drawn from the first.
  """

  frames: jax.Array
  context: jax.Array
  own: jax.Array
  keys: jax.Array


def cpc_audio(
  encoder: nn.Module, predictor: nn.Module, views: Callable, *, negatives: int = 128
) -> Method:
  """CPC for audio (van den Oord et al., arXiv 1807.03748; Riviere et al., 2002.02848).

  From the context at a frame, the predictor says what each of the next frames is, and
  the true one must score above `negatives` frames of the batch: any row, any time but
  that of the context; those drawn from padding are left out. The loss is the sum over
  the steps ahead of the mean over frames, scores the mean over channels of the product,
  as in the official code.

  Negatives of other speakers or recordings are told apart by voice and noise alone; the
  papers fill each batch from one speaker where that matters.

  Args:
    encoder: `models.CPCEncoder`.
    predictor: context [batch, frames, width] -> [batch, frames, steps, dim]:
      `models.StepPredictions`, or `models.StepTransformers`.
    views: (key, wave) -> waves, of which the first is used; 20,480 samples at 16 kHz in
      the papers.
    negatives: drawn for each frame, the same ones for all steps.

  Returns:
    The method; `encode` is the mean context over frames.

  Raises:
    InputError: without negatives or steps; in `init` if the view has no more frames
      than steps to predict, or the predictor isn't as wide as the frames.
  """
  steps = predictor.steps
  if negatives < 1 or steps < 1:
    raise InputError(f"negatives={negatives} and steps={steps}; both are 1 or more.")

  def init(key, batch):
    key_encoder, key_predictor = jax.random.split(key)
    shape = jax.eval_shape(lambda: _first(views, key, batch))
    wave = jnp.zeros(shape.shape, shape.dtype)
    params, stats = siamese.init(encoder, key_encoder, wave)
    heard, _ = jax.eval_shape(lambda p: look(p, stats, wave, None, False), params)
    _check(heard.local.shape, steps, predictor.width)
    seen = jnp.zeros(heard.context.shape)
    heads, _ = siamese.init(predictor, key_predictor, seen)
    params = {"encoder": params, "predictor": heads}
    return params, Extra({name: {"encoder": tree} for name, tree in stats.items()})

  def look(params, stats, wave, keys, train):
    return encoder.apply(
      {"params": params, **stats},
      to_float(wave),
      train=train,
      keys=keys,
      method="look",
      mutable=list(stats),
    )

  def forward(params, extra, batch, keys, step):
    del step
    (wave, *_), keys = siamese.draw_views(views, keys, batch["input"])
    stats = {name: tree["encoder"] for name, tree in extra.stats.items()}
    net_keys = siamese.fold_in_rows(keys, 0)
    heard, stats = look(params["encoder"], stats, wave, net_keys, True)
    stats = {name: {"encoder": tree} for name, tree in stats.items()}
    draw_keys = siamese.fold_in_rows(keys, 1)
    outputs = CPCAudioOutputs(heard.local, heard.context, heard.own, draw_keys)
    return outputs, Extra(stats)

  def objective(params, extra, outputs, step):
    del step
    z = outputs.frames
    last = z.shape[1] - steps  # frames that have all of their next ones
    heads = {"params": params["predictor"]}
    predicted = predictor.apply(heads, outputs.context, train=True)[:, :last]
    windows = [slice(k, k + last) for k in range(1, steps + 1)]
    ahead = jnp.stack([z[:, w] for w in windows], axis=2)
    own = jnp.stack([outputs.own[:, w] for w in windows], axis=2).astype(jnp.float32)
    row, time = draw_frames(outputs.keys[0], z.shape[:2], frames=last, count=negatives)
    scores = losses.cpc_audio_logits(predicted, ahead, z[row, time])
    scores = without(scores, ~outputs.own[row, time][:, :, None])
    rows = -jax.nn.log_softmax(scores)[..., 0]
    right = scores[..., 0] > jnp.max(scores[..., 1:], axis=-1)
    count = jnp.maximum(own.sum(axis=(0, 1)), 1.0)
    means = jnp.sum(rows * own, axis=(0, 1)) / count
    metrics = {"accuracy": jnp.sum(jnp.where(right, own, 0.0)) / count.sum()}
    return means.sum(), (extra, metrics)

  return Method(init, forward, objective, siamese.encode_alone(encoder))


def draw_frames(
  key: jax.Array, shape: tuple[int, int], *, frames: int, count: int
) -> tuple[jax.Array, jax.Array]:
  """Draws negatives for each frame: any row, any time but the frame's own.

  Args:
    key: PRNG key.
    shape: rows of the batch, and all frames of each.
    frames: how many of the first frames need negatives.
    count: for each.

  Returns:
    Rows and times, int32 [rows, frames, count] each.
  """
  key_row, key_time = jax.random.split(key)
  drawn = (shape[0], frames, count)
  row = jax.random.randint(key_row, drawn, 0, shape[0])
  shift = jax.random.randint(key_time, drawn, 1, shape[1])
  return row, (jnp.arange(frames)[None, :, None] + shift) % shape[1]


def _first(views, key, batch):
  keys = jax.random.split(key, len(jax.tree.leaves(batch["input"])[0]))
  return siamese.draw_views(views, keys, batch["input"])[0][0]


def _check(shape, steps, width):
  if shape[1] <= steps:
    raise InputError(
      f"These waves have {shape[1]} frames, too few to predict {steps} ahead; take "
      "longer clips or fewer steps."
    )
  if shape[2] != width:
    raise InputError(
      f"The predictor's frames are {width} wide and the encoder's {shape[2]}; give it "
      f"width={shape[2]}."
    )
