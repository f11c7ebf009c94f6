"""Deterministic operations on one float32 image in [0, 1], as torchvision defines them.

Every function takes one image, [height, width, channels] with 1 or 3 channels, and
returns one in [0, 1]; `jax.vmap` makes a batch of it. Operations that mean nothing
for one channel (saturation, hue, greyscale) return such an image as it is.

What makes them fast on every back end: no float remainder; crop and blur as two
small matrix products (no gather, and earlier operations aren't recomputed at every
tap, as fused shifted sums would); no concatenation of channels, which on a CPU stops
the loops around it from being vectorised.
"""

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.errors import InputError

Scalar = jax.Array | float
Size = int | tuple[int, int]
Resampling = Callable[[jax.Array], jax.Array]


def adjust_brightness(image: jax.Array, *, factor: Scalar) -> jax.Array:
  """Multiplies by `factor` (0 is black, 1 keeps the image) and clips to [0, 1]."""
  check_image(image)
  return blend(image, 0.0, factor)


def adjust_contrast(image: jax.Array, *, factor: Scalar) -> jax.Array:
  """Scales the distance of every pixel to the mean grey level by `factor`; clips."""
  check_image(image)
  return blend(image, jnp.mean(luminance(image)), factor)


def adjust_saturation(image: jax.Array, *, factor: Scalar) -> jax.Array:
  """Scales the distance of every pixel to its own grey by `factor`; clips."""
  check_image(image)
  return image if image.shape[-1] == 1 else blend(image, luminance(image), factor)


def adjust_hue(image: jax.Array, *, shift: Scalar) -> jax.Array:
  """Turns the hue of HSV by `shift` whole turns (-0.5 and 0.5 are the same)."""
  check_image(image)
  if image.shape[-1] == 1:
    return image
  red, green, blue = jnp.split(image, 3, axis=-1)
  value = jnp.maximum(jnp.maximum(red, green), blue)
  chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
  per_chroma = 1.0 / jnp.where(chroma == 0.0, 1.0, chroma)
  from_green = 2.0 + (blue - red) * per_chroma
  from_blue = 4.0 + (red - green) * per_chroma
  sextant = jnp.where(value == green, from_green, from_blue)
  sextant = jnp.where(value == red, (green - blue) * per_chroma, sextant)
  channel = jnp.asarray([5 / 6, 3 / 6, 1 / 6], jnp.float32)[None, None]
  turn = sextant / 6.0 + shift + channel
  ramp = 6.0 * (turn - jnp.floor(turn))  # `%` on floats is ten times slower on a CPU
  return value - chroma * jnp.clip(jnp.minimum(ramp, 4.0 - ramp), 0.0, 1.0)


def to_grayscale(image: jax.Array) -> jax.Array:
  """The luminance (0.2989, 0.587, 0.114) in every channel; the shape stays."""
  check_image(image)
  return jnp.broadcast_to(luminance(image), image.shape)


def solarize(image: jax.Array, *, threshold: Scalar) -> jax.Array:
  """Inverts the pixels that are at least `threshold`."""
  check_image(image)
  return jnp.where(image >= threshold, 1.0 - image, image)


def flip_left_right(image: jax.Array) -> jax.Array:
  """Mirrors the image: the first column becomes the last."""
  check_image(image)
  return image[:, ::-1]


def gaussian_blur(image: jax.Array, *, sigma: Scalar, kernel: int) -> jax.Array:
  """Blurs with a Gaussian cut to `kernel` x `kernel` pixels, borders reflected.

  Args:
    image: [height, width, channels].
    sigma: standard deviation in pixels, positive; may be traced.
    kernel: width of the window in pixels, odd, less than twice the shorter side.

  Returns:
    An image of the same shape.

  Raises:
    InputError: if `kernel` is even or too wide for the image.
  """
  check_image(image)
  _check_kernel(image, kernel)
  down = _blur_weights(image.shape[0], sigma, kernel)
  across = _blur_weights(image.shape[1], sigma, kernel)
  return _resample(image, down, across)


def bilinear(distance: jax.Array) -> jax.Array:
  """The filter of bilinear resizing: weights of pixels at a distance, in pixels."""
  return jnp.maximum(1.0 - jnp.abs(distance), 0.0)


def bicubic(distance: jax.Array) -> jax.Array:
  """The filter of bicubic resizing, a = -0.5, as Pillow's and torchvision's.

  R. Keys, "Cubic convolution interpolation for digital image processing", 1981.
  Weights are negative from 1 to 2 pixels: it sharpens.
  """
  x = jnp.abs(distance)
  near = (1.5 * x - 2.5) * x * x + 1.0
  far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
  return jnp.where(x < 1.0, near, jnp.where(x < 2.0, far, 0.0))


