"""The deterministic operations: torchvision's numbers, windows, purity, errors."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxssl import augment
from jaxssl.errors import InputError
from tests import golden
from tests.augment.examples import COLOR, GRAY, noise

OPERATIONS = {
  "brightness": partial(augment.adjust_brightness, factor=1.4),
  "contrast": partial(augment.adjust_contrast, factor=1.6),
  "saturation": partial(augment.adjust_saturation, factor=0.3),
  "hue": partial(augment.adjust_hue, shift=0.2),
  "grayscale": augment.to_grayscale,
  "solarize": partial(augment.solarize, threshold=0.5),
  "flip": augment.flip_left_right,
  "blur": partial(augment.gaussian_blur, sigma=1.1, kernel=5),
  "crop": partial(
    augment.crop_and_resize, top=1, left=2, height=8, width=7, size=(12, 10)
  ),
  "bicubic": partial(
    augment.crop_and_resize,
    **{"top": 1, "left": 2, "height": 8, "width": 7, "size": (12, 10)},
    resampling=augment.bicubic,
  ),
  "affine": partial(
    augment.affine, rotation=15.0, scale=0.9, shift=(0.5, -1.0), shear=0.2
  ),
}
each_operation = pytest.mark.parametrize(
  "operation", OPERATIONS.values(), ids=[*OPERATIONS]
)


def _name(case):
  options = {k: v for k, v in case.options.items() if k != "operation"}
  return f"{case.options['operation']}-{case.note.split(',')[0]}-{options}"


@functools.cache
def _jitted(name):
  """The operation with traced options but for those that decide shapes."""
  static = {"gaussian_blur": "kernel", "crop_and_resize": "size"}.get(name)
  return jax.jit(getattr(augment, name), static_argnames=static)


@pytest.mark.parametrize("case", golden.load("augment"), ids=_name)
def test_equals_torchvision(case):
  options = {k: tuple(v) if k == "size" else v for k, v in case.options.items()}
  result = _jitted(options.pop("operation"))(case.inputs["image"], **options)
  atol, rtol = case.tolerance["result"]
  np.testing.assert_allclose(result, case.outputs["result"], atol=atol, rtol=rtol)


@each_operation
def test_vmap_equals_loop(operation):
  images = noise(3, 4, 12, 10, 3)
  single = jax.jit(operation)
  loop = np.stack([single(image) for image in images])
  batch = jax.jit(jax.vmap(operation))(images)
  np.testing.assert_allclose(batch, loop, atol=1e-6)


@each_operation
def test_jit_equals_eager(operation):
  np.testing.assert_allclose(jax.jit(operation)(COLOR), operation(COLOR), atol=1e-6)


@each_operation
@pytest.mark.parametrize("channels", [1, 3])
def test_range_shape_and_dtype(operation, channels):
  constant = [np.full((12, 10, channels), x, np.float32) for x in (0.0, 0.3, 1.0)]
  images = np.stack([*constant, COLOR[..., :channels]])
  results = np.asarray(jax.jit(jax.vmap(operation))(images))
  assert results.shape == images.shape and results.dtype == np.float32
  assert results.min() >= 0.0 and results.max() <= 1.0


@pytest.mark.parametrize("name", ["saturation", "hue", "grayscale"])
def test_colour_operations_keep_gray_images(name):
  np.testing.assert_array_equal(OPERATIONS[name](GRAY), GRAY)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_factor_one_is_the_identity(name):
  adjust = getattr(augment, f"adjust_{name}")
  np.testing.assert_array_equal(adjust(COLOR, factor=1.0), COLOR)


def test_hue_turns_red_to_green_to_blue():
  red, green, blue = (np.eye(3, dtype=np.float32)[i][None, None] for i in range(3))
  np.testing.assert_allclose(augment.adjust_hue(red, shift=1 / 3), green, atol=1e-6)
  np.testing.assert_allclose(augment.adjust_hue(red, shift=-1 / 3), blue, atol=1e-6)
  np.testing.assert_allclose(augment.adjust_hue(green, shift=2.0), green, atol=1e-6)


def test_hue_keeps_value_and_gray_pixels():
  turn = jax.jit(partial(augment.adjust_hue, shift=0.37))
  turned = turn(COLOR)
  np.testing.assert_allclose(turned.max(-1), COLOR.max(-1), atol=1e-6)
  np.testing.assert_allclose(turned.min(-1), COLOR.min(-1), atol=1e-6)
  gray = np.repeat(GRAY, 3, axis=-1)
  np.testing.assert_array_equal(turn(gray), gray)


def _random_windows(count, height, width):
  rng = np.random.default_rng(5)
  tall, wide = rng.integers(1, height + 1, count), rng.integers(1, width + 1, count)
  top, left = rng.integers(0, height - tall + 1), rng.integers(0, width - wide + 1)
  return [x.astype(np.int32) for x in (top, left, tall, wide)]


@pytest.mark.parametrize("size", [5, (16, 7), 24])
def test_crop_never_reads_outside_its_window(size):
  windows = _random_windows(100, 12, 10)
  top, left, height, width = (x[:, None, None, None] for x in windows)
  row, column = np.arange(12)[None, :, None, None], np.arange(10)[None, None, :, None]
  inside = (row >= top) & (row < top + height)
  inside = inside & (column >= left) & (column < left + width)
  crop = jax.jit(jax.vmap(partial(_crop, size=size)))
  clean = crop(np.stack([COLOR] * 100), *windows)
  spoilt = crop(np.where(inside, COLOR[None], np.float32(1e6)), *windows)
  np.testing.assert_array_equal(clean, spoilt)


def _crop(image, top, left, height, width, *, size):
  window = augment.Window(top, left, height, width)
  return augment.crop_and_resize(image, **window._asdict(), size=size)


@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(5, 4), (8, 7), (19, 23)])
def test_resizing_equals_pillows(name, size):
  """Pillow doesn't clip floats, so the image stays away from 0 and 1."""
  image = 0.3 + 0.4 * noise(6, 16, 14, 1)
  window = {"top": 3, "left": 2, "height": 12, "width": 11}
  part = Image.fromarray(image[3:15, 2:13, 0])
  expected = part.resize(size[::-1], getattr(Image.Resampling, name.upper()))
  resampling = getattr(augment, name)
  result = augment.crop_and_resize(image, **window, size=size, resampling=resampling)
  np.testing.assert_allclose(result[..., 0], np.asarray(expected), atol=1e-5)


