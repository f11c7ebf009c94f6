"""BERT4Rec: fill in the items of a sequence that are masked."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import Extra, mean_over_patches
from jaxssl.models import siamese

PyTree = Any


class ItemErrors(NamedTuple):
  """The error of each sequence.

  Attributes:
    error: [batch], summed over the places asked for.
    count: [batch], number of these.
    right: [batch], number of these where the right item scores best.
  """

  error: jax.Array
  count: jax.Array
  right: jax.Array


def bert4rec(
  net: nn.Module, *, items: int, share: float = 0.2, last: float = 1 / 11
) -> Method:
  """BERT4Rec (Sun et al., arXiv 1904.06690, section 3.6).

  A share of each sequence is replaced by the mask and told from both sides; always by
  the mask, without the 10/10 of BERT. Some sequences have their last item masked
  alone, as when the next one is asked for. The loss is the cross-entropy over the
  items, averaged over the masked places of the batch. The official code writes 10
  copies of each sequence with fixed masks, and one with the last; here masks are drawn
  anew each time, and `last` is that share.

  Args:
    net: `models.ItemModel` of a transformer with `items + 2` ids that isn't causal.
    items: number of items: ids 1 ... items; 0 is padding, items + 1 the mask.
    share: of a sequence's items that are masked, at least one; 0.2 on MovieLens, 0.4
      on Steam and 0.6 on Beauty in the paper.
    last: share of the sequences in which the last item is masked alone.

  Returns:
    The method; `encode` is what the transformer pools of the sequence as it is.

  Raises:
    InputError: for shares outside (0, 1) or [0, 1], or another number of ids.
  """
  if not 0 < share < 1 or not 0 <= last <= 1:
    raise InputError(
      f"share={share} and last={last}; share is between 0 and 1, last from 0 to 1."
    )
  check_items(net, items, ids=items + 2)

  def hidden_of(keys, rows):
    return jax.vmap(lambda k, r: masked_items(k, r, share=share, last=last))(keys, rows)

  def forward(params, extra, batch, keys, step):
    del step
    split = jax.vmap(jax.random.split)(keys)
    rows = batch["input"]
    hidden = hidden_of(split[:, 0], rows)
    seen = jnp.where(hidden, items + 1, rows)
    scores = net.apply({"params": params}, seen, train=True, keys=split[:, 1])
    return item_errors(only_items(scores, items), rows, hidden), extra

  def show(params, extra, batch, keys):
    del extra
    rows = batch["input"]
    hidden = hidden_of(keys, rows)
    seen = jnp.where(hidden, items + 1, rows)
    scores = net.apply({"params": params}, seen, train=False)
    best = 1 + jnp.argmax(only_items(scores, items), axis=-1).astype(rows.dtype)
    filled = jnp.where(hidden, best, rows)
    return {"items | masked | filled in": jnp.stack([rows, seen, filled], axis=1)}

  return item_method(net, forward, show)


def masked_items(
  key: jax.Array, row: jax.Array, *, share: float, last: float
) -> jax.Array:
  """Draws the places of a sequence to mask: a share, or the last item alone.

  Args:
    key: PRNG key.
    row: int [length]; items first, then 0.
    share: of the items that are masked, rounded, at least one.
    last: how often the last item is masked alone.

  Returns:
    bool [length], False at padding.
  """
  key_places, key_last = jax.random.split(key)
  there = row > 0
  count = jnp.sum(there, dtype=jnp.int32)
  asked = jnp.maximum(jnp.round(share * count.astype(jnp.float32)), 1.0)
  order = jnp.where(there, jax.random.uniform(key_places, row.shape), 2.0)
  place = jnp.argsort(jnp.argsort(order))
  drawn = there & (place < asked.astype(place.dtype))
  final = there & (jnp.arange(len(row), dtype=jnp.int32) == count - 1)
  return jnp.where(jax.random.bernoulli(key_last, last), final, drawn)


def bert4rec_scores(
  net: nn.Module, params: PyTree, histories: jax.Array, *, items: int
) -> jax.Array:
  """Scores of what comes next: the mask is put after the last item.

  Args:
    net: as for `bert4rec`.
    params: its parameters.
    histories: int [batch, length], items first, then 0; of a full row the oldest item
      makes room.
    items: number of items.

  Returns:
    float32 [batch, items], of the items 1 ... items.
  """
  full = histories[:, -1:] > 0
  row = jnp.where(full, jnp.roll(histories, -1, axis=1), histories)
  count = jnp.sum(histories > 0, axis=1, dtype=jnp.int32)
  place = jnp.minimum(count, histories.shape[1] - 1)
  asked = jnp.arange(histories.shape[1], dtype=jnp.int32)[None] == place[:, None]
  seen = jnp.where(asked, items + 1, row)
  scores = net.apply({"params": params}, seen, train=False)
  return only_items(scores[jnp.arange(len(place)), place], items)


def item_errors(scores: jax.Array, rows: jax.Array, asked: jax.Array) -> ItemErrors:
  """Cross-entropy of the items at the places asked for.

  Args:
    scores: of the items 1 ... n, [batch, length, n].
    rows: the true items, int [batch, length].
    asked: bool [batch, length].
  """
  true = jnp.maximum(rows - 1, 0)
  each = optax.losses.softmax_cross_entropy_with_integer_labels(scores, true)
  right = asked & (jnp.argmax(scores, axis=-1).astype(true.dtype) == true)
  total = lambda x: jnp.sum(jnp.where(asked, x, 0.0), axis=1)
  return ItemErrors(total(each), total(1.0), total(right.astype(jnp.float32)))


def only_items(scores: jax.Array, items: int) -> jax.Array:
  """Drops the scores of padding and mask, [..., vocabulary] -> [..., items]."""
  return scores[..., 1 : items + 1].astype(jnp.float32)


def item_method(net: nn.Module, forward, show) -> Method:
  """A method over sequences of items whose `forward` gives `ItemErrors`."""

  def init(key, batch):
    return net.init(key, batch["input"], train=True)["params"], Extra({})

  def objective(params, extra, outputs, step):
    del params, step
    accuracy = mean_over_patches(outputs.right, outputs.count)
    loss = mean_over_patches(outputs.error, outputs.count)
    return loss, (extra, {"item_accuracy": accuracy})

  encode = siamese.encode_alone(net.encoder)
  return Method(init, forward, objective, encode, show=show)


def check_items(net: nn.Module, items: int, *, ids: int) -> None:
  """Raises InputError unless there are two items and the net has as many ids."""
  if items < 2:
    raise InputError(f"There are {items} items; a method needs 2 or more.")
  if net.encoder.vocabulary != ids:
    raise InputError(
      f"The transformer has {net.encoder.vocabulary} ids; {items} items need {ids}, "
      "one more for each of padding and mask where there are any."
    )
