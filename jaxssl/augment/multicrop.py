"""Multi-crop: two global views and several small local ones of an example.

The recipes return (global, global, local) for `multi_crop`:
`multi_crop(*dino_views(224, 96), local_count=8)`.
"""

import jax

from jaxssl.augment.image import Size, bicubic, bilinear
from jaxssl.augment.random_image import Range, random_flip
from jaxssl.augment.steps import blur, byol_colors, crop, grayscale, jitter
from jaxssl.augment.views import PyTree, View, Views, compose, many_views
from jaxssl.errors import InputError


def multi_crop(first: View, second: View, local: View, *, local_count: int) -> Views:
  """Two global views, then `local_count` small ones (arXiv 2006.09882, section 3.2).

  A function that occurs several times in a row is compiled once, so pass the same one
  as `first` and `second` where the globals don't differ.

  Args:
    first: (key, example) -> the first global view.
    second: the same for the second one.
    local: the same for all local views; no side may be larger than the globals'.
    local_count: number of local views, at least 0.

  Returns:
    views(key, example) -> (global, global, local, ..., local).

  Raises:
    InputError: if `local_count` is negative; when traced, if a local view is larger
      than the first.
  """
  if local_count < 0:
    raise InputError(f"{local_count} local views; pass 0 or more")
  views = many_views(first, second, *[local] * local_count)

  def apply(key: jax.Array, example: PyTree) -> tuple[PyTree, ...]:
    made = views(key, example)
    _check_smaller(made[-1], made[0])
    return made

  return apply


def swav_views(
  size: Size,
  local_size: Size,
  *,
  scale: Range = (0.14, 1.0),
  local_scale: Range = (0.05, 0.14),
  strength: float = 1.0,
  blur_probability: float = 0.5,
) -> tuple[View, View, View]:
  """SwAV and DeepCluster-v2, 2 x 224 and 6 x 96 pixels (arXiv 2006.09882).

  Crop, flip, jitter, grey, blur, all views alike but for the crop.

  Args:
    size: rows and columns of the global views, or one number.
    local_size: the same of the local ones.
    scale: (low, high) share of the area of a global view.
    local_scale: the same of a local one.
    strength: of the colour jitter.
    blur_probability: of all views.
  """
  amounts = (0.8 * strength, 0.8 * strength, 0.8 * strength, 0.2 * strength)
  wide, local = (
    compose(
      crop(side, scale=share, resampling=bilinear),
      random_flip,
      jitter(*amounts, probability=0.8),
      grayscale(0.2),
      blur(side, blur_probability),
    )
    for side, share in ((size, scale), (local_size, local_scale))
  )
  return wide, wide, local


def dino_views(
  size: Size,
  local_size: Size,
  *,
  scale: Range = (0.4, 1.0),
  local_scale: Range = (0.05, 0.4),
  blur_probability: tuple[float, float, float] = (1.0, 0.1, 0.5),
  solarize_probability: tuple[float, float, float] = (0.0, 0.2, 0.0),
) -> tuple[View, View, View]:
  """DINO, 2 x 224 and 8 x 96 pixels (arXiv 2104.14294).

  BYOL's steps. Without local views the authors crop (0.14, 1).

  Args:
    size: rows and columns of the global views, or one number.
    local_size: the same of the local ones.
    scale: (low, high) share of the area of a global view.
    local_scale: the same of a local one.
    blur_probability: of the first, the second and the local views.
    solarize_probability: of the first, the second and the local views.
  """
  sides, shares = (size, size, local_size), (scale, scale, local_scale)
  options = zip(sides, shares, blur_probability, solarize_probability, strict=True)
  first, second, local = (
    compose(
      crop(side, scale=share, resampling=bicubic),
      random_flip,
      *byol_colors(side, blur_probability=blurred, solarize_probability=inverted),
    )
    for side, share, blurred, inverted in options
  )
  return first, second, local


def ibot_views(size: Size, local_size: Size) -> tuple[View, View, View]:
  """iBOT: DINO's with crops of (0.25, 1) and (0.05, 0.25), 10 local (2111.07832)."""
  return dino_views(size, local_size, scale=(0.25, 1.0), local_scale=(0.05, 0.25))


def dinov2_views(size: Size, local_size: Size) -> tuple[View, View, View]:
  """DINOv2: DINO's with crops of (0.32, 1) and (0.05, 0.32), 8 local (2304.07193)."""
  return dino_views(size, local_size, scale=(0.32, 1.0), local_scale=(0.05, 0.32))


def _check_smaller(local, whole):
  """Compares all leaves with as many axes."""
  shapes = zip(jax.tree.leaves(local), jax.tree.leaves(whole), strict=False)
  for small, large in ((a.shape, b.shape) for a, b in shapes):
    if any(x > y for x, y in zip(small, large, strict=False)):
      raise InputError(
        f"local views of shape {small} and global ones of {large}; pass a local view "
        "that is no larger"
      )