def test_bicubic_sharpens_and_clips():
  edge = np.where(np.arange(8) < 4, 0.2, 0.8).astype(np.float32)
  image = np.broadcast_to(edge[None, :, None], (8, 8, 1))
  window = {"top": 0, "left": 0, "height": 8, "width": 8}
  enlarge = partial(
    augment.crop_and_resize, **window, size=24, resampling=augment.bicubic
  )
  assert np.min(enlarge(image)) < 0.17 and np.max(enlarge(image)) > 0.83
  black_and_white = np.asarray(enlarge((image > 0.5).astype(np.float32)))
  assert black_and_white.min() == 0.0 and black_and_white.max() == 1.0


@pytest.mark.parametrize("image", [COLOR, GRAY], ids=["color", "gray"])
def test_sobel_equals_a_loop(image):
  across = np.asarray([[1, 0, -1], [2, 0, -2], [1, 0, -1]], np.float32)
  gray = np.pad(image.mean(-1), 1)
  expected = np.zeros((*image.shape[:2], 2), np.float32)
  for i, j in np.ndindex(*image.shape[:2]):
    window = gray[i : i + 3, j : j + 3]
    expected[i, j] = np.sum(across * window), np.sum(across.T * window)
  np.testing.assert_allclose(augment.sobel(image), expected, atol=1e-5)
  batch = np.stack([image, 2 * image])
  np.testing.assert_allclose(augment.sobel(batch)[1], 2 * expected, atol=1e-5)


def test_crop_of_a_traced_window_equals_that_of_numbers():
  window = {"top": 2, "left": 1, "height": 9, "width": 6}
  traced = jax.jit(partial(augment.crop_and_resize, size=7))(COLOR, **window)
  plain = augment.crop_and_resize(COLOR, **window, size=7)
  np.testing.assert_allclose(traced, plain, atol=1e-6)


