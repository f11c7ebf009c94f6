"""SimMIM: tell the pixels of masked squares by one linear layer on a ViT."""

from collections.abc import Callable

import flax.linen as nn

from jaxssl.augment import random_mask
from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.losses import masked_absolute_error, patch_targets
from jaxssl.methods.mae import kept_patches
from jaxssl.methods.pixels import check_ratio, grid_of, pictures, pixel_method
from jaxssl.models.vit import MaskedImage


def simmim(
  net: nn.Module, views: Callable, *, ratio: float = 0.6, unit: int = 2
) -> Method:
  """SimMIM (Xie et al., arXiv 2111.09886, section 3), L1 on the pixels themselves.

  ceil(ratio * squares) of the squares of `unit` patches are replaced by a mask token,
  before positions are added, and the encoder runs on all tokens. The mask token starts
  at 0 here, in the paper as a normal of 0.02. Pixels are in [0, 1]; the official code
  divides them by the data set's deviation, so that its losses are 4 to 5 times larger.

  Args:
    net: `models.SimMIM`.
    views: (key, example) -> inputs, of which the first is used.
    ratio: share of the squares that is masked.
    unit: side of a square in patches; 2 for the paper's 32 pixels with patches of 16.

  Returns:
    The method; `encode` has no mask, and is what the ViT pools.

  Raises:
    InputError: if `ratio` is not between 0 and 1 or the encoder has no mask token;
      when the images come, if the squares don't fill them or all would be masked.
  """
  check_ratio(ratio)
  if not net.encoder.mask_token:
    raise InputError("SimMIM needs a ViT with mask_token=True.")
  patch = net.encoder.patch

  def hide(key, image):
    rows, columns = grid_of(image, patch)
    mask = random_mask(key, grid=(rows, columns), ratio=ratio, unit=unit)
    kept_patches((rows // unit) * (columns // unit), ratio)
    return MaskedImage(image, mask)

  def compare(prediction, asked):
    target = patch_targets(asked.image, patch, normalize=False)
    return masked_absolute_error(prediction, target, asked.mask)

  def draw(prediction, asked):
    parts = asked.image, prediction, asked.mask
    return {"original | seen | rebuilt": pictures(*parts, patch=patch, scaled=False)}

  return pixel_method(net, views, hide=hide, compare=compare, draw=draw)
