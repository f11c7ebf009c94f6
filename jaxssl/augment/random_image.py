"""Random operations on one image: `(key, image, *, options) -> image`.

Images are float32 in [0, 1], [height, width, channels] with 1 or 3 channels. The key
is used once, and nothing but key and image decides the result, so `jax.vmap` over
keys and images gives every row what it would get alone.
"""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.augment.image import (
  Resampling,
  Size,
  adjust_brightness,
  adjust_hue,
  affine,
  bilinear,
  blend,
  check_image,
  crop_and_resize,
  flip_left_right,
  gaussian_blur,
  luminance,
  solarize,
  to_grayscale,
)
from jaxssl.errors import InputError

Augmentation = Callable[[jax.Array, jax.Array], jax.Array]
Range = tuple[float, float]

_ORDERS = np.asarray(list(itertools.permutations(range(4))), np.int32)


class Window(NamedTuple):
  """A rectangle of an image, in whole pixels."""

  top: jax.Array
  left: jax.Array
  height: jax.Array
  width: jax.Array


def random_resized_crop(
  key: jax.Array,
  image: jax.Array,
  *,
  size: Size,
  scale: Range,
  ratio: Range = (3 / 4, 4 / 3),
  resampling: Resampling = bilinear,
) -> jax.Array:
  """A window of random area and aspect (see `crop_window`), resized to `size`."""
  check_image(image)
  window = crop_window(key, shape=image.shape[:2], scale=scale, ratio=ratio)
  return crop_and_resize(image, **window._asdict(), size=size, resampling=resampling)


def crop_window(
  key: jax.Array, *, shape: tuple[int, int], scale: Range, ratio: Range
) -> Window:
  """torchvision's draw of a window: the first of ten that fits, or a central one.

  The share of the image's area is uniform in `scale`, the logarithm of the aspect
  (width / height) is uniform, both sides are rounded to whole pixels, the place is
  uniform. If none of ten fits: the largest central window with an aspect in `ratio`.

  Args:
    key: PRNG key.
    shape: rows and columns of the image.
    scale: (low, high) share of the area, 0 < low <= high <= 1.
    ratio: (low, high) aspect, 0 < low <= high.

  Returns:
    A Window of float32 scalars that hold whole numbers.

  Raises:
    InputError: if a range isn't as said.
  """
  _check_range("scale", scale, most=1.0)
  _check_range("ratio", ratio, most=float("inf"))
  limit = np.asarray(shape, np.float32)
  draws = jax.random.uniform(key, (22,))
  area = np.prod(limit) * _between(draws[:10], *scale)
  aspect = jnp.exp(
    _between(draws[10:20], float(np.log(ratio[0])), float(np.log(ratio[1])))
  )
  sides = jnp.round(jnp.sqrt(jnp.stack([area / aspect, area * aspect], axis=1)))
  fits = jnp.all((sides >= 1.0) & (sides <= limit[None]), axis=1)
  chosen = sides[jnp.argmax(fits)]
  corner = jnp.floor(draws[20:] * (limit - chosen + 1.0))
  corner = jnp.minimum(corner, limit - chosen)  # rounding may reach the next pixel
  central = jnp.asarray(_central_window(*shape, ratio), jnp.float32)
  found = jnp.any(fits)
  return Window(*jnp.where(found, jnp.concatenate([corner, chosen]), central))


def random_flip(
  key: jax.Array, image: jax.Array, *, probability: float = 0.5
) -> jax.Array:
  """Mirrors the image with the given probability."""
  _check_probability(probability)
  flip = jax.random.bernoulli(key, probability)
  return jnp.where(flip, flip_left_right(image), image)


def color_jitter(
  key: jax.Array,
  image: jax.Array,
  *,
  brightness: float,
  contrast: float,
  saturation: float,
  hue: float,
) -> jax.Array:
  """torchvision's ColorJitter: four adjustments in a random order.

  All but hue are blends with another image. So any order is three blends, the hue
  and three blends, where the blends on the wrong side of the hue have factor 1:
  exact, and a sixth of the cost of a `switch` for each place under `vmap`.

  Args:
    key: PRNG key.
    image: [height, width, channels].
    brightness: the factor is uniform in [max(0, 1 - brightness), 1 + brightness].
    contrast: as brightness.
    saturation: as brightness.
    hue: 0 to 0.5; the shift is uniform in [-hue, hue] turns.

  Returns:
    An image of the same shape.

  Raises:
    InputError: if an amount is out of its range.
  """
  check_image(image)
  order, factors, shift = jitter_draw(
    key, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue
  )
  place = jnp.argmax(order == 3)
  slot = jnp.arange(3)
  blends = order[jnp.where(slot < place, slot, slot + 1)]
  if image.shape[-1] == 1:
    factors = factors.at[2].set(1.0)
  factors = factors[blends]
  image = _blends(image, blends, jnp.where(slot < place, factors, 1.0))
  image = image if hue == 0.0 else adjust_hue(image, shift=shift)
  return _blends(image, blends, jnp.where(slot < place, 1.0, factors))


