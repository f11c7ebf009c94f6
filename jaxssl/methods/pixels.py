"""What MAE, SimMIM and AIM share: hide patches, predict their pixels, compare."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import Extra, PatchErrors, mean_over_patches
from jaxssl.models.siamese import apply, apply_still, draw_views, encode_alone, init
from jaxssl.ops import to_float
from jaxssl.ops.patches import cut_patches, join_patches, patch_grid, patch_moments

PyTree = Any


def pixel_method(
  net: nn.Module, views: Callable, *, hide: Callable, compare: Callable, draw: Callable
) -> Method:
  """A method whose net tells the pixels of some patches of an image from others.

  The loss is the mean over all patches asked for in the batch.

  Args:
    net: its `encoder` is what is kept.
    views: (key, example) -> inputs, of which the first is used.
    hide: (key, image) -> what the net takes, of one image.
    compare: (prediction, what the net took) -> error [batch], count [batch].
    draw: (prediction, what the net took) -> pictures for `Method.show`.

  Returns:
    The method; `encode` is the encoder's output for the whole image.
  """

  def ask(inputs, keys):
    crops, keys = draw_views(views, keys, inputs)
    split = jax.vmap(jax.random.split)(keys)
    return jax.vmap(hide)(split[:, 0], to_float(crops[0])), split[:, 1]

  def start(key, batch):
    keys = jax.random.split(key, jax.tree.leaves(batch["input"])[0].shape[0])
    shapes = jax.eval_shape(lambda: ask(batch["input"], keys)[0])
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    params, stats = init(net, key, zeros)
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    asked, net_keys = ask(batch["input"], keys)
    prediction, stats = apply(net, params, extra.stats, asked, net_keys)
    return PatchErrors(*compare(prediction, asked)), Extra(stats)

  def objective(params, extra, outputs, step):
    del params, step
    loss = mean_over_patches(*outputs)
    return loss, (extra, {"target_patches": outputs.count.mean()})

  def show(params, extra, batch, keys):
    asked, _ = ask(batch["input"], keys)
    return draw(apply_still(net, params, extra.stats, asked), asked)

  return Method(start, forward, objective, encode_alone(net.encoder), show=show)


def check_ratio(ratio: float) -> None:
  """Raises InputError unless a share of patches is above 0 and below 1."""
  if not 0.0 < ratio < 1.0:
    raise InputError(f"ratio {ratio}; pass the share to mask, above 0 and below 1.")


def grid_of(image: jax.Array, patch: int) -> tuple[int, int]:
  """Rows and columns of patches of one image [height, width, channels].

  Raises:
    InputError: if the patches don't fill it, or there is only one.
  """
  rows, columns = patch_grid((1, *image.shape), patch)
  if rows * columns < 2:
    raise InputError(
      f"An image of {image.shape[0]} x {image.shape[1]} pixels is a single patch of "
      f"{patch}: nothing is left to predict it from. Pass smaller patches."
    )
  return rows, columns


def pictures(
  image: jax.Array, prediction: jax.Array, mask: jax.Array, *, patch: int, scaled: bool
) -> jax.Array:
  """Original, what was seen, and what was seen with predictions in the gaps.

  Args:
    image: in [0, 1], [batch, height, width, channels].
    prediction: of all patches, [batch, patches, values].
    mask: bool [batch, patches], True where the prediction is shown.
    patch: side of a patch in pixels.
    scaled: whether predictions are of standardised patches; they get back the mean
      and the deviation of the true patch.

  Returns:
    [batch, 3, height, width, channels] in [0, 1].
  """
  patches = cut_patches(image, patch)
  if scaled:
    mean, deviation = patch_moments(patches)
    prediction = prediction * deviation + mean
  gaps = mask[..., None]
  seen = jnp.where(gaps, 0.5, patches)
  rebuilt = jnp.where(gaps, prediction, patches)
  grid = patch_grid(image.shape, patch)
  columns = [join_patches(x, patch=patch, grid=grid) for x in (patches, seen, rebuilt)]
  return jnp.clip(jnp.stack(columns, axis=1), 0.0, 1.0)
