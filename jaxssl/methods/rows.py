"""What VIME and denoising share: corrupt a row of a table, say what it was."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.core import Method
from jaxssl.data.tables import Row
from jaxssl.losses.table import RowPrediction, split_logits
from jaxssl.methods.common import Extra
from jaxssl.models.siamese import (
  apply,
  apply_still,
  draw_views,
  encode_alone,
  fold_in_rows,
  init_on_views,
)


def restoring(
  net: nn.Module,
  views: Callable,
  *,
  corruption: Callable,
  compare: Callable,
  combine: Callable,
  rebuilt: Callable,
) -> Method:
  """A method whose net sees a corrupted row and is compared with the clean one.

  Args:
    net: its `encoder` is what is kept.
    views: (key, row) -> inputs, of which the first is used.
    corruption: (key, row) -> corrupted row.
    compare: (output, clean, corrupted) -> arrays, rows first.
    combine: what `compare` gives of the whole batch -> loss, metrics.
    rebuilt: output -> `RowPrediction`.

  Returns:
    The method; its features are the encoder's, of the clean row.
  """

  def init(key, batch):
    params, stats = init_on_views(net, key, views, batch)
    return params, Extra(stats)

  def seen(batch, keys):
    """The clean row, the corrupted one, and keys for the net."""
    rows, keys = draw_views(views, keys, batch["input"])
    corrupted = jax.vmap(corruption)(fold_in_rows(keys, 1), rows[0])
    return rows[0], corrupted, fold_in_rows(keys, 0)

  def forward(params, extra, batch, keys, step):
    del step
    clean, corrupted, net_keys = seen(batch, keys)
    output, stats = apply(net, params, extra.stats, corrupted, net_keys)
    return compare(output, clean, corrupted), Extra(stats)

  def objective(params, extra, outputs, step):
    del params, step
    loss, metrics = combine(outputs)
    return loss, (extra, metrics)

  def show(params, extra, batch, keys):
    clean, corrupted, _ = seen(batch, keys)
    output = apply_still(net, params, extra.stats, corrupted)
    made = most_likely(rebuilt(output), net.decoder.sizes)
    stack = lambda *x: jnp.stack(x, axis=1)
    return {
      "original | corrupted | rebuilt": jax.tree.map(stack, clean, corrupted, made)
    }

  return Method(init, forward, objective, encode_alone(net.encoder), show=show)


def most_likely(prediction: RowPrediction, sizes: tuple[int, ...]) -> Row:
  """Returns the row that a prediction holds for most likely, [batch, ...]."""
  words = [jnp.argmax(x, axis=1) for x in split_logits(prediction.logits, sizes)]
  empty = jnp.zeros((len(prediction.numeric), 0), jnp.int32)
  categorical = jnp.stack(words, axis=1).astype(jnp.int32) if words else empty
  return Row(prediction.numeric, categorical)
