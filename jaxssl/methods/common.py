"""The shape that SimCLR, SimSiam, Barlow Twins and VICReg share: two views, one net."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn

from jaxssl.core import Method
from jaxssl.models.siamese import apply_views, draw_views, init_on_views, make_encode

PyTree = Any


class Extra(NamedTuple):
  """State of a method that has no other than the net's batch statistics."""

  stats: PyTree


def two_view_method(
  net: nn.Module,
  views: Callable,
  *,
  outputs: Callable,
  loss: Callable,
  apply: Callable = apply_views,
) -> Method:
  """A method with one net and a loss on what it makes of all views.

  Args:
    net: called as `net(x, *, train, keys)`, returns an `Embedding`.
    views: (key, example) -> tuple of inputs.
    outputs: `Embedding` -> the arrays of one view that the loss compares.
    loss: one argument per view -> scalar loss.
    apply: `apply_views` or `apply_merged`.

  Returns:
    The method.
  """

  def init(key, batch):
    params, stats = init_on_views(net, key, views, batch)
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    crops, net_keys = draw_views(views, keys, batch["input"])
    embeddings, stats = apply(net, params, extra.stats, crops, net_keys)
    return tuple(outputs(e) for e in embeddings), Extra(stats)

  def objective(params, extra, embeddings, step):
    del params, step
    return loss(*embeddings), (extra, {})

  encode = make_encode(net, lambda params, extra: (params, extra.stats))
  return Method(init, forward, objective, encode)


def projection(embedding):
  """What most losses compare: the projector's output."""
  return embedding.projection
