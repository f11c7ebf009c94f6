"""The recipes: what their papers say, measured from what comes out."""

import inspect

import jax
import numpy as np
import pytest

from jaxssl import augment
from jaxssl.errors import InputError
from tests.augment.examples import noise
from tests.augment.test_random_image import DRAWS, assert_frequency, keys, many

SIZE = 12
COLOR, GRAY = noise(0, SIZE, SIZE, 3), noise(1, SIZE, SIZE, 1)
RECIPES = {
  "simclr": augment.simclr_view(SIZE),
  "moco": augment.moco_view(SIZE),
  "byol first": augment.byol_views(SIZE)[0],
  "byol second": augment.byol_views(SIZE)[1],
  "gray": augment.gray_view(SIZE),
  "digits": augment.digits_view(),
}
PAPERS = [name for name in RECIPES if name not in ("gray", "digits")]
GRAYS = ("gray", "digits", "simclr")


@pytest.mark.parametrize(
  "name, image", [*((name, COLOR) for name in PAPERS), *((n, GRAY) for n in GRAYS)]
)
def test_range_shape_and_dtype(name, image):
  results = many(RECIPES[name], image)
  assert results.shape == (DRAWS, *image.shape) and results.dtype == np.float32
  assert results.min() >= 0.0 and results.max() <= 1.0
  assert len(np.unique(results[:64], axis=0)) > 32


def test_one_view_of_bytes_equals_a_batch_of_floats():
  bytes_ = np.round(COLOR * 255).astype(np.uint8)
  floats = many(RECIPES["simclr"], bytes_.astype(np.float32) / 255)
  view = jax.jit(RECIPES["simclr"])
  for i, key in enumerate(keys(DRAWS)[:5]):
    np.testing.assert_allclose(floats[i], view(key, bytes_), atol=2e-6)


@pytest.mark.parametrize("size", [7, (6, 9)])
def test_views_have_the_size_asked_for(size):
  shape = (size, size) if isinstance(size, int) else size
  builds = (augment.simclr_view, augment.moco_view, augment.gray_view)
  for view in (*(build(size) for build in builds), *augment.byol_views(size)):
    assert jax.eval_shape(view, jax.random.key(0), COLOR).shape == (*shape, 3)


@pytest.mark.parametrize("name", PAPERS)
def test_a_fifth_of_the_views_is_gray(name):
  results = np.asarray(many(RECIPES[name], COLOR, DRAWS))
  assert_frequency(np.ptp(results, axis=-1).max((1, 2)) < 1e-6, 0.2)


@pytest.mark.parametrize("name", [*PAPERS, "gray"])
def test_half_of_the_views_is_mirrored(name):
  """A grey ramp keeps its direction under everything but a mirror and solarising."""
  ramp = np.linspace(0.1, 0.3, SIZE, dtype=np.float32)[None, :, None]
  channels = 1 if name == "gray" else 3
  results = many(RECIPES[name], np.broadcast_to(ramp, (SIZE, SIZE, channels)))
  assert_frequency(results[:, 6, -1, 0] < results[:, 6, 0, 0], 0.5)


@pytest.mark.parametrize("name", PAPERS)
def test_four_fifths_of_the_views_are_jittered(name):
  """Brightness alone moves an even grey: the others blend it with itself."""
  even = np.full((SIZE, SIZE, 3), 0.3, np.float32)
  results = np.asarray(many(RECIPES[name], even, DRAWS))
  assert_frequency(np.abs(results - 0.3).max((1, 2, 3)) > 1e-4, 0.8)


SHARP = {
  "simclr": augment.simclr_view(SIZE, blur_probability=0.0),
  "moco": augment.moco_view(SIZE, blur_probability=0.0),
  "byol first": augment.byol_views(SIZE, blur_probability=(0.0, 0.0))[0],
  "byol second": augment.byol_views(SIZE, blur_probability=(0.0, 0.0))[1],
}


@pytest.mark.parametrize(
  "name, probability",
  [("simclr", 0.5), ("moco", 0.5), ("byol first", 1.0), ("byol second", 0.1)],
)
def test_share_of_blurred_views(name, probability):
  """The same keys with and without blur differ where blur was drawn."""
  change = many(RECIPES[name], COLOR) - many(SHARP[name], COLOR)
  share = np.mean(np.abs(np.asarray(change)).max((1, 2, 3)) > 1e-6)
  bound = 5 * np.sqrt(probability * (1 - probability) / DRAWS)
  assert 0.92 * probability - bound <= share  # the weakest sigmas change nothing
  assert share <= probability + bound


