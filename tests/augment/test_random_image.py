"""The random operations: purity, frequencies, distributions, errors."""

import functools
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import augment
from jaxssl.errors import InputError
from tests.augment.examples import COLOR, GRAY, noise

DRAWS = 4096
JITTER = {"brightness": 0.8, "contrast": 0.6, "saturation": 0.7, "hue": 0.2}
AFFINE = {"rotation": 20.0, "scale": (0.75, 1.25), "shift": 1.2, "shear": 0.3}
invert = partial(augment.random_solarize, threshold=0.0, probability=1.0)
OPERATIONS = {
  "crop": partial(augment.random_resized_crop, size=(12, 10), scale=(0.2, 1.0)),
  "flip": augment.random_flip,
  "jitter": partial(augment.color_jitter, **JITTER),
  "grayscale": partial(augment.random_grayscale, probability=0.5),
  "solarize": partial(augment.random_solarize, probability=0.5),
  "blur": partial(augment.random_gaussian_blur, kernel=5),
  "affine": partial(augment.random_affine, **AFFINE),
  "brightness": partial(augment.random_brightness, factor=(0.7, 1.3)),
  "noise": partial(augment.gaussian_noise, deviation=0.1),
  "apply": partial(augment.random_apply, augmentation=invert, probability=0.5),
}
each_operation = pytest.mark.parametrize(
  "operation", OPERATIONS.values(), ids=[*OPERATIONS]
)


def keys(count, seed=0):
  return jax.random.split(jax.random.key(seed), count)


@functools.cache
def _batched(operation):
  return jax.jit(jax.vmap(operation, in_axes=(0, None)))


def many(operation, image, count=DRAWS):
  """`operation` on one image for each of `count` keys."""
  return np.asarray(_batched(operation)(keys(count), image))


def assert_frequency(happened, probability):
  """A share of events within five standard deviations of its expectation."""
  bound = 5 * np.sqrt(probability * (1 - probability) / len(happened))
  assert abs(np.mean(happened) - probability) <= bound


@each_operation
def test_vmap_equals_loop(operation):
  images = noise(3, 6, 12, 10, 3)
  batch = jax.jit(jax.vmap(operation))(keys(6), images)
  single = jax.jit(operation)
  loop = np.stack([single(k, x) for k, x in zip(keys(6), images, strict=True)])
  np.testing.assert_allclose(batch, loop, atol=1e-6)


@each_operation
def test_jit_equals_eager(operation):
  key = jax.random.key(7)
  eager, jitted = operation(key, COLOR), jax.jit(operation)(key, COLOR)
  np.testing.assert_allclose(jitted, eager, atol=1e-6)


@each_operation
def test_the_key_decides(operation):
  first, second = many(operation, COLOR, 64), many(operation, COLOR, 64)
  np.testing.assert_array_equal(first, second)
  assert len(np.unique(np.asarray(first), axis=0)) > 1


@each_operation
@pytest.mark.parametrize("image", [COLOR, GRAY], ids=["color", "gray"])
def test_range_shape_and_dtype(operation, image):
  results = many(operation, image, 64)
  assert results.dtype == jnp.float32
  assert results.shape[1:] in {image.shape, (12, 10, image.shape[-1])}
  assert results.min() >= 0.0 and results.max() <= 1.0


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.8])
@pytest.mark.parametrize(
  "operation",
  [
    augment.random_flip,
    augment.random_grayscale,
    partial(augment.random_solarize, threshold=0.0),
    partial(augment.random_apply, augmentation=invert),
  ],
  ids=["flip", "grayscale", "solarize", "apply"],
)
def test_frequency(operation, probability):
  image = noise(2, 3, 4, 3)
  results = many(partial(operation, probability=probability), image)
  assert_frequency(np.any(results != image[None], axis=(1, 2, 3)), probability)


