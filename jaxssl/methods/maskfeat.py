"""MaskFeat: the histograms of oriented gradients of hidden patches."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax.lax import stop_gradient

from jaxssl import losses
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import Extra, PatchErrors, mean_over_patches
from jaxssl.methods.hidden import (
  check_width,
  draw_hidden,
  hidden_picture,
  init_hidden,
  mask_pixels,
  predict_hidden,
  predict_still,
)
from jaxssl.methods.pictures import side_by_side
from jaxssl.models.siamese import make_encode
from jaxssl.ops.hog import hog, hog_picture
from jaxssl.ops.patches import cut_patches, join_patches

STROKE = 8  # pixels of a cell in pictures, at least


def maskfeat(
  net: nn.Module,
  views: Callable,
  *,
  mask: Callable,
  cell: int = 8,
  bins: int = 9,
) -> Method:
  """MaskFeat (Wei et al., arXiv 2112.09133, section 3).

  The targets are computed of the whole image; a patch's target joins those of its
  cells: 2 x 2 cells of 3 channels and 9 bins are 108 numbers for a patch of 16 pixels.
  The loss is the mean squared error over all hidden patches of the batch.

  Args:
    net: ViT with `mask_token=True`, and a projector to a patch's target, as
      `models.linear_head(out=108)`.
    views: (key, example) -> images, of which the first is used.
    mask: key -> bool [patches], True where the net doesn't see the patch.
    cell: side of a cell in pixels, which divides the patch.
    bins: directions of a histogram.

  Returns:
    The method; `encode` is the encoder on whole images.

  Raises:
    InputError: if the cell doesn't divide the patch; in `init` if the mask or the
      projector don't fit.
  """
  patch = getattr(net.encoder, "patch", 0)
  if cell < 1 or patch < cell or patch % cell:
    raise InputError(f"Cells of {cell} pixels do not divide patches of {patch}.")
  histograms = partial(hog, cell=cell, bins=bins)

  def init(key, batch):
    params, stats, width = init_hidden(net, key, views, mask, batch)
    numbers = (patch // cell) ** 2 * batch["input"].shape[-1] * bins
    check_width(width, numbers, "a patch's histograms are")
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    hidden = draw_hidden(views, mask, keys, batch["input"])
    predicted, stats = predict_hidden(net, params, extra.stats, hidden)
    target = cut_patches(stop_gradient(histograms(hidden.crops[0])), patch // cell)
    errors = losses.masked_squared_error(predicted, target, hidden.mask)
    return PatchErrors(*errors), Extra(stats)

  def objective(params, extra, outputs, step):
    del params, step
    metrics = {"hidden_patches": outputs.count.mean()}
    return mean_over_patches(*outputs), (extra, metrics)

  def show(params, extra, batch, keys):
    hidden = draw_hidden(views, mask, keys, batch["input"])
    predicted = predict_still(net, params, extra.stats, hidden)
    image, cells = hidden.crops[0], histograms(hidden.crops[0])
    grid = [side // patch for side in image.shape[1:3]]
    made = join_patches(predicted, patch=patch // cell, grid=grid)
    scale = -(-STROKE // cell)  # strokes need some pixels: smaller cells are enlarged
    image = jnp.repeat(jnp.repeat(image, scale, axis=1), scale, axis=2)
    draw = partial(hog_picture, cell=scale * cell, bins=bins)
    drawn = [jnp.broadcast_to(draw(x), image.shape) for x in (cells, made)]
    unseen = mask_pixels(hidden.mask, image.shape, scale * patch)
    filled = jnp.where(unseen, drawn[1], drawn[0])
    seen = hidden_picture(image, hidden.mask, scale * patch)
    columns = side_by_side(image, seen, drawn[0], filled)
    return {"original | seen | gradients | hidden ones as predicted": columns}

  encode = make_encode(net, lambda params, extra: (params, extra.stats))
  return Method(init, forward, objective, encode, show=show)