def test_crop_of_everything_at_its_own_size_is_the_image():
  window = {"top": 0, "left": 0, "height": 12, "width": 10}
  result = augment.crop_and_resize(COLOR, **window, size=(12, 10))
  np.testing.assert_array_equal(result, COLOR)


def test_crop_shrinks_by_averaging():
  stripes = np.tile(np.asarray([0.0, 1.0], np.float32)[None, :, None], (32, 16, 1))
  window = {"top": 0, "left": 0, "height": 32, "width": 32}
  result = augment.crop_and_resize(stripes, **window, size=4)
  np.testing.assert_allclose(result, 0.5, atol=0.05)


def test_blur_equals_a_loop():
  kernel, sigma = 5, 1.3
  taps = np.exp(-0.5 * (np.arange(-2, 3) / sigma) ** 2)
  taps = np.outer(taps, taps) / np.sum(taps) ** 2
  padded = np.pad(COLOR, [(2, 2), (2, 2), (0, 0)], mode="reflect")
  expected = np.zeros_like(COLOR)
  for i, j in np.ndindex(kernel, kernel):
    expected += taps[i, j] * padded[i : i + 12, j : j + 10]
  blurred = augment.gaussian_blur(COLOR, sigma=sigma, kernel=kernel)
  np.testing.assert_allclose(blurred, expected, atol=1e-6)


def test_affine_shifts_whole_pixels_and_fills_with_black():
  result = augment.affine(COLOR, rotation=0.0, scale=1.0, shift=(2.0, -3.0), shear=0.0)
  expected = np.zeros_like(COLOR)
  expected[2:, :-3] = COLOR[:-2, 3:]
  np.testing.assert_allclose(result, expected, atol=1e-6)


def test_affine_rotates_clockwise():
  image = noise(4, 8, 8, 1)
  result = augment.affine(image, rotation=90.0, scale=1.0, shift=(0, 0), shear=0.0)
  np.testing.assert_allclose(result, np.rot90(image, -1), atol=1e-5)


crop = partial(augment.crop_and_resize, COLOR)
blur = partial(augment.gaussian_blur, COLOR, sigma=1.0)


@pytest.mark.parametrize(
  "call, message",
  [
    (lambda: augment.adjust_hue(noise(0, 2, 4, 4, 3), shift=0.1), "one image"),
    (lambda: augment.to_grayscale(noise(0, 4, 4)), "one image"),
    (lambda: augment.to_grayscale(noise(0, 4, 4, 4)), "1 or 3 channels"),
    (lambda: augment.flip_left_right(np.zeros((4, 4, 3), np.uint8)), "uint8.*to_float"),
    (
      lambda: augment.solarize(jnp.zeros((4, 4, 3), jnp.bfloat16), threshold=1),
      "bfloat16",
    ),
    (lambda: crop(top=0, left=0, height=2, width=2, size=0), "size 0"),
    (lambda: crop(top=0, left=0, height=2, width=2, size=(2, 2, 3)), "size"),
    (lambda: crop(top=0, left=0, height=2, width=2, size=2.5), "size 2.5"),
    (lambda: crop(top=9, left=0, height=4, width=2, size=2), "4 pixels from 9 .* 12"),
    (lambda: crop(top=0, left=-1, height=4, width=2, size=2), "2 pixels from -1"),
    (lambda: crop(top=0, left=0, height=0, width=2, size=2), "0 pixels"),
    (lambda: augment.sobel(COLOR[..., :2]), "1 or 3 channels"),
    (lambda: augment.sobel(COLOR[0]), "height, width, channels"),
    (lambda: blur(kernel=4), "odd"),
    (lambda: blur(kernel=-1), "odd"),
    (lambda: blur(kernel=21), "twice the shorter side"),
  ],
)
def test_bad_input(call, message):
  with pytest.raises(InputError, match=message):
    call()


def test_widest_blur():
  assert augment.gaussian_blur(COLOR, sigma=1.0, kernel=19).shape == COLOR.shape