def crop_and_resize(
  image: jax.Array,
  *,
  top: Scalar,
  left: Scalar,
  height: Scalar,
  width: Scalar,
  size: Size,
  resampling: Resampling = bilinear,
) -> jax.Array:
  """Cuts out a window and resizes it, antialiased where it shrinks.

  Equals torchvision's `resized_crop(..., antialias=True)`: a filter as wide as the
  scale, normalised inside the window, so that no pixel outside counts; clips.

  Args:
    image: [height, width, channels].
    top: first row of the window, a whole number; may be traced, as the next three.
    left: first column of the window.
    height: rows of the window, at least 1.
    width: columns of the window, at least 1.
    size: (rows, columns) of the result, or one number for a square.
    resampling: `bilinear` or `bicubic`.

  Returns:
    An image [*size, channels].

  Raises:
    InputError: if `size` isn't positive or a window of plain numbers leaves the image.
  """
  check_image(image)
  rows, columns = check_size(size)
  _check_window(image.shape[0], top, height)
  _check_window(image.shape[1], left, width)
  down = _resize_weights(image.shape[0], rows, top, height, resampling)
  across = _resize_weights(image.shape[1], columns, left, width, resampling)
  return _resample(image, down, across)


def sobel(image: jax.Array) -> jax.Array:
  """Slopes of the grey levels across and down: DeepCluster's fixed input filter.

  The 3 x 3 Sobel filters on the mean of the channels, black outside. For DeepCluster
  (arXiv 1807.05520) apply it at the start of the net, so that training, clustering
  and evaluation see the same.

  Args:
    image: [..., height, width, channels] with 1 or 3 channels, any range.

  Returns:
    [..., height, width, 2]: how much darker it gets rightwards, then downwards, as
    in the authors' code; in [-4, 4] for an image in [0, 1].

  Raises:
    InputError: for another number of channels.
  """
  if image.ndim < 3 or image.shape[-1] not in (1, 3):
    raise InputError(
      f"an image of shape {image.shape}; pass [..., height, width, channels] with 1 "
      "or 3 channels"
    )
  gray = jnp.mean(image, axis=-1)
  across = _smoothed(_slope(gray, axis=-1), axis=-2)
  down = _smoothed(_slope(gray, axis=-2), axis=-1)
  return jnp.stack([across, down], axis=-1)


def affine(
  image: jax.Array,
  *,
  rotation: Scalar,
  scale: Scalar,
  shift: tuple[Scalar, Scalar],
  shear: Scalar,
) -> jax.Array:
  """Shears, scales and rotates about the centre, then shifts; bilinear.

  Outside the image is 0 (black), and the border fades into it over one pixel. The
  same as torchvision's `affine` with a shear along x of `atan(shear)`.

  Args:
    image: [height, width, channels].
    rotation: degrees, clockwise as seen.
    scale: 2 shows everything twice as large.
    shift: (down, right) in pixels.
    shear: pixels to the left per pixel downwards.

  Returns:
    An image of the same shape.
  """
  check_image(image)
  (y, middle_y), (x, middle_x) = _centered(image.shape[0]), _centered(image.shape[1])
  y, x = y[:, None] - shift[0], x[None, :] - shift[1]
  angle = jnp.deg2rad(rotation)
  cos, sin = jnp.cos(angle) / scale, jnp.sin(angle) / scale
  source_y = cos * y - sin * x
  source_x = cos * x + sin * y + shear * source_y
  return _bilinear(image, source_y + middle_y, source_x + middle_x)


def check_image(image: jax.Array) -> None:
  """Raises InputError unless `image` is one float32 image of 1 or 3 channels."""
  if image.ndim != 3 or image.shape[-1] not in (1, 3):
    raise InputError(
      f"an image of shape {image.shape}; augmentations take one image, [height, "
      "width, channels] with 1 or 3 channels (use jax.vmap for a batch)"
    )
  if image.dtype != jnp.float32:
    raise InputError(
      f"an image of {image.dtype}; pass float32 in [0, 1] "
      "(jaxssl.ops.to_float converts uint8)"
    )


def check_size(size: Size) -> tuple[int, int]:
  """Returns (rows, columns) of `size`; raises InputError if it isn't a size."""
  pair = (size, size) if isinstance(size, int) else size
  if np.shape(pair) != (2,) or not all(isinstance(n, int) and n > 0 for n in pair):
    raise InputError(f"size {size}; pass a positive number of pixels, or two of them")
  return tuple(pair)


