"""wav2vec 2.0: which learned code belongs in a masked frame, among those of others."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import Extra, mean_over_patches, without
from jaxssl.models.siamese import draw_views, encode_alone, fold_in_rows
from jaxssl.models.speech import Guess, MaskedWave, pick_frames
from jaxssl.ops import other_places

PyTree = Any


class Wav2Vec2Outputs(NamedTuple):
  """What wav2vec 2.0 makes of each example.

  Attributes:
    error: [batch], contrastive loss summed over masked frames that aren't padded.
    count: [batch], number of these frames.
    right: [batch], number of these whose code was found.
    usage: [batch, groups, codes], the softmax of the quantiser summed over them.
    picked: the same of the likeliest codes.
    square: [batch], mean square of the convolutions' frames.
  """

  error: jax.Array
  count: jax.Array
  right: jax.Array
  usage: jax.Array
  picked: jax.Array
  square: jax.Array


def wav2vec2(
  net: nn.Module,
  views: Callable,
  *,
  mask: Callable,
  gumbel_temperature: Callable,
  negatives: int = 100,
  temperature: float = 0.1,
  diversity_weight: float = 0.1,
  penalty_weight: float = 10.0,
) -> Method:
  """wav2vec 2.0 (Baevski et al., arXiv 2006.11477, section 3.2).

  The loss is the mean over all masked frames of the batch of the contrastive loss, and
  weighted with it the share of codes that is not used, and the mean square of the
  convolutions' frames.

  Args:
    net: `models.Wav2Vec2`.
    views: (key, wave) -> waves, of which the first is used.
    mask: key -> `augment.Spans`: `partial(augment.span_mask, frames=..., span=10,
      start=0.065)`, as many masked frames for each example.
    gumbel_temperature: step -> temperature of the quantiser,
      `ops.falling_temperature()`.
    negatives: drawn for each masked frame from the others of its utterance.
    temperature: divides the cosines.
    diversity_weight: of the diversity loss.
    penalty_weight: of the mean square of the frames.

  Returns:
    The method; `encode` is the mean over frames of the unmasked context.

  Raises:
    InputError: in `init` if the mask doesn't fit the frames of the view, or fewer than
      2 are masked.
  """

  def draw(keys, inputs):
    (wave, *_), keys = draw_views(views, keys, inputs)
    spans = jax.vmap(mask)(fold_in_rows(keys, 0))
    return MaskedWave(wave, spans.mask), spans.index, keys

  def init(key, batch):
    keys = jax.random.split(key, len(jax.tree.leaves(batch["input"])[0]))
    shapes = jax.eval_shape(lambda: draw(keys, batch["input"])[0])
    waves = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    variables = dict(net.init(key, waves, temperature=1.0, train=True))
    return variables.pop("params"), Extra(variables)

  def forward(params, extra, batch, keys, step):
    waves, index, keys = draw(keys, batch["input"])
    guess, stats = net.apply(
      {"params": params, **extra.stats},
      waves,
      temperature=gumbel_temperature(step),
      train=True,
      keys=fold_in_rows(keys, 1),
      mutable=list(extra.stats),
    )
    asked = pick_frames(guess[:4], index)
    choose = lambda key: other_places(key, places=index.shape[1], count=negatives)
    places = jax.vmap(choose)(fold_in_rows(keys, 2))
    outputs = _compare(Guess(*asked, guess.square), places, temperature)
    return outputs, Extra(stats)

  def objective(params, extra, outputs, step):
    del params, step
    contrastive = mean_over_patches(outputs.error, outputs.count)
    diversity = losses.wav2vec2_diversity(outputs.usage)
    penalty = outputs.square.mean()
    loss = contrastive + diversity_weight * diversity + penalty_weight * penalty
    metrics = {
      "contrastive": contrastive,
      "accuracy": mean_over_patches(outputs.right, outputs.count),
      "code_perplexity": losses.code_perplexity(outputs.picked),
      "softmax_perplexity": losses.code_perplexity(outputs.usage),
      "frame_square": penalty,
    }
    return loss, (extra, metrics)

  return Method(init, forward, objective, encode_alone(net.encoder))


def _compare(asked, places, temperature):
  """The outputs of guesses for masked frames alone."""
  own = asked.own.astype(jnp.float32)
  scores = losses.wav2vec2_logits(
    asked.predicted, asked.quantised, places, temperature=temperature
  )
  padded = ~pick_frames(asked.own, places.reshape(len(places), -1))
  padded = padded.reshape(places.shape)  # what is no negative either
  scores = without(scores, padded)
  right = scores[..., 0] > jnp.max(scores[..., 1:], axis=-1)
  likeliest = jnp.argmax(asked.logits, axis=-1)
  picked = jax.nn.one_hot(likeliest, asked.logits.shape[-1]) * own[..., None, None]
  return Wav2Vec2Outputs(
    jnp.sum(-jax.nn.log_softmax(scores)[..., 0] * own, axis=1),
    own.sum(axis=1),
    jnp.sum(jnp.where(right, own, 0.0), axis=1),
    losses.code_usage(asked.logits, own),
    picked.sum(axis=1),
    asked.square,
  )