def test_apply_never_and_always():
  def fails(key, image):
    raise AssertionError("computed for nothing")

  key = jax.random.key(0)
  never = augment.random_apply(key, COLOR, augmentation=fails, probability=0.0)
  np.testing.assert_array_equal(never, COLOR)
  always = partial(augment.random_apply, augmentation=invert, probability=1.0)
  np.testing.assert_allclose(many(always, COLOR, 64), np.stack([1 - COLOR] * 64))


def test_apply_draws_its_gate_and_its_augmentation_apart():
  """Given that it was applied, the inner draw is still uniform."""

  def value(key, image):
    return jnp.full_like(image, jax.random.uniform(key))

  apply = partial(augment.random_apply, augmentation=value, probability=0.5)
  drawn = np.asarray(many(apply, jnp.full((1, 1, 1), -1.0))).ravel()
  assert_frequency(drawn[drawn >= 0] < 0.5, 0.5)


def _loop_window(draws, height, width, scale, ratio):
  """torchvision's sampling, a candidate at a time, from given uniform numbers."""
  for area, aspect in zip(draws[:10], draws[10:20], strict=True):
    area = height * width * (scale[0] + (scale[1] - scale[0]) * area)
    logs = np.log(ratio)
    aspect = np.exp(logs[0] + (logs[1] - logs[0]) * aspect)
    wide, tall = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
    if 0 < wide <= width and 0 < tall <= height:
      top = int(draws[20] * (height - tall + 1))
      return top, int(draws[21] * (width - wide + 1)), tall, wide
  return None


@pytest.mark.parametrize("shape", [(32, 32), (20, 37)])
def test_window_is_the_first_that_fits(shape):
  options = {"scale": (0.3, 1.0), "ratio": (0.5, 2.0)}
  window = jax.jit(partial(augment.crop_window, shape=shape, **options))
  for key in keys(60):
    draws = np.asarray(jax.random.uniform(key, (22,)), np.float64)
    assert tuple(map(int, window(key))) == _loop_window(draws, *shape, **options)


def test_windows_lie_inside_and_keep_area_and_aspect():
  draw = partial(
    augment.crop_window, shape=(40, 56), scale=(0.2, 0.6), ratio=(0.5, 2.0)
  )
  top, left, height, width = jax.jit(jax.vmap(draw))(keys(DRAWS))
  for start, extent, limit in ((top, height, 40), (left, width, 56)):
    assert np.all(start == np.round(start)) and np.all(extent == np.round(extent))
    assert start.min() >= 0 and extent.min() >= 1
    assert np.max(start + extent) == limit  # every border is reached
  share = np.asarray(height * width) / (40 * 56)
  assert 0.18 < share.min() < 0.23 and 0.57 < share.max() < 0.63
  aspect = np.asarray(width / height)
  assert 0.45 < aspect.min() < 0.55 and 1.8 < aspect.max() < 2.2


def test_window_places_are_uniform():
  draw = partial(
    augment.crop_window, shape=(8, 8), scale=(0.25, 0.25), ratio=(1.0, 1.0)
  )
  top, left, height, width = jax.jit(jax.vmap(draw))(keys(DRAWS))
  assert np.all(height == 4) and np.all(width == 4)
  for row, column in itertools.product(range(5), range(5)):
    assert_frequency((top == row) & (left == column), 1 / 25)


@pytest.mark.parametrize(
  "shape, ratio, expected",
  [
    ((4, 40), (0.75, 4 / 3), (0, 17, 4, 5)),
    ((40, 4), (0.75, 4 / 3), (17, 0, 5, 4)),
    ((9, 8), (0.8, 1.25), (0, 0, 9, 8)),
  ],
)
def test_window_falls_back_on_the_centre(shape, ratio, expected):
  scale = (1.0, 1.0)
  draw = partial(augment.crop_window, shape=shape, scale=scale, ratio=ratio)
  windows = jax.jit(jax.vmap(draw))
  found = {tuple(map(int, row)) for row in np.stack(windows(keys(64)), axis=1)}
  assert expected in found
  if shape != (9, 8):
    assert found == {expected}


