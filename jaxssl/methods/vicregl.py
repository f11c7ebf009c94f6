"""VICRegL: VICReg on whole images and on the places that two views have in common."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.models import siamese

PyTree = Any


class VicreglExtra(NamedTuple):
  """State of VICRegL beside the parameters.

  Attributes:
    stats: the net's batch statistics.
    local_stats: those of the local projector.
  """

  stats: PyTree
  local_stats: PyTree


def vicregl(
  net: nn.Module,
  local: nn.Module,
  views: Callable,
  *,
  global_weight: float = 0.75,
  matches: int = 20,
  invariance_weight: float = 25.0,
  variance_weight: float = 25.0,
  covariance_weight: float = 1.0,
) -> Method:
  """VICRegL (Bardes et al., arXiv 2210.01571, section 3).

  `global_weight * VICReg + (1 - global_weight) * local`, where the local term is
  VICReg on patches matched by position and by feature.

  Args:
    net: encoder and expander; the encoder sows "patches".
    local: expander of each patch's features, such as `models.vicreg_expander`.
    views: (key, example) -> two located views: tuples with the fields `image` and
      `positions` [patches or rows, columns, 2], where each patch lies in the example.
    global_weight: alpha of the paper, in [0, 1].
    matches: pairs of patches that are compared (gamma of the paper).
    invariance_weight: as in `vicreg`.
    variance_weight: as in `vicreg`.
    covariance_weight: as in `vicreg`.

  Returns:
    The method.
  """
  if not 0 <= global_weight <= 1:
    raise InputError(f"global_weight is {global_weight}; it must be in [0, 1].")
  weights = {
    "invariance_weight": invariance_weight,
    "variance_weight": variance_weight,
    "covariance_weight": covariance_weight,
  }

  def images(key, example):
    return tuple(view.image for view in views(key, example))

  def init(key, batch):
    key_net, key_local = jax.random.split(key)
    params, stats = siamese.init_on_views(net, key_net, images, batch)

    def patches():
      keys = jax.random.split(key, len(jax.tree.leaves(batch["input"])[0]))
      crops, keys = siamese.draw_views(images, keys, batch["input"])
      return siamese.apply_with_patches(net, params, stats, crops[0], keys)[0][1]

    dim = jax.eval_shape(patches).shape[-1]
    local_params, local_stats = siamese.init(local, key_local, jnp.zeros((2, dim)))
    params = {"net": params, "local": local_params}
    return params, VicreglExtra(stats, local_stats)

  def forward(params, extra, batch, keys, step):
    del step
    crops, net_keys = siamese.draw_views(views, keys, batch["input"])
    stats, local_stats, outputs = extra.stats, extra.local_stats, []
    for i, crop in enumerate(crops):
      row_keys = siamese.fold_in_rows(net_keys, i)
      (out, patches), stats = siamese.apply_with_patches(
        net, params["net"], stats, crop.image, row_keys
      )
      z, local_stats = _project(local, params["local"], local_stats, patches)
      positions = crop.positions.reshape(len(z), -1, 2)
      outputs.append((out.projection, z, positions))
    return tuple(outputs), VicreglExtra(stats, local_stats)

  def objective(params, extra, outputs, step):
    del params, step
    (z_a, patches_a, at_a), (z_b, patches_b, at_b) = outputs
    whole = losses.vicreg(z_a, z_b, **weights)
    parts = losses.vicreg_local(
      patches_a, patches_b, at_a, at_b, matches=matches, **weights
    )
    loss = global_weight * whole + (1 - global_weight) * parts
    return loss, (extra, {"global_loss": whole, "local_loss": parts})

  encode = siamese.make_encode(net, lambda params, extra: (params["net"], extra.stats))
  return Method(init, forward, objective, encode)


def _project(local, params, stats, patches):
  """The local projections [batch, patches, dim], and the new statistics."""
  variables, flat = {"params": params, **stats}, patches.reshape(-1, patches.shape[-1])
  z, stats = local.apply(variables, flat, train=True, mutable=list(stats))
  return z.reshape(*patches.shape[:2], -1), stats
