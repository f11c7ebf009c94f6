"""I-JEPA: predict a slowly moving copy's features of hidden blocks from the rest."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import PatchErrors, mean_over_patches
from jaxssl.models.predictor import Jepa, Puzzle, first_true
from jaxssl.models.siamese import apply, draw_views, init
from jaxssl.ops import to_float

PyTree = Any


class IjepaExtra(NamedTuple):
  """State of I-JEPA beside the parameters.

  Attributes:
    stats: collections of the encoder that aren't trained; none for most ViTs.
    target: moving average of the encoder's parameters.
  """

  stats: PyTree
  target: PyTree


def ijepa(
  encoder: nn.Module,
  predictor: nn.Module,
  views: Callable,
  *,
  blocks: Callable,
  context_patches: int,
  target_patches: int,
  momentum: Callable,
) -> Method:
  """I-JEPA (Assran et al., arXiv 2301.08243, section 3), smooth L1 with beta 1.

  The encoder sees the context patches only; the targets are its moving average's
  features of the whole image, standardised per patch. Shapes are fixed: the context
  and each block are padded to a maximum and masked in the attention, where the
  official code cuts all lists to the shortest of the batch. The loss is the mean over
  all target patches of the batch.

  Args:
    encoder: ViT without class token and registers.
    predictor: `PatchPredictor`.
    views: (key, example) -> inputs, of which the first is used.
    blocks: (step_key, row_key) -> bool context [patches] and bool targets
      [blocks, patches]; the step's key is the same for all rows of a step, so that
      they can share the sizes of the blocks.
    context_patches: the most context patches; of more, the first count.
    target_patches: the most patches of one target block; of more, the first count.
    momentum: step -> momentum of the target; `ops.linear(0.996, 1.0, steps=steps)`.

  Returns:
    The method; `encode` is the mean over the target's patches.

  Raises:
    InputError: if the encoder has a class token or registers.
  """
  if encoder.class_token or encoder.registers:
    raise InputError(
      "I-JEPA has tokens of patches alone; pass a ViT with class_token=False and no "
      "registers."
    )
  net = Jepa(encoder, predictor)

  def puzzle(inputs, keys, step):
    crops, keys = draw_views(views, keys, inputs)
    split = jax.vmap(jax.random.split)(keys)
    step_key = jax.random.fold_in(jax.random.key(0), step)
    context, targets = jax.vmap(blocks, in_axes=(None, 0))(step_key, split[:, 0])
    return Puzzle(
      crops[0],
      *first_true(context, context_patches),
      *first_true(targets, target_patches),
    ), split[:, 1]

  def start(key, batch):
    rows = jax.tree.leaves(batch["input"])[0].shape[0]
    first = lambda: puzzle(batch["input"], jax.random.split(key, rows), jnp.int32(0))[0]
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(first))
    params, stats = init(net, key, zeros)
    return params, IjepaExtra(stats, jax.tree.map(jnp.copy, params["encoder"]))

  def forward(params, extra, batch, keys, step):
    asked, net_keys = puzzle(batch["input"], keys, step)
    predicted, stats = apply(net, params, extra.stats, asked, net_keys)
    whole = standardize(stop_gradient(target_features(extra, asked.image)))
    wanted = jax.vmap(lambda patches, index: patches[index])(whole, asked.target_index)
    error = losses.smooth_l1(predicted, wanted, beta=1.0)
    error = jnp.where(asked.asked, error, 0.0).sum((1, 2))
    count = asked.asked.sum((1, 2), dtype=jnp.float32)
    return PatchErrors(error, count), extra._replace(stats=stats)

  def objective(params, extra, outputs, step):
    del params, step
    loss = mean_over_patches(*outputs)
    return loss, (extra, {"target_patches": outputs.count.mean()})

  def update(params, extra, step):
    moved = 1.0 - momentum(step)
    target = optax.incremental_update(params["encoder"], extra.target, moved)
    return params, extra._replace(target=target)

  def target_features(extra, image):
    stats = {name: tree["encoder"] for name, tree in extra.stats.items()}
    variables = {"params": extra.target, **stats}
    return encoder.apply(variables, to_float(image), method=all_patches)

  def encode(params, extra, batch, *, patches=False):
    del params
    whole = target_features(extra, batch["input"])
    return whole if patches else whole.mean(1)

  return Method(start, forward, objective, encode, update)


def all_patches(vit: nn.Module, image: jax.Array) -> jax.Array:
  """Features of every patch of the whole image, [batch, patches, dim]."""
  return vit.encode(vit.embed(image), train=False)


def standardize(x: jax.Array) -> jax.Array:
  """Layer norm over the last axis without scale and offset, with torch's 1e-5."""
  centred = x - x.mean(-1, keepdims=True)
  variance = jnp.square(centred).mean(-1, keepdims=True)
  return centred * jax.lax.rsqrt(variance + 1e-5)
