"""BYOL: predict the projection that a slowly moving copy gives to the other view."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import optax
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.models.siamese import (
  apply_views,
  draw_views,
  init_on_views,
  make_encode,
  target_net,
  target_variables,
)

PyTree = Any


class ByolExtra(NamedTuple):
  """State of BYOL beside the parameters.

  Attributes:
    stats: the online net's batch statistics.
    target: moving average of the online encoder's and projector's parameters.
    target_stats: the target's batch statistics, from its own passes.
  """

  stats: PyTree
  target: PyTree
  target_stats: PyTree


def byol(net: nn.Module, views: Callable, *, momentum: Callable) -> Method:
  """BYOL (Grill et al., arXiv 2006.07733, equation 2), the sum of both directions.

  The target starts as a copy of the online net (the official code draws it anew and
  reports no difference) and moves after the optimiser, towards the new parameters.

  Args:
    net: encoder, projector and predictor.
    views: (key, example) -> two inputs.
    momentum: step -> momentum of the target; `ops.cosine_ema(0.996, steps=steps)`.

  Returns:
    The method.
  """

  slow_net = target_net(net)

  def init(key, batch):
    params, stats = init_on_views(net, key, views, batch)
    return params, ByolExtra(stats, *target_variables(params, stats))

  def forward(params, extra, batch, keys, step):
    del step
    crops, net_keys = draw_views(views, keys, batch["input"])
    online, stats = apply_views(net, params, extra.stats, crops, net_keys)
    target, target_stats = apply_views(
      slow_net, extra.target, extra.target_stats, crops, net_keys
    )
    predictions = tuple(e.prediction for e in online)
    targets = tuple(stop_gradient(e.projection) for e in target)
    return (predictions, targets), ByolExtra(stats, extra.target, target_stats)

  def objective(params, extra, outputs, step):
    del params, step
    (p_a, p_b), (t_a, t_b) = outputs
    loss = losses.byol(p_a, t_b).mean() + losses.byol(p_b, t_a).mean()
    return loss, (extra, {})

  def update(params, extra, step):
    online = {name: params[name] for name in extra.target}
    target = optax.incremental_update(online, extra.target, 1.0 - momentum(step))
    return params, extra._replace(target=target)

  encode = make_encode(net, lambda params, extra: (params, extra.stats))
  return Method(init, forward, objective, encode, update)
