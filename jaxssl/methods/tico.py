"""TiCo: views agree, and avoid the directions that earlier batches have used most."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.methods.common import move_target
from jaxssl.models.siamese import (
  apply,
  draw_views,
  fold_in_rows,
  init_on_views,
  make_encode,
  output_shapes,
)

PyTree = Any


class TicoExtra(NamedTuple):
  """State of TiCo beside the parameters.

  Attributes:
    stats: the online net's batch statistics.
    target: moving average of the parameters.
    target_stats: the target's batch statistics, from its own passes.
    covariance: [dim, dim], moving average of the second moment of unit projections.
  """

  stats: PyTree
  target: PyTree
  target_stats: PyTree
  covariance: jax.Array


def tico(
  net: nn.Module,
  views: Callable,
  *,
  momentum: Callable,
  beta: float = 0.9,
  rho: float = 20.0,
) -> Method:
  """TiCo (Zhu et al., arXiv 2206.10698).

  Args:
    net: encoder and projector.
    views: (key, example) -> two inputs: the net's and the target's.
    momentum: step -> momentum of the target, `ops.cosine_ema(0.99, steps=steps)`.
    beta: how much of the covariance a step keeps.
    rho: weight of the covariance contrast.

  Returns:
    The method.
  """

  def init(key, batch):
    params, stats = init_on_views(net, key, views, batch)
    dim = output_shapes(net, views, batch).projection.shape[-1]
    target, target_stats = jax.tree.map(jnp.copy, (params, stats))
    return params, TicoExtra(stats, target, target_stats, jnp.zeros((dim, dim)))

  def forward(params, extra, batch, keys, step):
    del step
    (first, second), net_keys = draw_views(views, keys, batch["input"])
    online, stats = apply(net, params, extra.stats, first, fold_in_rows(net_keys, 0))
    target, target_stats = apply(
      net, extra.target, extra.target_stats, second, fold_in_rows(net_keys, 1)
    )
    outputs = online.projection, stop_gradient(target.projection)
    return outputs, extra._replace(stats=stats, target_stats=target_stats)

  def objective(params, extra, outputs, step):
    del params, step
    before = stop_gradient(extra.covariance)
    loss, covariance = losses.tico(*outputs, before, beta=beta, rho=rho)
    return loss, (extra._replace(covariance=covariance), {})

  def update(params, extra, step):
    return params, move_target(params, extra, momentum(step))

  encode = make_encode(net, lambda params, extra: (params, extra.stats))
  return Method(init, forward, objective, encode, update)
