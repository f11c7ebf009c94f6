"""What BEiT, MaskFeat and data2vec share: a ViT that doesn't see some patches."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl.errors import InputError
from jaxssl.methods.common import PatchErrors
from jaxssl.models.siamese import (
  apply_projector,
  apply_with_patches,
  draw_views,
  init_on_views,
)
from jaxssl.models.vit import MaskedImage
from jaxssl.ops import to_float

PyTree = Any
GRAY = 0.5  # what hidden patches look like in pictures


class Hidden(NamedTuple):
  """The crops of a step, and which patches of the first the net doesn't see.

  Attributes:
    crops: one batch of images per view.
    mask: bool [batch, patches], True where hidden.
    keys: one PRNG key per row, for the net.
  """

  crops: tuple
  mask: jax.Array
  keys: jax.Array


def draw_hidden(
  views: Callable, mask: Callable, keys: jax.Array, inputs: PyTree
) -> Hidden:
  """Draws the views and a mask of every row.

  Args:
    views: (key, example) -> images.
    mask: key -> bool [patches].
    keys: one PRNG key per row, used up here.
    inputs: a batch of examples.

  Returns:
    Crops, masks, and one new key per row.
  """
  crops, keys = draw_views(views, keys, inputs)
  split = jax.vmap(jax.random.split)(keys)
  crops = jax.tree.map(to_float, crops)
  return Hidden(crops, jax.vmap(mask)(split[:, 0]), split[:, 1])


def init_hidden(
  net: nn.Module, key: jax.Array, views: Callable, mask: Callable, batch: PyTree
) -> tuple[PyTree, PyTree, int]:
  """Starts the net and looks at what it will predict, without computing it.

  Args:
    net: ViT with `mask_token=True`, and projector.
    key: PRNG key.
    views: (key, example) -> images.
    mask: key -> bool [patches].
    batch: only shapes are read.

  Returns:
    Parameters, statistics, and the width of a patch's prediction.

  Raises:
    InputError: if the net has no mask token, or the mask doesn't fit its patches.
  """
  if not getattr(net.encoder, "mask_token", False):
    raise InputError(
      "This method hides patches from a ViT with mask_token=True; got "
      f"{type(net.encoder).__name__} without a mask token."
    )
  params, stats = init_on_views(net, key, views, batch)

  def run():
    keys = jax.random.split(key, jax.tree.leaves(batch["input"])[0].shape[0])
    hidden = draw_hidden(views, mask, keys, batch["input"])
    return predict_hidden(net, params, stats, hidden)[0]

  return params, stats, jax.eval_shape(run).shape[-1]


def see_hidden(
  net: nn.Module, params: PyTree, stats: PyTree, hidden: Hidden
) -> tuple[jax.Array, PyTree]:
  """The encoder's features of all patches of the first crop, seen and hidden.

  Returns:
    [batch, patches, dim], and new statistics.
  """
  image = MaskedImage(hidden.crops[0], hidden.mask)
  (_, patches), stats = apply_with_patches(net, params, stats, image, hidden.keys)
  return patches, stats


def predict_hidden(
  net: nn.Module, params: PyTree, stats: PyTree, hidden: Hidden
) -> tuple[jax.Array, PyTree]:
  """The projector's outputs for all patches of the first crop, seen and hidden.

  Returns:
    [batch, patches, out], and new statistics.
  """
  patches, stats = see_hidden(net, params, stats, hidden)
  return apply_projector(net, params, stats, patches)


def predict_still(
  net: nn.Module, params: PyTree, stats: PyTree, hidden: Hidden
) -> jax.Array:
  """`predict_hidden` in evaluation mode."""
  image = MaskedImage(hidden.crops[0], hidden.mask)
  variables = {"params": params, **stats}
  _, seen = net.apply(variables, image, train=False, mutable=["intermediates"])
  patches = seen["intermediates"]["encoder"]["patches"][0]
  return apply_projector(net, params, stats, patches, train=False)[0]


def hidden_error(error: jax.Array, mask: jax.Array) -> PatchErrors:
  """Sums the error of each patch, [batch, patches], over those that are hidden."""
  total = jnp.sum(jnp.where(mask, error, 0.0), axis=1)
  return PatchErrors(total, jnp.sum(mask, axis=1, dtype=jnp.float32))


def check_width(width: int, wanted: int, what: str) -> None:
  """Raises InputError unless the projector is as wide as what it predicts."""
  if width != wanted:
    raise InputError(
      f"The projector's outputs are {width} wide and {what} {wanted}; give the net a "
      f"projector with out={wanted}."
    )


def hidden_picture(image: jax.Array, mask: jax.Array, patch: int) -> jax.Array:
  """Images with their hidden patches in grey.

  Args:
    image: [batch, height, width, channels].
    mask: bool [batch, patches], row by row.
    patch: side of a patch in pixels.

  Returns:
    As `image`, in [0, 1].
  """
  return jnp.where(mask_pixels(mask, image.shape, patch), GRAY, jnp.clip(image, 0, 1))


def mask_pixels(mask: jax.Array, shape: tuple[int, ...], patch: int) -> jax.Array:
  """A mask [batch, patches] of images of a shape, bool [batch, height, width, 1]."""
  rows, columns = shape[1] // patch, shape[2] // patch
  grid = mask.reshape(-1, rows, columns)
  return jnp.repeat(jnp.repeat(grid, patch, 1), patch, 2)[..., None]
