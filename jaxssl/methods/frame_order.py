"""Frame order: were these frames of a clip in order, or in which order were they?"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.augment.video import motion, motion_window, ordered_frames
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import Extra, mean_over_patches
from jaxssl.methods.predictive import accuracy, cross_entropy, on_board
from jaxssl.models.siamese import (
  apply,
  apply_still,
  draw_views,
  encode_alone,
  init_on_views,
)
from jaxssl.ops.numerics import to_float
from jaxssl.ops.permutations import all_permutations

TUPLE = 3  # frames that shuffle-and-learn asks about
DRAWN = 5  # frames a < b < c < d < e that they are taken from
FORWARDS, BACKWARDS, EARLIER, LATER = (1, 2, 3), (3, 2, 1), (1, 0, 3), (1, 4, 3)


class Question(NamedTuple):
  """What is asked about a clip.

  Attributes:
    frames: as the net sees them, [count, height, width, channels].
    label: int32 [], the answer.
    counts: float32 [], 1, or 0 where the answer cannot be seen.
  """

  frames: jax.Array
  label: jax.Array
  counts: jax.Array


def shuffle_and_learn(
  net: nn.Module,
  views: Callable,
  *,
  span: int,
  positives: float = 0.25,
  threshold: float = 1e-4,
) -> Method:
  """Shuffle and learn (Misra et al., arXiv 1603.08561, section 3): in order or not?

  Five frames a < b < c < d < e come from a window of much motion. In order are
  (b, c, d) and (d, c, b), out of order (b, a, d) and (b, e, d), and these reversed. The
  class 1 is "in order".

  The motion is that of the differences between frames, in place of optical flow. A
  question counts nothing if its negative can hardly be told from the positive, or
  nothing moves.

  Args:
    net: frames [batch, 3, height, width, channels] -> 2 logits; its part `encoder` is
      what is kept, and takes clips of any length (`predictive.Asking`, or
      `models.OrderNet` for the paper's tower of each frame).
    views: (key, example) -> inputs, of which the first is used, a clip.
    span: frames of the window, 5 or more.
    positives: share of questions whose answer is "in order".
    threshold: mean squared difference of c from a (or e), below which there is no
      question.

  Returns:
    The method; its features are the encoder's, of the whole clip.

  Raises:
    InputError: for an option out of its range; when it is traced, if the clips are
      shorter than the window.
  """
  if span < DRAWN or not 0.0 < positives < 1.0:
    raise InputError(
      f"span {span}, positives {positives}; pass a window of {DRAWN} frames or more, "
      "and a share between 0 and 1"
    )
  ask = partial(ask_tuple, span=span, positives=positives, threshold=threshold)
  return _ordering(net, views, ask, classes=2, show=None)


def frame_order(
  net: nn.Module,
  views: Callable,
  *,
  frames: int,
  span: int,
  reversible: bool = True,
  threshold: float = 1e-5,
) -> Method:
  """Sorts a few frames: every order is a class (Lee et al., arXiv 1708.01246).

  The frames come from a window of much motion. An order and its reverse are one class,
  as many things happen as well backwards.

  Args:
    net: frames [batch, frames, height, width, channels] -> one logit an order; its part
      `encoder` is what is kept, and takes clips of any length.
    views: (key, example) -> inputs, of which the first is used, a clip.
    frames: how many are sorted, 2 to 6; 4 in the paper.
    span: frames of the window they come from, `frames` or more.
    reversible: whether an order and its reverse are the same.
    threshold: mean squared difference from frame to frame, below which nothing moves
      and there is no question.

  Returns:
    The method; its features are the encoder's, of the whole clip.

  Raises:
    InputError: for an option out of its range; when it is traced, if the clips are
      shorter than the window, or the net has another number of logits.
  """
  least = 3 if reversible else 2
  if not least <= frames <= 6 or span < frames:
    raise InputError(
      f"{frames} frames of {span}; pass {least} to 6 frames and a window of as many or "
      "more"
    )
  orders = frame_orders(frames, reversible=reversible)
  ask = partial(ask_order, orders=orders, span=span, threshold=threshold)
  return _ordering(
    net, views, ask, classes=len(orders), show=partial(_show_orders, orders=orders)
  )


def _ordering(net, views, ask, *, classes, show):
  """A classification in which some questions don't count."""

  def pretext(key, example):
    key_view, key_ask = jax.random.split(key)
    return (ask(key_ask, to_float(views(key_view, example)[0])),)

  def init(key, batch):
    shown = lambda key, example: (pretext(key, example)[0].frames,)
    params, stats = init_on_views(net, key, shown, batch)
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    (asked,), keys = draw_views(pretext, keys, batch["input"])
    logits, stats = apply(net, params, extra.stats, asked.frames, keys)
    logits = _checked(logits, classes)
    right = accuracy(logits, asked.label)["pretext_accuracy"]
    rows = {"loss": cross_entropy(logits, asked.label), "pretext_accuracy": right}
    weighted = {name: values * asked.counts for name, values in rows.items()}
    return weighted | {"asked": asked.counts}, Extra(stats)

  def objective(params, extra, rows, step):
    del params, step
    means = {n: mean_over_patches(rows[n], rows["asked"]) for n in rows if n != "asked"}
    return means.pop("loss"), (extra, means | {"asked": rows["asked"].mean()})

  def pictures(params, extra, batch, keys):
    (asked,), _ = draw_views(pretext, keys, batch["input"])
    logits = _checked(apply_still(net, params, extra.stats, asked.frames), classes)
    return show(asked, logits)

  encode = encode_alone(net.encoder)
  return Method(init, forward, objective, encode, show=show and pictures)


def _checked(logits, classes):
  logits = logits.reshape(logits.shape[0], -1)
  if logits.shape[1] != classes:
    raise InputError(
      f"The head has {logits.shape[1]} logits for {classes} classes; pass one that "
      f"ends in {classes}."
    )
  return logits


def ask_tuple(
  key: jax.Array, clip: jax.Array, *, span: int, positives: float, threshold: float
) -> Question:
  """Asks about three frames of a clip, in order or not; see `shuffle_and_learn`."""
  key_window, key_frames, key_label, key_side, key_turn = jax.random.split(key, 5)
  start = motion_window(key_window, clip, frames=span)
  drawn = ordered_frames(key_frames, start=start, span=span, count=DRAWN)
  label = jax.random.bernoulli(key_label, positives)
  later = jax.random.bernoulli(key_side)
  wrong = jnp.where(later, jnp.array(LATER), jnp.array(EARLIER))
  order = jnp.where(label, jnp.array(FORWARDS), wrong)
  turned = jax.random.bernoulli(key_turn)
  frames = clip[drawn[jnp.where(turned, order[::-1], order)]]
  other = clip[drawn[jnp.where(later, DRAWN - 1, 0)]]
  apart = jnp.mean(jnp.square(clip[drawn[2]] - other))
  counts = (apart >= threshold).astype(jnp.float32)
  return Question(frames, label.astype(jnp.int32), counts)


def ask_order(
  key: jax.Array, clip: jax.Array, *, orders: np.ndarray, span: int, threshold: float
) -> Question:
  """Asks about some frames of a clip, shuffled; see `frame_order`.

  Args:
    key: PRNG key.
    clip: [frames of the clip, height, width, channels].
    orders: int [classes, frames], from `frame_orders`.
    span: frames of the window.
    threshold: mean squared difference below which nothing moves.

  Returns:
    The question.
  """
  key_window, key_frames, key_order, key_turn = jax.random.split(key, 4)
  start = motion_window(key_window, clip, frames=span)
  count = orders.shape[1]
  drawn = ordered_frames(key_frames, start=start, span=span, count=count)
  label = jax.random.randint(key_order, (), 0, len(orders))
  moves = jnp.min(motion(clip[drawn])) >= threshold
  shuffled = drawn[jnp.asarray(orders)[label]]
  turned = jax.random.bernoulli(key_turn) & (len(orders) < _factorial(count))
  frames = clip[jnp.where(turned, shuffled[::-1], shuffled)]
  return Question(frames, label.astype(jnp.int32), moves.astype(jnp.float32))


def frame_orders(frames: int, *, reversible: bool) -> np.ndarray:
  """All orders of so many frames, int32 [classes, frames], or half of them.

  Place i of order c shows frame `orders[c, i]`.
  """
  table = all_permutations(frames)
  return table[table[:, 0] < table[:, -1]] if reversible else table


def _factorial(count):
  return int(np.prod(np.arange(1, count + 1)))


def _show_orders(asked, logits, *, orders):
  """Film strips: as asked, as answered, and as they were (perhaps backwards)."""

  def arranged(number):
    back = jnp.argsort(jnp.asarray(orders)[number], axis=1)
    return jax.vmap(lambda x, order: x[order])(asked.frames, back)

  columns = (asked.frames, arranged(jnp.argmax(logits, axis=-1)), arranged(asked.label))
  boards = [on_board(jnp.clip(x, 0.0, 1.0), (1, x.shape[1])) for x in columns]
  return {"shuffled | sorted by the prediction | original": jnp.stack(boards, axis=1)}
