"""BiGAN: a critic of pairs forces the encoder to invert the generator."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method, PyTree
from jaxssl.methods.common import Extra
from jaxssl.methods.gan import (
  code_shapes,
  init_players,
  make_image,
  still_image,
  view_shapes,
)
from jaxssl.methods.pictures import sample_grid, side_by_side
from jaxssl.models.generative import Code, Inference, Prior
from jaxssl.models.siamese import (
  apply,
  apply_still,
  draw_views,
  fold_in_rows,
  make_encode,
)
from jaxssl.ops import to_float


class BiganOutputs(NamedTuple):
  """The critic's logits of each example's two pairs, [batch] each.

  Attributes:
    real: of the image and its code, for the critic.
    fake: of the made image and its code, for the critic.
    real_flipped: of the first pair, for encoder and generator.
    fake_flipped: of the second pair, for encoder and generator.
  """

  real: jax.Array
  fake: jax.Array
  real_flipped: jax.Array
  fake_flipped: jax.Array


def before_output(code: Code) -> jax.Array:
  """The layer before the encoder's output: the better features, says the README."""
  return code.features


def output(code: Code) -> jax.Array:
  """The encoder's output E(x) as it is compared there: before it is squashed."""
  return code.logits


def bigan(
  encoder: Inference,
  generator: nn.Module,
  critic: nn.Module,
  views: Callable,
  *,
  prior: Prior,
  features: Callable = before_output,
) -> Method:
  """BiGAN (Donahue et al., arXiv 1605.09782, section 3.4).

  The critic tells (x, E(x)) from (G(z), z); encoder and generator minimise the same
  loss with both labels flipped. One step updates all three on the same batch, and no
  gradient crosses (see `gan`). The pairs are two batches for the critic, the real one
  first. The losses are sums of both terms, of which the official code takes the mean.

  Args:
    encoder: `Inference`.
    generator: codes -> logits of the pixels (`MLPDecoder`, `Generator`).
    critic: (images, codes) -> `Judgement` (`PairCritic`).
    views: (key, example) -> inputs, of which the first is the real image.
    prior: of the codes; its `squash` takes the encoder's output to their range.
    features: `Code` -> features; `before_output` or `output`.

  Returns:
    The method; `params` are {"encoder": ..., "generator": ..., "critic": ...}.
  """

  def pairs(params, extra, batch, keys):
    """(x, E(x)), (G(z), z) and the statistics of both players."""
    crops, keys = draw_views(views, keys, batch["input"])
    codes = jax.vmap(prior.draw)(fold_in_rows(keys, 0))
    player = lambda name: (params[name], extra.stats[name])
    image, made_stats = make_image(generator, *player("generator"), codes, keys)
    code, code_stats = apply(encoder, *player("encoder"), crops[0], keys)
    stats = {"encoder": code_stats, "generator": made_stats}
    return (to_float(crops[0]), prior.squash(code.logits)), (image, codes), stats

  def forward(params, extra, batch, keys, step):
    del step
    real, fake, stats = pairs(params, extra, batch, keys)
    judge = lambda params, pairs: judge_pairs(
      critic, params["critic"], extra.stats["critic"], pairs, keys
    )
    of_critic, critic_stats = judge(params, stop_gradient((real, fake)))
    of_others, _ = judge(stop_gradient(params), (real, fake))
    stats = {**stats, "critic": critic_stats}
    return BiganOutputs(*of_critic, *of_others), Extra(stats)

  def objective(params, extra, outputs, step):
    del params, step
    real, fake, real_flipped, fake_flipped = outputs
    of_critic = losses.adversarial_critic(real, fake).mean()
    of_encoder = losses.adversarial_critic(fake_flipped, real_flipped).mean()
    metrics = {"critic_loss": of_critic, "encoder_generator_loss": of_encoder}
    return of_critic + of_encoder, (extra, metrics)

  still_features = make_encode(
    encoder, lambda params, extra: (params["encoder"], extra.stats["encoder"])
  )

  def code_of(params, extra, inputs):
    return apply_still(encoder, params["encoder"], extra.stats["encoder"], inputs)

  def encode(params, extra, batch, *, patches=False):
    if patches:
      return still_features(params, extra, batch, patches=True)
    return features(code_of(params, extra, batch["input"]))

  def show(params, extra, batch, keys):
    crops, keys = draw_views(views, keys, batch["input"])
    decode = lambda z: still_image(
      generator, params["generator"], extra.stats["generator"], z
    )
    rebuilt = decode(prior.squash(code_of(params, extra, crops[0]).logits))
    return {
      "original | G(E(x))": side_by_side(crops[0], rebuilt),
      "samples": sample_grid(prior.draw, decode, keys),
    }

  start = _starter(encoder, generator, critic, views, prior)
  return Method(start, forward, objective, encode, show=show)


def judge_pairs(
  critic: nn.Module, params: PyTree, stats: PyTree, pairs: tuple, keys: jax.Array
) -> tuple[tuple[jax.Array, ...], PyTree]:
  """Returns the critic's logits of each batch of pairs in turn, and its statistics."""
  logits = []
  for pair in pairs:
    seen, stats = apply(critic, params, stats, pair, keys)
    logits.append(seen.logit)
  return tuple(logits), stats


def _starter(encoder, generator, critic, views, prior):
  def start(key, batch):
    image, codes = view_shapes(views, batch), code_shapes(prior, batch)
    split = jax.random.split(key, 3)
    params, stats = init_players(
      {
        "encoder": (encoder, split[0], image),
        "generator": (generator, split[1], codes),
        "critic": (critic, split[2], (image, codes)),
      }
    )
    return params, Extra(stats)

  return start