def jitter_draw(
  key: jax.Array, *, brightness: float, contrast: float, saturation: float, hue: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """What `color_jitter` draws from its key, with the same options.

  Returns:
    order [4], a permutation of 0 brightness, 1 contrast, 2 saturation and 3 hue;
    factors [3] of the first three; the hue's shift in turns, [].

  Raises:
    InputError: if an amount is out of its range.
  """
  _check_jitter(brightness, contrast, saturation, hue)
  draws = jax.random.uniform(key, (5,))
  amount = np.asarray([brightness, contrast, saturation], np.float32)
  factors = _between(draws[:3], np.maximum(1.0 - amount, 0.0), 1.0 + amount)
  order = jnp.asarray(_ORDERS)[jnp.floor(24.0 * draws[4]).astype(jnp.int32)]
  return order, factors, _between(draws[3], -hue, hue)


def random_grayscale(
  key: jax.Array, image: jax.Array, *, probability: float
) -> jax.Array:
  """Greyscale with the given probability."""
  _check_probability(probability)
  gray = jax.random.bernoulli(key, probability)
  return jnp.where(gray, to_grayscale(image), image)


def random_solarize(
  key: jax.Array, image: jax.Array, *, probability: float, threshold: float = 0.5
) -> jax.Array:
  """Inverts the pixels that are at least `threshold`, with the given probability."""
  _check_probability(probability)
  inverted = jax.random.bernoulli(key, probability)
  return jnp.where(inverted, solarize(image, threshold=threshold), image)


def random_gaussian_blur(
  key: jax.Array, image: jax.Array, *, kernel: int, sigma: Range = (0.1, 2.0)
) -> jax.Array:
  """Gaussian blur with sigma uniform in its range (see `gaussian_blur`)."""
  _check_range("sigma", sigma, most=float("inf"))
  drawn = jax.random.uniform(key, minval=sigma[0], maxval=sigma[1])
  return gaussian_blur(image, sigma=drawn, kernel=kernel)


def random_affine(
  key: jax.Array,
  image: jax.Array,
  *,
  rotation: float,
  scale: Range,
  shift: float,
  shear: float,
) -> jax.Array:
  """`affine` with all of it uniform: in `scale`, and within +- the other options."""
  _check_range("scale", scale, most=float("inf"))
  draws = jax.random.uniform(key, (5,))
  return affine(
    image,
    rotation=_between(draws[0], -rotation, rotation),
    scale=_between(draws[1], *scale),
    shift=(_between(draws[2], -shift, shift), _between(draws[3], -shift, shift)),
    shear=_between(draws[4], -shear, shear),
  )


def random_brightness(key: jax.Array, image: jax.Array, *, factor: Range) -> jax.Array:
  """Brightness with the factor uniform in its range; clips to [0, 1]."""
  _check_range("factor", factor, most=float("inf"))
  return adjust_brightness(image, factor=_between(jax.random.uniform(key), *factor))


def gaussian_noise(key: jax.Array, image: jax.Array, *, deviation: float) -> jax.Array:
  """Adds Gaussian noise of the given standard deviation and clips to [0, 1]."""
  check_image(image)
  return jnp.clip(image + deviation * jax.random.normal(key, image.shape), 0.0, 1.0)


def random_apply(
  key: jax.Array, image: jax.Array, *, augmentation: Augmentation, probability: float
) -> jax.Array:
  """Applies `augmentation`, which keeps the shape, with the given probability.

  With a probability of 0 nothing of it is computed. Under `vmap` and a probability
  between 0 and 1 it's computed for every row and selected.
  """
  _check_probability(probability)
  if probability == 0.0:
    return image
  key_gate, key_inner = jax.random.split(key)
  gate = jax.random.bernoulli(key_gate, probability)
  return jnp.where(gate, augmentation(key_inner, image), image)


def _blends(image, operations, factors):
  """Brightness 0, contrast 1 or saturation 2, one after the other.

  A loop also keeps XLA from recomputing one blend inside the next.
  """

  def step(image, slot):
    operation, factor = slot
    gray = luminance(image)
    other = jnp.where(operation == 1, jnp.mean(gray), gray)
    return blend(image, jnp.where(operation == 0, 0.0, other), factor), None

  return jax.lax.scan(step, image, (operations, factors))[0]


def _between(uniform, low, high):
  return low + (high - low) * uniform


def _central_window(height, width, ratio):
  """torchvision's fallback: top, left, height and width of the central window."""
  if width / height < ratio[0]:
    rows, columns = round(width / ratio[0]), width
  elif width / height > ratio[1]:
    rows, columns = height, round(height * ratio[1])
  else:
    rows, columns = height, width
  return (height - rows) // 2, (width - columns) // 2, rows, columns


def _check_probability(probability):
  if not 0.0 <= probability <= 1.0:
    raise InputError(f"probability {probability}; pass a number from 0 to 1")


def _check_jitter(brightness, contrast, saturation, hue):
  if min(brightness, contrast, saturation) < 0.0 or not 0.0 <= hue <= 0.5:
    raise InputError(
      f"jitter of brightness {brightness}, contrast {contrast}, saturation "
      f"{saturation}, hue {hue}; pass 0 or more, and a hue from 0 to 0.5"
    )


def _check_range(name, values, *, most):
  if np.shape(values) != (2,) or not 0.0 < values[0] <= values[1] <= most:
    allowed = "0 < low <= high" + (f" <= {most}" if np.isfinite(most) else "")
    raise InputError(f"{name} {values}; pass (low, high) with {allowed}")