def _one_after_another(image, order, factors, shift):
  for operation in np.asarray(order):
    if operation == 3:
      image = augment.adjust_hue(image, shift=shift)
    else:
      adjust = (
        augment.adjust_brightness,
        augment.adjust_contrast,
        augment.adjust_saturation,
      )[operation]
      image = adjust(image, factor=factors[operation])
  return image


def test_jitter_is_its_four_adjustments_in_the_drawn_order():
  jitter = jax.jit(partial(augment.color_jitter, **JITTER))
  orders = set()
  for key in keys(100):
    order, factors, shift = augment.jitter_draw(key, **JITTER)
    expected = _one_after_another(COLOR, order, factors, shift)
    np.testing.assert_allclose(jitter(key, COLOR), expected, atol=2e-6)
    orders.add(tuple(np.asarray(order).tolist()))
  assert len(orders) > 20


def test_jitter_draws_orders_and_amounts_uniformly():
  draw = jax.jit(jax.vmap(partial(augment.jitter_draw, **JITTER | {"brightness": 1.5})))
  orders, factors, shifts = map(np.asarray, draw(keys(DRAWS)))
  for order in itertools.permutations(range(4)):
    assert_frequency(np.all(orders == np.asarray(order), axis=1), 1 / 24)
  for drawn, low, high in (
    (factors[:, 0], 0.0, 2.5),
    (factors[:, 1], 0.4, 1.6),
    (factors[:, 2], 0.3, 1.7),
    (shifts, -0.2, 0.2),
  ):
    assert drawn.min() >= low and drawn.max() <= high
    for share in (0.02, 0.5, 0.98):
      assert_frequency(drawn < low + share * (high - low), share)


def test_jitter_of_nothing_is_the_identity():
  still = dict.fromkeys(JITTER, 0.0)
  results = many(partial(augment.color_jitter, **still), COLOR, 8)
  np.testing.assert_array_equal(results, np.stack([COLOR] * 8))


def test_jitter_of_gray_images_is_brightness_and_contrast():
  results = many(partial(augment.color_jitter, **JITTER), GRAY, 8)
  no_color = JITTER | {"saturation": 0.0, "hue": 0.0}
  expected = many(partial(augment.color_jitter, **no_color), GRAY, 8)
  np.testing.assert_allclose(results, expected, atol=1e-6)
  color_only = JITTER | {"brightness": 0.0, "contrast": 0.0}
  same = many(partial(augment.color_jitter, **color_only), GRAY, 8)
  np.testing.assert_array_equal(same, np.stack([GRAY] * 8))


def test_blur_of_one_sigma():
  blur = partial(augment.random_gaussian_blur, kernel=5, sigma=(0.9, 0.9))
  expected = augment.gaussian_blur(COLOR, sigma=0.9, kernel=5)
  np.testing.assert_allclose(blur(jax.random.key(0), COLOR), expected, atol=1e-6)


def test_blur_draws_sigma_uniformly():
  """The share of the middle tap tells sigma apart."""
  dot = np.zeros((5, 5, 1), np.float32)
  dot[2, 2] = 1.0
  middle = lambda image: image[2, 2, 0]
  kept = many(
    lambda k, x: middle(augment.random_gaussian_blur(k, x, kernel=5)), dot, DRAWS
  )
  for share in (0.1, 0.5, 0.9):
    sigma = 0.1 + 1.9 * share
    limit = middle(augment.gaussian_blur(dot, sigma=sigma, kernel=5))
    assert_frequency(kept > limit, share)


def test_affine_of_nothing_is_the_identity():
  still = {"rotation": 0.0, "scale": (1.0, 1.0), "shift": 0.0, "shear": 0.0}
  results = many(partial(augment.random_affine, **still), COLOR, 4)
  np.testing.assert_allclose(results, np.stack([COLOR] * 4), atol=1e-6)


