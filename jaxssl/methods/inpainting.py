"""Inpainting: make the missing middle of an image (context encoders)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import Extra
from jaxssl.models.siamese import (
  apply,
  apply_still,
  draw_views,
  encode_alone,
  fold_in_rows,
  init_on_views,
)
from jaxssl.ops.numerics import to_float

PyTree = Any


class AdversarialExtra(NamedTuple):
  """State of inpainting with a critic beside the parameters.

  Attributes:
    stats: batch statistics of encoder and decoder.
    critic_stats: those of the critic, from its passes on real, then on made parts.
  """

  stats: PyTree
  critic_stats: PyTree


class AdversarialOutputs(NamedTuple):
  """What the game is about, of each example.

  Attributes:
    error: [batch], weighted squared error.
    real: [batch], the critic's logits of the true part.
    made: [batch], those of the made part, which moves the critic alone.
    judged: [batch], the same numbers, which move encoder and decoder alone.
  """

  error: jax.Array
  real: jax.Array
  made: jax.Array
  judged: jax.Array


def inpainting(
  net: nn.Module,
  views: Callable,
  *,
  hole: int,
  overlap: int,
  fill: tuple[float, ...],
  ring_weight: float = 10.0,
) -> Method:
  """Context encoder without critic (Pathak et al., arXiv 1604.07379, equation 1).

  The net sees the image, in [-1, 1], with a mean colour in the middle, and makes what
  belongs there. The hole that it makes is larger than the one that it sees by a ring,
  whose pixels weigh more, so that the edges fit. The released features were trained by
  this term alone.

  Args:
    net: `Restorer`; images [batch, height, width, channels] -> [batch, hole, hole,
      channels] in [-1, 1].
    views: (key, example) -> inputs, of which the first is used.
    hole: side of the square that is made, in pixels; 64 of 128 in the paper.
    overlap: width of the ring of it that the net sees; 4 in the official code.
    fill: the colour in the hole, in [0, 1], a number for each channel; the mean of
      the data, (117, 104, 123) / 255 in the official code.
    ring_weight: of the ring's pixels; the others have 1.

  Returns:
    The method; `encode` is the encoder on the whole image.

  Raises:
    InputError: if the ring leaves no hole; when traced, if the hole fills the image,
      or the net makes something of another shape.
  """
  puzzle = _puzzle(views, hole=hole, overlap=overlap, fill=fill)
  weights = losses.ring_weights(hole, overlap, weight=ring_weight)

  def init(key, batch):
    params, stats = init_on_views(net, key, puzzle, batch)
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    (seen, hidden), net_keys = draw_views(puzzle, keys, batch["input"])
    made, stats = apply(net, params, extra.stats, seen, net_keys)
    _check_made(made, hidden)
    return losses.weighted_squared_error(made, hidden, weights), Extra(stats)

  def objective(params, extra, error, step):
    del params, step
    return error.mean(), (extra, {})

  encode = encode_alone(net.encoder, _signed)
  return Method(init, forward, objective, encode, show=_show(net, puzzle))


def inpainting_adversarial(
  net: nn.Module,
  critic: nn.Module,
  views: Callable,
  *,
  hole: int,
  overlap: int,
  fill: tuple[float, ...],
  ring_weight: float = 10.0,
  reconstruction_weight: float = 0.999,
) -> Method:
  """Context encoder with its critic (arXiv 1604.07379, equations 1 to 3).

  The critic sees holes alone, true and made ones, in separate passes. Both players
  move in one step, on the same batch: the loss is the sum of theirs, and neither has a
  gradient to the other's parameters (the official code moves the critic first). Give
  each its optimiser: `optim.by_part({"critic": adam(2e-4)}, adam(2e-3))`.

  Args:
    net: as in `inpainting`.
    critic: parts [batch, hole, hole, channels] in [-1, 1] -> logits [batch].
    views: (key, example) -> inputs, of which the first is used.
    hole: side of the square that is made, in pixels.
    overlap: width of the ring of it that the net sees.
    fill: the colour in the hole, in [0, 1], a number for each channel.
    ring_weight: of the ring's pixels; the others have 1.
    reconstruction_weight: of the squared error, 0 to 1; the critic has the rest.

  Returns:
    The method; its parameters are those of "encoder", "decoder" and "critic".

  Raises:
    InputError: as `inpainting`, or for a weight outside 0 to 1.
  """
  if not 0 <= reconstruction_weight <= 1:
    raise InputError(
      f"reconstruction_weight is {reconstruction_weight}; pass a share from 0 to 1."
    )
  puzzle = _puzzle(views, hole=hole, overlap=overlap, fill=fill)
  weights = losses.ring_weights(hole, overlap, weight=ring_weight)

  def hidden_part(key, example):
    return puzzle(key, example)[1:]

  def init(key, batch):
    key_net, key_critic = jax.random.split(key)
    params, stats = init_on_views(net, key_net, puzzle, batch)
    judge, critic_stats = init_on_views(critic, key_critic, hidden_part, batch)
    return {**params, "critic": judge}, AdversarialExtra(stats, critic_stats)

  def forward(params, extra, batch, keys, step):
    del step
    (seen, hidden), net_keys = draw_views(puzzle, keys, batch["input"])
    made, stats = apply(net, _maker(params), extra.stats, seen, net_keys)
    _check_made(made, hidden)
    error = losses.weighted_squared_error(made, hidden, weights)
    *logits, critic_stats = judge(params, extra, hidden, made, net_keys)
    return AdversarialOutputs(error, *logits), AdversarialExtra(stats, critic_stats)

  def judge(params, extra, hidden, made, keys):
    """The three passes of the critic; the last repeats the second's numbers."""
    own, stats, keys = params["critic"], extra.critic_stats, fold_in_rows(keys, 1)
    real, stats = apply(critic, own, stats, hidden, keys)
    frozen = stop_gradient((own, stats))
    judged, _ = apply(critic, *frozen, made, keys)
    fake, stats = apply(critic, own, stats, stop_gradient(made), keys)
    return real, fake, judged, stats

  def objective(params, extra, outputs, step):
    del params, step
    error = outputs.error.mean()
    fooled = losses.adversarial_generator(outputs.judged).mean()
    caught = losses.adversarial_critic(outputs.real, outputs.made).mean()
    maker = reconstruction_weight * error + (1 - reconstruction_weight) * fooled
    metrics = {"squared_error": error, "generator": fooled, "critic": caught}
    return maker + caught, (extra, metrics)

  encode = encode_alone(net.encoder, _signed)
  return Method(init, forward, objective, encode, show=_show(net, puzzle))


