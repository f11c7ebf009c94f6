"""Instance discrimination: every image is a class; a memory bank holds its weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import check_index
from jaxssl.models.siamese import (
  apply,
  draw_views,
  init_on_views,
  make_encode,
  output_shapes,
)
from jaxssl.ops import l2_normalize

PyTree = Any


class NpidExtra(NamedTuple):
  """State of NPID beside the parameters.

  Attributes:
    stats: the net's batch statistics.
    bank: [examples, dim], one vector per example of the data set, by `index`.
    normalizer: [], the constant Z, from the first batch; 0 before.
  """

  stats: PyTree
  bank: jax.Array
  normalizer: jax.Array


def npid(
  net: nn.Module,
  views: Callable,
  *,
  examples: int,
  negatives: int = 4096,
  temperature: float = 0.07,
  momentum: float = 0.5,
) -> Method:
  """Instance discrimination by NCE (Wu et al., arXiv 1805.01978, section 3).

  The bank starts uniform in +-1 / sqrt(dim / 3), as in the official code, and Z is
  estimated once, from the first batch. Negatives are drawn uniformly with
  replacement and may hit the positive.

  Args:
    net: encoder and projector.
    views: (key, example) -> one input (a tuple of one).
    examples: in the training set; `index` counts them.
    negatives: drawn for each row.
    temperature: of the similarities.
    momentum: of the bank's rows, which move after the loss.

  Returns:
    The method; its batches need `index`.
  """

  def compare(z, index, bank, keys):
    draw = lambda key: jax.random.randint(key, (negatives,), 0, examples)
    rows = jnp.concatenate([index[:, None], jax.vmap(draw)(keys)], axis=1)
    logits = jnp.einsum("bd,bkd->bk", z, bank[rows], precision="highest")
    return logits / temperature

  def rows_loss(extra, logits, z, index):
    del z, index
    similarities = jnp.exp(logits)
    first = stop_gradient(similarities.mean()) * examples
    normalizer = jnp.where(extra.normalizer > 0, extra.normalizer, first)
    rows = losses.npid(
      similarities[:, 0], similarities[:, 1:], normalizer=normalizer, examples=examples
    )
    return rows, extra._replace(normalizer=normalizer)

  return _bank_method(net, views, examples, momentum, compare, rows_loss)


def npid_softmax(
  net: nn.Module,
  views: Callable,
  *,
  examples: int,
  temperature: float = 0.1,
  momentum: float = 0.5,
  block_size: int | None = None,
) -> Method:
  """Instance discrimination by the full softmax (equation 2 of arXiv 1805.01978).

  For data sets small enough to compare every row with the whole bank; the official
  CIFAR-10 setting.

  Args:
    net: encoder and projector.
    views: (key, example) -> one input (a tuple of one).
    examples: in the training set; `index` counts them.
    temperature: of the softmax.
    momentum: of the bank's rows, which move after the loss.
    block_size: rows of the bank compared at a time; None takes all.

  Returns:
    The method; its batches need `index`.
  """

  def rows_loss(extra, compared, z, index):
    del compared
    rows = losses.instance_softmax(
      z, extra.bank, index, temperature=temperature, block_size=block_size
    )
    return rows, extra

  return _bank_method(net, views, examples, momentum, lambda *_: (), rows_loss)


def _bank_method(net, views, examples, momentum, compare, rows_loss):
  """NPID with what a row needs of the bank, and the loss of the rows."""

  def init(key, batch):
    check_index(batch)
    key_net, key_bank = jax.random.split(key)
    params, stats = init_on_views(net, key_net, views, batch)
    dim = output_shapes(net, views, batch).projection.shape[-1]
    bound = (dim / 3) ** -0.5
    bank = jax.random.uniform(key_bank, (examples, dim), minval=-bound, maxval=bound)
    return params, NpidExtra(stats, bank, jnp.zeros(()))

  def forward(params, extra, batch, keys, step):
    del step
    (view,), net_keys = draw_views(views, keys, batch["input"])
    out, stats = apply(net, params, extra.stats, view, net_keys)
    z, index = l2_normalize(out.projection), batch["index"]
    compared = compare(z, index, stop_gradient(extra.bank), net_keys)
    return (z, index, compared), extra._replace(stats=stats)

  def objective(params, extra, outputs, step):
    del params, step
    z, index, compared = outputs
    frozen = extra._replace(bank=stop_gradient(extra.bank))
    rows, moved = rows_loss(frozen, compared, z, index)
    old, new = extra.bank[index], stop_gradient(z)
    bank = extra.bank.at[index].set(
      l2_normalize(momentum * old + (1.0 - momentum) * new)
    )
    return rows.mean(), (moved._replace(bank=bank), {})

  encode = make_encode(net, lambda params, extra: (params, extra.stats))
  return Method(init, forward, objective, encode)
