"""CPC for images: from the rows of patches above, predict those below."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import Extra
from jaxssl.models import siamese
from jaxssl.ops import to_float

PyTree = Any


def cpc(
  encoder: nn.Module,
  context: nn.Module,
  views: Callable,
  *,
  patch: int = 64,
  stride: int = 32,
  steps: int = 5,
  temperature: float = 1.0,
  block_size: int | None = None,
) -> Method:
  """CPC for images (van den Oord et al., arXiv 1807.03748, section 3.2).

  The image is cut into overlapping patches, each is encoded by itself, and from the
  context of the rows above, one matrix per distance predicts the features of the
  patches 1 to `steps` rows below. Negatives are the other positions and images.

  Args:
    encoder: patch [n, patch, patch, channels] -> features [n, dim]; the paper's has
      no batch norm.
    context: features [batch, rows, columns, dim] -> context of the same grid that
      sees no row below, such as `models.RowContext`.
    views: (key, example) -> one input (a tuple of one).
    patch: side of a patch in pixels.
    stride: pixels between patches.
    steps: rows predicted.
    temperature: divides the bilinear scores; the paper has 1.
    block_size: columns of the scores held at a time; None holds all, the square of
      the positions of the whole batch.

  Returns:
    The method; `encode` is the mean of the patches' features.
  """

  def init(key, batch):
    key_encoder, key_context, key_maps = jax.random.split(key, 3)
    shape = jax.eval_shape(
      lambda: _grid(_first(views, key, batch), patch, stride, steps)
    )
    pixels = jnp.zeros((1, patch, patch, shape.shape[-1]))
    params, stats = siamese.init(encoder, key_encoder, pixels)
    features = encoder.apply({"params": params, **stats}, pixels, train=False)
    dim, (rows, columns) = features.shape[-1], shape.shape[1:3]
    grid = jnp.zeros((1, rows, columns, dim))
    context_params, _ = siamese.init(context, key_context, grid)
    seen = context.apply({"params": context_params}, grid, train=False).shape[-1]
    maps = jax.random.normal(key_maps, (steps, seen, dim)) / jnp.sqrt(float(seen))
    params = {"encoder": params, "context": context_params, "maps": maps}
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    (view,), net_keys = siamese.draw_views(views, keys, batch["input"])
    grid = _grid(to_float(view), patch, stride, steps)
    flat = grid.reshape(-1, *grid.shape[3:])
    patch_keys = jnp.repeat(net_keys, len(flat) // len(net_keys))
    z, stats = siamese.apply(encoder, params["encoder"], extra.stats, flat, patch_keys)
    z = z.reshape(*grid.shape[:3], -1)
    seen = context.apply({"params": params["context"]}, z, train=True)
    return (z, seen), Extra(stats)

  def objective(params, extra, outputs, step):
    del step
    z, seen = outputs
    rows = z.shape[1]
    means = [
      losses.cpc(
        _flat(seen[:, : rows - k] @ params["maps"][k - 1]),
        _flat(z[:, k:]),
        temperature=temperature,
        block_size=block_size,
      ).mean()
      for k in range(1, steps + 1)
    ]
    return sum(means) / steps, (extra, {})

  def encode(params, extra, batch, *, patches=False):
    grid = _grid(to_float(batch["input"]), patch, stride, steps)
    variables = {"params": params["encoder"], **extra.stats}
    z = encoder.apply(variables, grid.reshape(-1, *grid.shape[3:]), train=False)
    z = z.reshape(len(grid), -1, z.shape[-1])
    return z if patches else z.mean(axis=1)

  return Method(init, forward, objective, encode)


def _first(views, key, batch):
  keys = jax.random.split(key, len(jax.tree.leaves(batch["input"])[0]))
  return siamese.draw_views(views, keys, batch["input"])[0][0]


def _flat(x):
  return x.reshape(-1, x.shape[-1])


def _grid(images, patch, stride, steps):
  """Cuts [batch, h, w, channels] to [batch, rows, columns, patch, patch, channels]."""
  _, height, width, _ = images.shape
  rows, columns = (height - patch) // stride + 1, (width - patch) // stride + 1
  if min(height, width) < patch or rows <= steps:
    raise InputError(
      f"CPC needs more than {steps} rows of patches to predict {steps} ahead; images "
      f"of {height} x {width} have {max(rows, 0)} (patch {patch}, stride {stride})."
    )
  down = [images[:, r * stride : r * stride + patch] for r in range(rows)]
  cut = [
    [x[:, :, c * stride : c * stride + patch] for c in range(columns)] for x in down
  ]
  return jnp.stack([jnp.stack(row, axis=1) for row in cut], axis=1)
