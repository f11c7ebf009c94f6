"""The published augmentations of images, as view functions `(key, image) -> view`.

A view takes uint8 or float32 in [0, 1], [height, width, channels], and returns
float32 in [0, 1] of the recipe's size; no recipe subtracts a mean. Resizing is
antialiased, bicubic or bilinear as in the authors' code. All brightness is
multiplicative, as in torchvision (BYOL's and SimCLR's first code add it). Blur uses a
kernel of a tenth of the side, made odd; up to 64 pixels it is usually left out:
`blur_probability=0.0`. Multi-crop recipes are in multicrop.py.
"""

from functools import partial

from jaxssl.augment.image import Size, bicubic, bilinear
from jaxssl.augment.random_image import (
  Range,
  gaussian_noise,
  random_brightness,
  random_flip,
)
from jaxssl.augment.steps import (
  blur,
  byol_colors,
  crop,
  grayscale,
  jitter,
  solarizing,
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
  amounts = (0.8 * strength, 0.8 * strength, 0.8 * strength, 0.2 * strength)
  return compose(
    crop(size, scale=(0.08, 1.0), resampling=bicubic),
    random_flip,
    jitter(*amounts, probability=0.8),
    grayscale(0.2),
    blur(size, blur_probability),
  )


def moco_v1_view(size: Size, *, flip_probability: float = 0.5) -> View:
  """MoCo v1 and NPID: crop, grey, jitter, flip (arXiv 1911.05722, 1805.01978).

  Args:
    size: rows and columns of the view, or one number.
    flip_probability: 0.5 for ImageNet, 0 for NPID on CIFAR.
  """
  return compose(
    crop(size, scale=(0.2, 1.0), resampling=bilinear),
    grayscale(0.2),
    jitter(0.4, 0.4, 0.4, 0.4, probability=1.0),
    partial(random_flip, probability=flip_probability),
  )


def moco_view(size: Size, *, blur_probability: float = 0.5) -> View:
  """MoCo v2 and SimSiam: crop, jitter, grey, blur, flip (arXiv 2003.04297, 2011.10566).

  Args:
    size: rows and columns of the view, or one number.
    blur_probability: 0.5 for ImageNet, 0 for CIFAR.
  """
  return compose(
    crop(size, scale=(0.2, 1.0), resampling=bilinear),
    jitter(0.4, 0.4, 0.4, 0.1, probability=0.8),
    grayscale(0.2),
    blur(size, blur_probability),
    random_flip,
  )


def byol_views(
  size: Size,
  *,
  scale: Range = (0.08, 1.0),
  blur_probability: tuple[float, float] = (1.0, 0.1),
  solarize_probability: tuple[float, float] = (0.0, 0.2),
) -> tuple[View, View]:
  """BYOL, Barlow Twins, VICReg, MoCo v3: two views (arXiv 2006.07733, appendix B).

  Crop, flip, jitter, grey, blur, solarise: `two_views(*byol_views(224))`. MoCo v3
  (arXiv 2104.02057) resizes with a bilinear filter.

  Args:
    size: rows and columns of the views, or one number.
    scale: (low, high) share of the area that is cropped; (0.2, 1) for MoCo v3 with a
      ResNet-50.
    blur_probability: of the first and of the second view; 0 on CIFAR.
    solarize_probability: of the first and of the second view.
  """
  first, second = (
    compose(
      crop(size, scale=scale, resampling=bicubic),
      random_flip,
      *byol_colors(size, blur_probability=blurred, solarize_probability=inverted),
    )
    for blurred, inverted in zip(blur_probability, solarize_probability, strict=True)
  )
  return first, second


def vicreg_cifar_view(size: Size = 32) -> View:
  """solo-learn's VICReg on CIFAR: crop, jitter, grey, solarise, flip; no blur.

  Both views are alike: `two_views(vicreg_cifar_view())`.

  Args:
    size: rows and columns of the view, or one number.
  """
  return compose(
    crop(size, scale=(0.2, 1.0), resampling=bicubic),
    jitter(0.4, 0.4, 0.2, 0.1, probability=0.8),
    grayscale(0.2),
    solarizing(0.1),
    random_flip,
  )


def ressl_views(size: Size, *, blur_probability: float = 0.5) -> tuple[View, View]:
  """ReSSL: MoCo v2's view for the student, crop and flip for the teacher.

  arXiv 2107.09282: `two_views(*ressl_views(224))` gives (student,
  teacher).

  Args:
    size: rows and columns of the views, or one number.
    blur_probability: of the student's view; 0 for CIFAR.
  """
  student = moco_view(size, blur_probability=blur_probability)
  return student, crop_view(size, scale=(0.2, 1.0))


def crop_view(size: Size, *, scale: Range, flip_probability: float = 0.5) -> View:
  """Crop and flip, bilinear and without colours.

  Args:
    size: rows and columns of the view, or one number.
    scale: (low, high) share of the area that is cropped.
    flip_probability: of a mirror image.
  """
  flip = partial(random_flip, probability=flip_probability)
  return compose(crop(size, scale=scale, resampling=bilinear), flip)


def deepcluster_view(size: Size) -> View:
  """DeepCluster: crop and flip (arXiv 1807.05520); its net starts with `sobel`."""
  return crop_view(size, scale=(0.08, 1.0))


def mae_view(size: Size) -> View:
  """MAE: bicubic crop and flip (arXiv 2111.06377, appendix A.1)."""
  return compose(crop(size, scale=(0.2, 1.0), resampling=bicubic), random_flip)


def simmim_view(size: Size) -> View:
  """SimMIM: crop of two thirds or more, and flip (arXiv 2111.09886)."""
  return crop_view(size, scale=(0.67, 1.0))


def ijepa_view(size: Size) -> View:
  """I-JEPA: a crop alone, no flip and no colours (arXiv 2301.08243)."""
  return crop_view(size, scale=(0.3, 1.0), flip_probability=0.0)


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
    crop(size, scale=scale, resampling=bilinear),
    random_flip,
    jitter(brightness, contrast, 0.0, 0.0, probability=1.0),
    blur(size, blur_probability),
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


def digits_crop_view(
  size: Size,
  *,
  scale: Range,
  rotation: float = 20.0,
  stretch: float = 1.3,
  shift: float = 1.2,
  shear: float = 0.4,
  elastic: float = 0.7,
  brightness: Range = (0.7, 1.3),
  noise: float = 0.1,
) -> View:
  """A crop of a written digit: `digits_view` with a window cut out after the warp.

  `digits_crop_view(6, scale=(0.3, 0.6))` is a local view for digits of 8 pixels. No
  flips, as in `digits_view`.

  Args:
    size: rows and columns of the view, or one number.
    scale: (low, high) share of the area that is cropped.
    rotation: as in `digits_view`, as all that follow.
    stretch: greatest factor of each axis, at least 1 (`scale` of `digits_view`).
    shift: greatest shift in pixels.
    shear: greatest shear of each axis.
    elastic: standard deviation in pixels of the elastic displacement.
    brightness: (low, high) of the factor.
    noise: standard deviation of Gaussian noise.
  """
  moves = {"rotation": rotation, "scale": stretch, "shift": shift, "shear": shear}
  return compose(
    partial(random_warp, **moves, elastic=elastic),
    crop(size, scale=scale, resampling=bilinear),
    partial(random_brightness, factor=brightness),
    partial(gaussian_noise, deviation=noise),
  )
