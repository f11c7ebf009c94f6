"""SASRec: at each place of a sequence, tell the next item from one that isn't there."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.bert4rec import ItemErrors, check_items, item_method, only_items
from jaxssl.models.transformer import last_pool
from jaxssl.ops.sampling import draw_absent

PyTree = Any


def sasrec(net: nn.Module, *, items: int) -> Method:
  """SASRec (Kang and McAuley, arXiv 1808.09781, equation 6).

  From the items up to a place, the next one and one drawn uniformly from those that
  the sequence doesn't have are scored; the loss is the binary cross-entropy of both,
  averaged over the places of the batch that have a next item. The metric
  `item_accuracy` is how often the next item scores higher.

  Args:
    net: `models.ItemModel` of a causal transformer with `items + 1` ids, without head.
    items: number of items: ids 1 ... items; 0 is padding.

  Returns:
    The method; `encode` is what the transformer pools: `last_pool` is the paper's.

  Raises:
    InputError: for another number of ids.
  """
  check_items(net, items, ids=items + 1)

  def forward(params, extra, batch, keys, step):
    del step
    split = jax.vmap(jax.random.split)(keys)
    rows = batch["input"]
    draw = lambda k, row: draw_absent(k, row, (rows.shape[1] - 1,), items=items)
    other = jax.vmap(draw)(split[:, 0], rows)
    pairs = jnp.stack([rows[:, 1:], other], axis=2)
    options = {"train": True, "keys": split[:, 1], "method": "compare"}
    scores = net.apply({"params": params}, rows[:, :-1], pairs, **options)
    following = rows[:, 1:] > 0
    true, false = scores[..., 0], scores[..., 1]
    error, count = losses.next_item(true, false, following)
    right = jnp.sum(following & (true > false), axis=1, dtype=jnp.float32)
    return ItemErrors(error, count, right), extra

  def show(params, extra, batch, keys):
    del extra, keys
    rows = batch["input"]
    scores = net.apply({"params": params}, rows, train=False)
    best = 1 + jnp.argmax(only_items(scores, items), axis=-1).astype(rows.dtype)
    guessed = jnp.where(rows > 0, best, 0)
    return {"items | likeliest next of each": jnp.stack([rows, guessed], axis=1)}

  return item_method(net, forward, show)


def sasrec_scores(
  net: nn.Module, params: PyTree, histories: jax.Array, *, items: int
) -> jax.Array:
  """Scores of what comes next.

  Args:
    net: as for `sasrec`.
    params: its parameters.
    histories: int [batch, length], items first, then 0.
    items: number of items.

  Returns:
    float32 [batch, items], of the items 1 ... items.
  """
  scores = net.apply({"params": params}, histories, train=False)
  return only_items(last_pool(scores, histories), items)
