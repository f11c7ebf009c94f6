"""The published augmentations of images, as view functions `(key, image) -> view`.

A view takes uint8 or float32 in [0, 1], [height, width, channels], and returns
float32 in [0, 1] of the recipe's size; no recipe subtracts a mean. All resizing is
bilinear with antialiasing (SimCLR and BYOL resize with a bicubic filter) and all
brightness is multiplicative, as in torchvision (BYOL's and SimCLR's first code add
it). Blur uses a kernel of a tenth of the side, made odd; up to 64 pixels it is
usually left out: `blur_probability=0.0`.
"""

from functools import partial

from jaxssl.augment.image import Size, check_size
from jaxssl.augment.random_image import (
  Range,
  color_jitter,
  gaussian_noise,
  random_apply,
  random_brightness,
  random_flip,
  random_gaussian_blur,
  random_grayscale,
  random_resized_crop,
  random_solarize,
)
from jaxssl.augment.views import View, compose
from jaxssl.augment.warp import random_warp


def simclr_view(
  size: Size, *, strength: float = 1.0, blur_probability: float = 0.5
) -> View:
  """SimCLR: crop, flip, jitter, grey, blur (arXiv 2002.05709, appendix A).

  Args:
    size: rows and columns of the view, or one number.
    strength: of the colour jitter; 1 for ImageNet, 0.5 for CIFAR.
    blur_probability: 0.5 for ImageNet, 0 for CIFAR.
  """
  jitter = (0.8 * strength, 0.8 * strength, 0.8 * strength, 0.2 * strength)
  return compose(
    _crop(size, scale=(0.08, 1.0)),
    random_flip,
    _jitter(*jitter, probability=0.8),
    partial(random_grayscale, probability=0.2),
    _blur(size, blur_probability),
  )


def moco_view(size: Size, *, blur_probability: float = 0.5) -> View:
  """MoCo v2 and SimSiam: crop, jitter, grey, blur, flip (arXiv 2003.04297, 2011.10566).

  Args:
    size: rows and columns of the view, or one number.
    blur_probability: 0.5 for ImageNet, 0 for CIFAR.
  """
  return compose(
    _crop(size, scale=(0.2, 1.0)),
    _jitter(0.4, 0.4, 0.4, 0.1, probability=0.8),
    partial(random_grayscale, probability=0.2),
    _blur(size, blur_probability),
    random_flip,
  )


def byol_views(
  size: Size,
  *,
  blur_probability: tuple[float, float] = (1.0, 0.1),
  solarize_probability: tuple[float, float] = (0.0, 0.2),
) -> tuple[View, View]:
  """BYOL, Barlow Twins and VICReg: two different views (arXiv 2006.07733, appendix B).

  Crop, flip, jitter, grey, blur, solarise: `two_views(*byol_views(224))`.

  Args:
    size: rows and columns of the views, or one number.
    blur_probability: of the first and of the second view.
    solarize_probability: of the first and of the second view.
  """
  first, second = (
    compose(
      _crop(size, scale=(0.08, 1.0)),
      random_flip,
      _jitter(0.4, 0.4, 0.2, 0.1, probability=0.8),
      partial(random_grayscale, probability=0.2),
      _blur(size, blur),
      partial(random_solarize, probability=solarize),
    )
    for blur, solarize in zip(blur_probability, solarize_probability, strict=True)
  )
  return first, second


def gray_view(
  size: Size,
  *,
  scale: Range = (0.3, 1.0),
  brightness: float = 0.4,
  contrast: float = 0.4,
  blur_probability: float = 0.0,
) -> View:
  """For small grey images of things (Fashion-MNIST): crop, flip, jitter, blur.

  Args:
    size: rows and columns of the view, or one number.
    scale: (low, high) share of the area that is cropped.
    brightness: as in `color_jitter`; always applied.
    contrast: as in `color_jitter`; always applied.
    blur_probability: of a Gaussian blur.
  """
  return compose(
    _crop(size, scale=scale),
    random_flip,
    _jitter(brightness, contrast, 0.0, 0.0, probability=1.0),
    _blur(size, blur_probability),
  )


def digits_view(
  *,
  rotation: float = 20.0,
  scale: float = 1.3,
  shift: float = 1.2,
  shear: float = 0.4,
  elastic: float = 0.7,
  brightness: Range = (0.7, 1.3),
  noise: float = 0.1,
) -> View:
  """For written digits of about 8 pixels: warp, brightness, noise; keeps the size.

  No flips: a mirrored digit is another sign. Pixels are clipped to [0, 1] after
  brightness and after noise.

  Args:
    rotation: greatest angle in degrees, either way.
    scale: greatest factor of each axis, at least 1; the least is 1 / scale.
    shift: greatest shift in pixels, each way.
    shear: greatest shear of each axis in pixels per pixel, either way.
    elastic: standard deviation in pixels of the elastic displacement.
    brightness: (low, high) of the factor.
    noise: standard deviation of Gaussian noise.
  """
  moves = {"rotation": rotation, "scale": scale, "shift": shift, "shear": shear}
  return compose(
    partial(random_warp, **moves, elastic=elastic),
    partial(random_brightness, factor=brightness),
    partial(gaussian_noise, deviation=noise),
  )


def _crop(size, *, scale):
  return partial(random_resized_crop, size=check_size(size), scale=scale)


def _jitter(brightness, contrast, saturation, hue, *, probability):
  jitter = partial(
    color_jitter,
    brightness=brightness,
    contrast=contrast,
    saturation=saturation,
    hue=hue,
  )
  return partial(random_apply, augmentation=jitter, probability=probability)


def _blur(size, probability):
  """A kernel of a tenth of the shorter side, made odd, at least 3 pixels."""
  kernel = max(2 * (min(check_size(size)) // 20) + 1, 3)
  blur = partial(random_gaussian_blur, kernel=kernel)
  return partial(random_apply, augmentation=blur, probability=probability)