def test_a_fifth_of_byols_second_views_is_solarized():
  """Brightness of at least 0.6 keeps white above the threshold."""
  white = np.ones((SIZE, SIZE, 3), np.float32)
  for name, probability in (("byol first", 0.0), ("byol second", 0.2)):
    results = many(RECIPES[name], white)
    assert_frequency(results[:, 0, 0, 0] < 0.5, probability)


def test_simclr_crops_from_an_eighth_on():
  """Two ramps tell a window's sides: the ends of an enlarged ramp are its pixels."""
  side = 24
  ramp = np.linspace(0, 1, side, dtype=np.float32)
  across, down = np.meshgrid(ramp, ramp)
  image = np.stack([across, down, 0 * down], axis=-1)
  view = augment.simclr_view(side, strength=0.0, blur_probability=0.0)
  results = np.asarray(many(view, image, DRAWS))
  results = results[results[..., 2].max((1, 2)) == 0.0]  # the colour ones
  sides = np.ptp(results[..., :2], axis=(1, 2)) * (side - 1) + 1
  np.testing.assert_allclose(sides, np.round(sides), atol=1e-4)
  area, aspect = np.prod(sides, axis=1) / side**2, sides[:, 0] / sides[:, 1]
  assert 0.07 < area.min() < 0.1 and area.max() > 0.98
  assert_frequency(area < 0.3, 0.22 / 0.92 * 1.07)  # large ones are drawn again
  assert 0.6 < aspect.min() < 0.8 and 1.25 < aspect.max() < 1.6


def test_blur_kernel_is_a_tenth_of_the_side():
  """A dot on black spreads by 1 of 12 pixels, and by 3 of 64."""
  for side, reach in ((12, 1), (64, 3)):
    dot = np.zeros((side, side, 1), np.float32)
    dot[side // 2, side // 2] = 1.0
    always = {"blur_probability": 1.0, "brightness": 0.0, "contrast": 0.0}
    view = augment.gray_view(side, scale=(1.0, 1.0), **always)
    lit = np.asarray(jax.jit(view)(jax.random.key(1), dot))[..., 0] > 0.0
    assert np.flatnonzero(lit.any(0)).size <= 2 * reach + 1


def test_digits_view_of_nothing_is_the_identity():
  still = {"rotation": 0.0, "scale": 1.0, "shift": 0.0, "shear": 0.0, "elastic": 0.0}
  view = augment.digits_view(**still, brightness=(1.0, 1.0), noise=0.0)
  np.testing.assert_allclose(many(view, GRAY, 2), np.stack([GRAY] * 2), atol=1e-6)


def test_digits_view_never_mirrors():
  """What is lit at the upper right mostly stays there."""
  corner = np.zeros((SIZE, SIZE, 1), np.float32)
  corner[2:5, 7:10] = 1.0
  mean = many(RECIPES["digits"], corner).mean(0)[..., 0]
  lit = mean > 2 * np.median(mean)  # noise on black has a mean, too
  assert lit[:6, 6:].sum() > 5 * max(lit[:6, :6].sum(), lit[6:, 6:].sum(), 1)


@pytest.mark.parametrize(
  "build",
  [
    lambda: augment.simclr_view(0),
    lambda: augment.moco_view((4, -4)),
    lambda: augment.byol_views(2.5),
    lambda: augment.gray_view((1, 2, 3)),
  ],
)
def test_a_bad_size_is_refused_when_the_view_is_built(build):
  with pytest.raises(InputError, match="size"):
    build()


@pytest.mark.parametrize(
  "view",
  [
    augment.simclr_view(8, strength=-1.0),
    augment.simclr_view(8, blur_probability=1.2),
    augment.byol_views(8, solarize_probability=(-1.0, 0.0))[0],
    augment.gray_view(8, scale=(0.5, 2.0)),
    augment.digits_view(scale=0.5),
  ],
)
def test_bad_options_are_refused_when_traced(view):
  with pytest.raises(InputError):
    jax.eval_shape(view, jax.random.key(0), COLOR)


def test_random_operations_and_recipes_take_options_by_name_only():
  for name in augment.__all__:
    parameters = inspect.signature(getattr(augment, name)).parameters.values()
    options = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    allowed = {"key", "image", "size", "first", "second", *augment.Window._fields}
    assert {p.name for p in options} <= allowed, name
