"""MAE: rebuild most of an image from the few patches that the encoder sees."""

import math
from collections.abc import Callable

import flax.linen as nn

from jaxssl.augment import random_mask
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.losses import masked_squared_error, patch_targets
from jaxssl.methods.pixels import check_ratio, grid_of, pictures, pixel_method
from jaxssl.models.masked import Visible
from jaxssl.models.predictor import first_true


def mae(
  net: nn.Module, views: Callable, *, ratio: float = 0.75, normalize: bool = True
) -> Method:
  """MAE (He et al., arXiv 2111.06377, section 3).

  Each image keeps floor((1 - ratio) * patches) of its patches, drawn for it alone, and
  the encoder computes nothing for the others. The loss is the mean squared error of
  the others, over the batch.

  The official code subtracts the data set's mean from the pixels and divides by its
  deviation; here they are in [0, 1], which standardised patches hardly show.

  Args:
    net: `models.MAE`.
    views: (key, example) -> inputs, of which the first is used.
    ratio: share of the patches that is left out.
    normalize: whether the pixels to predict are standardised patch by patch.

  Returns:
    The method; `encode` has all patches, and is what the ViT pools.

  Raises:
    InputError: if `ratio` is not between 0 and 1; when the images come, if the patches
      don't fill them, or all of them or none would be left out.
  """
  check_ratio(ratio)
  patch = net.encoder.patch

  def hide(key, image):
    grid = grid_of(image, patch)
    mask = random_mask(key, grid=grid, ratio=ratio)
    index, _ = first_true(~mask, kept_patches(math.prod(grid), ratio))
    return Visible(image, mask, index)

  def compare(prediction, asked):
    target = patch_targets(asked.image, patch, normalize=normalize)
    return masked_squared_error(prediction, target, asked.mask)

  def draw(prediction, asked):
    parts = asked.image, prediction, asked.mask
    drawn = pictures(*parts, patch=patch, scaled=normalize)
    return {"original | seen | rebuilt": drawn}

  return pixel_method(net, views, hide=hide, compare=compare, draw=draw)


def kept_patches(patches: int, ratio: float) -> int:
  """Patches that `random_mask` leaves, floor((1 - ratio) * patches).

  Raises:
    InputError: if that is none.
  """
  kept = patches - math.ceil(round(ratio * patches, 6))
  if kept < 1:
    raise InputError(
      f"A ratio of {ratio} leaves none of {patches} patches; pass a lower one."
    )
  return kept