def luminance(image: jax.Array) -> jax.Array:
  """Grey levels, [height, width, 1]; the image itself if it has one channel."""
  if image.shape[-1] == 1:
    return image
  red, green, blue = jnp.split(image, 3, axis=-1)
  return 0.2989 * red + 0.587 * green + 0.114 * blue


def blend(image: jax.Array, other: Scalar, factor: Scalar) -> jax.Array:
  """`factor` of `image` and the rest of `other`, clipped to [0, 1]."""
  return jnp.clip(factor * image + (1.0 - factor) * other, 0.0, 1.0)


def _resample(image, down, across):
  """New rows from `down` [rows, height], new columns from `across` [columns, width].

  In full precision: by default TPUs and GPUs would round the pixels.
  """
  exact = jax.lax.Precision.HIGHEST
  image = jnp.einsum("jw,hwc->hjc", across, image, precision=exact)
  image = jnp.einsum("ih,hjc->ijc", down, image, precision=exact)
  return jnp.clip(image, 0.0, 1.0)  # weights sum to 1 up to rounding


def _resize_weights(length, size, start, extent, resampling):
  """[size, length]: what each pixel of the window gives to each new pixel."""
  start, extent = jnp.asarray(start, jnp.float32), jnp.asarray(extent, jnp.float32)
  step = extent / size
  center = start + (jnp.arange(size, dtype=jnp.float32) + 0.5) * step
  pixel = jnp.arange(length, dtype=jnp.float32)[None]
  distance = (pixel + 0.5 - center[:, None]) / jnp.maximum(step, 1.0)
  inside = (pixel >= start) & (pixel < start + extent)
  weights = jnp.where(inside, resampling(distance), 0.0)
  return weights / jnp.sum(weights, axis=1, keepdims=True)


def _slope(x, *, axis):
  """The value before minus the value after, 0 outside."""
  before, after = _neighbours(x, axis=axis)
  return before - after


def _smoothed(x, *, axis):
  """Weights 1, 2, 1 along the axis, 0 outside."""
  before, after = _neighbours(x, axis=axis)
  return before + 2.0 * x + after


def _neighbours(x, *, axis):
  padding = [(0, 0)] * x.ndim
  padding[axis] = (1, 1)
  padded = jnp.pad(x, padding)
  return (
    jax.lax.slice_in_dim(padded, start, start + x.shape[axis], axis=axis % x.ndim)
    for start in (0, 2)
  )


def _blur_weights(length, sigma, kernel):
  """[length, length]: a cut Gaussian around each pixel, its ends folded back in."""
  pixel = jnp.arange(length)
  mirrored = jnp.stack([pixel, -pixel, 2 * (length - 1) - pixel])
  is_new = jnp.stack([pixel >= 0, pixel != 0, pixel != length - 1])
  distance = jnp.abs(mirrored[:, None, :] - pixel[None, :, None])
  counts = is_new[:, None, :] & (distance <= kernel // 2)
  bell = jnp.exp(-0.5 * jnp.square(distance.astype(jnp.float32) / sigma))
  weights = jnp.sum(jnp.where(counts, bell, 0.0), axis=0)
  return weights / jnp.sum(weights, axis=1, keepdims=True)


def _centered(length):
  """Pixel positions from the middle, [length], and where the middle is."""
  middle = (length - 1) / 2
  return jnp.arange(length, dtype=jnp.float32) - middle, middle


def _bilinear(image, y, x):
  """The image at (y, x), [height, width] each; outside is 0."""
  rows, columns = (jnp.floor(y), jnp.floor(y) + 1.0), (jnp.floor(x), jnp.floor(x) + 1.0)
  corners = [
    ((1.0 - jnp.abs(y - row)) * (1.0 - jnp.abs(x - column)))[..., None]
    * _pixels(image, row.astype(jnp.int32), column.astype(jnp.int32))
    for row, column in itertools.product(rows, columns)
  ]
  return jnp.clip(sum(corners), 0.0, 1.0)


def _pixels(image, row, column):
  at = jnp.asarray(image).at[row, column]
  return at.get(mode="fill", fill_value=0.0, wrap_negative_indices=False)


def _check_window(length, start, extent):
  if not (isinstance(start, int) and isinstance(extent, int)):
    return  # traced: the values aren't known
  if not (extent >= 1 and 0 <= start <= length - extent):
    raise InputError(
      f"a window of {extent} pixels from {start} on in an image of {length}; "
      "pass one that lies inside"
    )


def _check_kernel(image, kernel):
  if kernel < 1 or kernel % 2 == 0 or kernel // 2 >= min(image.shape[:2]):
    raise InputError(
      f"a kernel of {kernel} for an image of {image.shape[:2]}; pass an odd number "
      "of pixels less than twice the shorter side"
    )