def test_affine_shifts_each_way_evenly():
  """The centre of mass of a dot moves with the drawn shift."""
  dot = np.zeros((9, 9, 1), np.float32)
  dot[4, 4] = 1.0
  options = {"rotation": 0.0, "scale": (1.0, 1.0), "shift": 2.0, "shear": 0.0}
  moved = np.asarray(many(partial(augment.random_affine, **options), dot))[..., 0]
  rows = np.sum(moved.sum(2) * np.arange(9), axis=1) - 4.0
  columns = np.sum(moved.sum(1) * np.arange(9), axis=1) - 4.0
  for drawn in (rows, columns):
    assert np.abs(drawn).max() <= 2.0 + 1e-5
    for share in (0.05, 0.5, 0.95):
      assert_frequency(drawn < -2.0 + 4.0 * share, share)


def test_brightness_is_uniform_in_its_range():
  half = np.full((1, 1, 1), 0.5, np.float32)
  brighten = partial(augment.random_brightness, factor=(0.7, 1.3))
  factors = 2.0 * np.asarray(many(brighten, half)).ravel()
  assert factors.min() >= 0.7 - 1e-6 and factors.max() <= 1.3 + 1e-6
  assert_frequency(factors < 1.0, 0.5)


def test_noise_has_its_deviation():
  half = np.full((8, 8, 1), 0.5, np.float32)
  results = many(partial(augment.gaussian_noise, deviation=0.05), half, 512)
  assert abs(np.std(results) - 0.05) < 0.001
  assert abs(np.mean(results) - 0.5) < 0.002


KEY = jax.random.key(0)
crop = partial(augment.random_resized_crop, KEY, COLOR, size=4)


@pytest.mark.parametrize(
  "call, message",
  [
    (lambda: crop(scale=(0.0, 1.0)), "scale .*0 < low <= high <= 1"),
    (lambda: crop(scale=(0.9, 0.1)), "scale"),
    (lambda: crop(scale=(0.9, 1.1)), "scale"),
    (lambda: crop(scale=0.5), "low, high"),
    (lambda: crop(scale=(0.5, 1.0), ratio=(2.0, 1.0)), "ratio"),
    (lambda: crop(scale=(0.5, 1.0), ratio=(0.0, 1.0)), "ratio"),
    (
      lambda: augment.random_resized_crop(KEY, COLOR[0], size=4, scale=(1, 1)),
      "one image",
    ),
    (lambda: augment.random_flip(KEY, COLOR, probability=1.5), "from 0 to 1"),
    (lambda: augment.random_grayscale(KEY, COLOR, probability=-0.1), "from 0 to 1"),
    (lambda: augment.random_solarize(KEY, COLOR, probability=2), "from 0 to 1"),
    (
      lambda: augment.random_apply(KEY, COLOR, augmentation=invert, probability=7),
      "from 0 to 1",
    ),
    (lambda: augment.color_jitter(KEY, COLOR, **JITTER | {"hue": 0.6}), "hue"),
    (
      lambda: augment.color_jitter(KEY, COLOR, **JITTER | {"contrast": -1}),
      "contrast -1",
    ),
    (lambda: augment.color_jitter(KEY, COLOR[None], **JITTER), "one image"),
    (
      lambda: augment.random_gaussian_blur(KEY, COLOR, kernel=3, sigma=(0.0, 1.0)),
      "sigma",
    ),
    (
      lambda: augment.random_affine(KEY, COLOR, **AFFINE | {"scale": (0.0, 1.0)}),
      "scale",
    ),
    (lambda: augment.random_brightness(KEY, COLOR, factor=1.3), "factor"),
    (lambda: augment.gaussian_noise(KEY, COLOR[0], deviation=0.1), "one image"),
  ],
)
def test_bad_input(call, message):
  with pytest.raises(InputError, match=message):
    call()