def _maker(params):
  return {name: tree for name, tree in params.items() if name != "critic"}


def _puzzle(views, *, hole, overlap, fill):
  """(key, example) -> the image with a filled hole, and what belongs there."""
  if overlap < 0 or 2 * overlap >= hole:
    raise InputError(
      f"A ring of {overlap} leaves nothing of a hole of {hole}; pass an overlap from 0 "
      "to less than half of the hole."
    )

  def puzzle(key, example):
    image = _signed(to_float(views(key, example)[0]))
    _check_image(image, hole, fill)
    middle = _middle(image, hole)
    inner = _middle(image, hole - 2 * overlap)
    color = _signed(jnp.asarray(fill, jnp.float32))[None, None]
    size = (hole - 2 * overlap,) * 2
    seen = image.at[inner].set(jnp.broadcast_to(color, (*size, image.shape[-1])))
    return seen, image[middle]

  return puzzle


def _middle(image, side):
  """The rows and columns of the square in the middle of an image [..., h, w, c]."""
  starts = [(whole - side) // 2 for whole in image.shape[-3:-1]]
  return (..., *(slice(start, start + side) for start in starts), slice(None))


def _signed(image):
  return 2 * image - 1


def _show(net, puzzle):
  def show(params, extra, batch, keys):
    (seen, hidden), _ = draw_views(puzzle, keys, batch["input"])
    made = apply_still(net, _maker(params), extra.stats, seen)
    middle = _middle(seen, hidden.shape[1])
    columns = [seen, seen.at[middle].set(made), seen.at[middle].set(hidden)]
    images = (jnp.stack(columns, axis=1) + 1) / 2
    return {"masked | filled | original": images}

  return show


def _check_image(image, hole, fill):
  if image.ndim != 3 or min(image.shape[:2]) <= hole:
    raise InputError(
      f"A hole of {hole} pixels in an image of shape {image.shape}; pass images "
      "[height, width, channels] larger than the hole."
    )
  if len(fill) != image.shape[-1] or not all(0 <= value <= 1 for value in fill):
    raise InputError(
      f"fill is {fill}; pass {image.shape[-1]} numbers in [0, 1], one for each channel."
    )


def _check_made(made, hidden):
  if made.shape != hidden.shape:
    raise InputError(
      f"The net makes {made.shape[1:]} and the hole is {hidden.shape[1:]}; give it a "
      "decoder of that size (HoleDecoder makes start * 2 ** len(widths) pixels)."
    )
