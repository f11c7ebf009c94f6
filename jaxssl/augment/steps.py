"""The steps that the published recipes are made of, as `(key, image) -> image`."""

from functools import partial

from jaxssl.augment.image import Resampling, Size, check_size
from jaxssl.augment.random_image import (
  Range,
  color_jitter,
  random_apply,
  random_gaussian_blur,
  random_grayscale,
  random_resized_crop,
  random_solarize,
)
from jaxssl.augment.views import View


def crop(size: Size, *, scale: Range, resampling: Resampling) -> View:
  """A crop of a share of the area in `scale` and an aspect of 3/4 to 4/3."""
  options = {"size": check_size(size), "scale": scale, "resampling": resampling}
  return partial(random_resized_crop, **options)


def jitter(
  brightness: float,
  contrast: float,
  saturation: float,
  hue: float,
  *,
  probability: float,
) -> View:
  """`color_jitter` with the given probability."""
  change = partial(
    color_jitter,
    brightness=brightness,
    contrast=contrast,
    saturation=saturation,
    hue=hue,
  )
  return partial(random_apply, augmentation=change, probability=probability)


def grayscale(probability: float) -> View:
  """`random_grayscale` with the given probability."""
  return partial(random_grayscale, probability=probability)


def blur(size: Size, probability: float) -> View:
  """Blur: a kernel of a tenth of the shorter side, made odd, at least 3 pixels."""
  kernel = max(2 * (min(check_size(size)) // 20) + 1, 3)
  change = partial(random_gaussian_blur, kernel=kernel)
  return partial(random_apply, augmentation=change, probability=probability)


def solarizing(probability: float) -> View:
  """`random_solarize` at one half, with the given probability."""
  return partial(random_solarize, probability=probability)


def byol_colors(
  size: Size, *, blur_probability: float, solarize_probability: float
) -> tuple[View, ...]:
  """What BYOL, DINO and their successors do after crop and flip, four steps."""
  return (
    jitter(0.4, 0.4, 0.2, 0.1, probability=0.8),
    grayscale(0.2),
    blur(size, blur_probability),
    solarizing(solarize_probability),
  )
