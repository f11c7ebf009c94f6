"""Rotation: by which quarter turn was the image turned?"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.predictive import classification, draw_question
from jaxssl.models.tiles import Tiles, each_tile


def all_turns(key: jax.Array, image: jax.Array) -> tuple[jax.Array, jax.Array]:
  """All four rotations of an image, as the official code: a batch is balanced.

  By transposing and mirroring alone: every pixel is one of the original, and no
  resampling tells the angle.

  Args:
    key: not used.
    image: [side, side, channels].

  Returns:
    [4, side, side, channels], counter-clockwise by 0, 90, 180 and 270 degrees, and
    0 ... 3.

  Raises:
    InputError: if the image isn't square.
  """
  del key
  if image.ndim != 3 or image.shape[0] != image.shape[1]:
    raise InputError(
      f"Rotation needs square images [side, side, channels]; got {image.shape}. Crop "
      "them."
    )
  across = image.swapaxes(0, 1)
  turned = [image, across[::-1], image[::-1, ::-1], across[:, ::-1]]
  return jnp.stack(turned), jnp.arange(4)


def one_turn(key: jax.Array, image: jax.Array) -> tuple[jax.Array, jax.Array]:
  """One of `all_turns`, drawn: a quarter of the rows, as VISSL does it.

  Args:
    key: PRNG key.
    image: [side, side, channels].

  Returns:
    [1, side, side, channels] and the number of quarter turns, [1].
  """
  turned, turns = all_turns(key, image)
  drawn = jax.random.randint(key, (1,), 0, 4)
  return turned[drawn], turns[drawn]


def rotation(encoder: nn.Module, head: nn.Module, views: Callable) -> Method:
  """Rotation prediction, RotNet (Gidaris et al., arXiv 1803.07728, section 3).

  All four rotations of every image are in the batch. The image is turned after the
  view, as in the official code: what resamples must come before, upright.

  Args:
    encoder: images -> features.
    head: features [batch, 4, dim] -> 4 logits each, as `models.linear_head(out=4)`.
    views: (key, example) -> inputs, of which the first is used; square, and without
      vertical flips.

  Returns:
    The method.
  """
  return _rotation(encoder, head, views, all_turns, rows=4)


def rotation_sampled(encoder: nn.Module, head: nn.Module, views: Callable) -> Method:
  """`rotation` with one drawn rotation an image: VISSL's form, a quarter of the cost.

  Args:
    encoder: images -> features.
    head: features [batch, 1, dim] -> 4 logits.
    views: as in `rotation`.

  Returns:
    The method.
  """
  return _rotation(encoder, head, views, one_turn, rows=1)


def show_turns(turned: jax.Array, turns: jax.Array, logits: jax.Array) -> dict:
  """Pictures: row i shows one of its turned images, and that turned back.

  Args:
    turned: [batch, rows, side, side, channels].
    turns: [batch, rows], not used.
    logits: [batch, rows, 4].

  Returns:
    [batch, 2, side, side, channels].
  """
  del turns
  row = jnp.arange(len(turned))
  one = turned[row, row % turned.shape[1]]
  predicted = jnp.argmax(logits[row, row % turned.shape[1]], axis=-1)
  back = jax.vmap(lambda x, k: all_turns(None, x)[0][-k % 4])(one, predicted)
  name = "turned | turned back by the prediction"
  return {name: jnp.stack([one, back], axis=1)}


def _rotation(encoder, head, views, turn, *, rows):
  net = Tiles(encoder, head, groups=each_tile(rows))
  return classification(net, draw_question(views, turn), classes=4, show=show_turns)
