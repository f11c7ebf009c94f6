"""GAN: a critic that tells real from made images has features of images.

All players are updated in one step, on the same batch. The loss is the sum of the
players' losses, and what belongs to another player is under `stop_gradient` in each:
no gradient crosses. The top level of the parameters are the players, so that
`optim.by_part` gives each an optimiser of its own.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method, PyTree
from jaxssl.errors import InputError
from jaxssl.methods.common import Extra
from jaxssl.methods.pictures import sample_grid
from jaxssl.models.generative import Prior, pooled_map
from jaxssl.models.layers import flatten_map
from jaxssl.models.siamese import apply, apply_still, draw_views, fold_in_rows, init
from jaxssl.ops import to_float


class GanOutputs(NamedTuple):
  """The critic's logits of each example.

  Attributes:
    real: of the real image, for the critic, [batch].
    fake: of the made image, for the critic, [batch].
    fooled: of the made image, for the generator, [batch].
  """

  real: jax.Array
  fake: jax.Array
  fooled: jax.Array


def gan(
  generator: nn.Module,
  critic: nn.Module,
  views: Callable,
  *,
  prior: Prior,
  features: Callable = pooled_map,
) -> Method:
  """GAN with the loss that doesn't saturate (Goodfellow et al., arXiv 1406.2661).

  Real and made images go through the critic as two batches, so batch norm normalises
  each by itself, as in the official DCGAN; its running statistics take the real batch
  first and then the made one. The generator's pass uses the same normalisation as the
  critic's of the made batch and leaves no trace in the statistics.

  Args:
    generator: codes -> logits of the pixels (`Generator`, `ConvDecoder`).
    critic: images -> `Judgement` (`ConvCritic`).
    views: (key, example) -> inputs, of which the first is the real image.
    prior: of the codes.
    features: the critic's maps -> features; `models.pyramid` is DCGAN's (section 5.1).

  Returns:
    The method; `params` are {"generator": ..., "critic": ...}.
  """

  def start(key, batch):
    split = jax.random.split(key)
    params, stats = init_players(
      {
        "generator": (generator, split[0], code_shapes(prior, batch)),
        "critic": (critic, split[1], view_shapes(views, batch)),
      }
    )
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    crops, keys = draw_views(views, keys, batch["input"])
    codes = jax.vmap(prior.draw)(fold_in_rows(keys, 0))
    image, made_stats = make_image(
      generator, params["generator"], extra.stats["generator"], codes, keys
    )
    judge = lambda params, stats, x: apply(critic, params, stats, x, keys)
    real, stats = judge(params["critic"], extra.stats["critic"], crops[0])
    fake, stats_after = judge(params["critic"], stats, stop_gradient(image))
    fooled, _ = judge(stop_gradient(params["critic"]), stats, image)
    outputs = GanOutputs(real.logit, fake.logit, fooled.logit)
    return outputs, Extra({"generator": made_stats, "critic": stats_after})

  def objective(params, extra, outputs, step):
    del params, step
    of_critic = losses.adversarial_critic(outputs.real, outputs.fake).mean()
    of_generator = losses.adversarial_generator(outputs.fooled).mean()
    metrics = {"critic_loss": of_critic, "generator_loss": of_generator}
    return of_critic + of_generator, (extra, metrics)

  def encode(params, extra, batch, *, patches=False):
    seen = apply_still(critic, params["critic"], extra.stats["critic"], batch["input"])
    if not seen.maps:
      raise InputError("This critic has no maps of features; take a ConvCritic.")
    return flatten_map(seen.maps[-1]) if patches else features(seen.maps)

  def show(params, extra, batch, keys):
    del batch
    decode = lambda z: still_image(
      generator, params["generator"], extra.stats["generator"], z
    )
    return {"samples": sample_grid(prior.draw, decode, keys)}

  return Method(start, forward, objective, encode, show=show)


def init_players(players: dict[str, tuple]) -> tuple[PyTree, PyTree]:
  """Returns parameters and statistics of players, both by the player's name.

  Args:
    players: name -> (net, key, shapes of its inputs).

  Returns:
    params, stats.
  """
  zeros = lambda tree: jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), tree)
  made = {n: init(net, key, zeros(x)) for n, (net, key, x) in players.items()}
  return {n: p for n, (p, _) in made.items()}, {n: s for n, (_, s) in made.items()}


def code_shapes(prior: Prior, batch: PyTree) -> jax.ShapeDtypeStruct:
  """Returns the shape of a batch of codes."""
  return jax.eval_shape(jax.vmap(prior.draw), _keys_for(batch))


def view_shapes(views: Callable, batch: PyTree) -> jax.ShapeDtypeStruct:
  """Returns the shape of a batch of first views, as floats."""
  run = lambda: draw_views(views, _keys_for(batch), batch["input"])[0][0]
  return jax.eval_shape(lambda: to_float(run()))


def _keys_for(batch):
  return jax.random.split(jax.random.key(0), batch["input"].shape[0])


def make_image(
  generator: nn.Module, params: PyTree, stats: PyTree, codes: jax.Array, keys: jax.Array
) -> tuple[jax.Array, PyTree]:
  """Returns images in [0, 1] of codes, in training mode, and the new statistics."""
  logits, stats = apply(generator, params, stats, codes, fold_in_rows(keys, 1))
  return nn.sigmoid(logits), stats


def still_image(
  generator: nn.Module, params: PyTree, stats: PyTree, codes: jax.Array
) -> jax.Array:
  """Returns images in [0, 1] of codes, in evaluation mode."""
  return nn.sigmoid(apply_still(generator, params, stats, codes))
