"""The recipes: what their papers say, measured from what comes out."""

import inspect
from functools import partial

import jax
import numpy as np
import pytest

from jaxssl import augment
from jaxssl.augment.image import bicubic, bilinear
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
  "moco v1": augment.moco_v1_view(SIZE),
  "vicreg cifar": augment.vicreg_cifar_view(SIZE),
  "swav": augment.swav_views(SIZE, 6, local_scale=(0.1, 0.4))[0],
  "gray": augment.gray_view(SIZE),
  "digits": augment.digits_view(),
  "digits crop": augment.digits_crop_view(SIZE, scale=(0.3, 1.0)),
  "deepcluster": augment.deepcluster_view(SIZE),
  "mae": augment.mae_view(SIZE),
  "simmim": augment.simmim_view(SIZE),
  "ijepa": augment.ijepa_view(SIZE),
}
CROPS = ("deepcluster", "mae", "simmim", "ijepa")
DIGITS = ("digits", "digits crop")
PAPERS = [name for name in RECIPES if name not in ("gray", *DIGITS, *CROPS)]
GRAYS = ("gray", *DIGITS, "simclr")


@pytest.mark.parametrize(
  "name, image", [*((n, COLOR) for n in (*PAPERS, *CROPS)), *((n, GRAY) for n in GRAYS)]
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
  builds = (
    *(augment.simclr_view, augment.moco_view, augment.gray_view),
    *(augment.moco_v1_view, augment.vicreg_cifar_view, augment.deepcluster_view),
    *(augment.mae_view, augment.simmim_view, augment.ijepa_view),
    partial(augment.digits_crop_view, scale=(0.3, 0.6)),
  )
  pairs = (*augment.byol_views(size), *augment.ressl_views(size))
  for view in (*(build(size) for build in builds), *pairs):
    assert jax.eval_shape(view, jax.random.key(0), COLOR).shape == (*shape, 3)


@pytest.mark.parametrize("name", PAPERS)
def test_a_fifth_of_the_views_is_gray(name):
  results = np.asarray(many(RECIPES[name], COLOR, DRAWS))
  assert_frequency(np.ptp(results, axis=-1).max((1, 2)) < 1e-6, 0.2)


@pytest.mark.parametrize("name", [*PAPERS, "gray", "deepcluster", "mae", "simmim"])
def test_half_of_the_views_is_mirrored(name):
  """A grey ramp keeps its direction under everything but a mirror and solarising."""
  ramp = np.linspace(0.1, 0.3, SIZE, dtype=np.float32)[None, :, None]
  channels = 1 if name == "gray" else 3
  results = many(RECIPES[name], np.broadcast_to(ramp, (SIZE, SIZE, channels)))
  assert_frequency(results[:, 6, -1, 0] < results[:, 6, 0, 0], 0.5)


@pytest.mark.parametrize("name", ["ijepa", "npid cifar", "digits crop"])
def test_views_without_flips(name):
  still = {"rotation": 0.0, "stretch": 1.0, "shift": 0.0, "shear": 0.0, "elastic": 0.0}
  view = {
    "ijepa": RECIPES["ijepa"],
    "npid cifar": augment.moco_v1_view(SIZE, flip_probability=0.0),
    "digits crop": augment.digits_crop_view(
      SIZE, scale=(0.3, 1.0), **still, brightness=(1.0, 1.0), noise=0.0
    ),
  }[name]
  ramp = np.linspace(0.1, 0.3, SIZE, dtype=np.float32)[None, :, None]
  results = many(view, np.broadcast_to(ramp, (SIZE, SIZE, 3)))
  assert np.all(results[:, 6, -1] > results[:, 6, 0])


@pytest.mark.parametrize("name", CROPS)
def test_crops_alone_keep_colors(name):
  """An even image stays what it is."""
  even = np.broadcast_to(np.asarray([0.2, 0.5, 0.9], np.float32), (SIZE, SIZE, 3))
  results = many(RECIPES[name], even, 256)
  np.testing.assert_allclose(results, np.stack([even] * 256), atol=1e-6)


def test_ressl_is_strong_for_the_student_and_weak_for_the_teacher():
  student, teacher = augment.ressl_views(SIZE)
  even = np.full((SIZE, SIZE, 3), 0.3, np.float32)
  np.testing.assert_allclose(many(teacher, even, 256), 0.3, atol=1e-6)
  np.testing.assert_array_equal(
    many(student, COLOR, 8), many(augment.moco_view(SIZE), COLOR, 8)
  )


@pytest.mark.parametrize("name", [name for name in PAPERS if name != "moco v1"])
def test_four_fifths_of_the_views_are_jittered(name):
  """Brightness alone moves an even grey: the others blend it with itself."""
  even = np.full((SIZE, SIZE, 3), 0.3, np.float32)
  results = np.asarray(many(RECIPES[name], even, DRAWS))
  assert_frequency(np.abs(results - 0.3).max((1, 2, 3)) > 1e-4, 0.8)


def test_moco_v1_always_jitters_after_grey():
  """Grey first: jitter has no colour to add."""
  even = np.full((SIZE, SIZE, 3), 0.3, np.float32)
  moved = np.abs(many(RECIPES["moco v1"], even) - 0.3).max((1, 2, 3))
  assert np.mean(moved > 1e-4) > 0.99


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


def test_share_of_solarized_views():
  """Brightness of at least 0.6 keeps white above the threshold."""
  white = np.ones((SIZE, SIZE, 3), np.float32)
  for name, probability in (
    ("byol first", 0.0),
    ("byol second", 0.2),
    ("vicreg cifar", 0.1),
  ):
    results = many(RECIPES[name], white)
    assert_frequency(results[:, 0, 0, 0] < 0.5, probability)


def crop_sides(view, side):
  """Width and height of the windows: the slopes of two enlarged ramps' middles."""
  ramp = np.linspace(0, 1, side, dtype=np.float32)
  across, down = np.meshgrid(ramp, ramp)
  results = many(view, np.stack([across, down, 0 * down], axis=-1))
  results = results[results[..., 2].max((1, 2)) == 0.0]  # the colour ones
  middle, steps = side // 2, side * (side - 1)
  width = results[:, middle, middle, 0] - results[:, middle, middle - 1, 0]
  height = results[:, middle, middle, 1] - results[:, middle - 1, middle, 1]
  return np.abs(np.stack([width, height], axis=1)) * steps


@pytest.mark.parametrize(
  "build, low, high",
  [
    (augment.mae_view, 0.2, 1.0),
    (augment.simmim_view, 0.67, 1.0),
    (augment.ijepa_view, 0.3, 1.0),
    (augment.deepcluster_view, 0.08, 1.0),
    (lambda side: augment.ressl_views(side)[1], 0.2, 1.0),
    (partial(augment.crop_view, scale=(0.4, 0.6)), 0.4, 0.6),
  ],
)
def test_shares_of_the_area(build, low, high):
  area = np.prod(crop_sides(build(24), 24), axis=1) / 24**2
  assert 0.9 * low < area.min() < 1.2 * low
  assert 0.95 * high < area.max() < 1.05 * high


def test_simclr_crops_from_an_eighth_on():
  side = 24
  view = augment.simclr_view(side, strength=0.0, blur_probability=0.0)
  sides = crop_sides(view, side)
  np.testing.assert_allclose(sides, np.round(sides), atol=1e-3)
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
    augment.digits_crop_view(4, scale=(0.0, 0.5)),
    augment.moco_v1_view(8, flip_probability=2.0),
  ],
)
def test_bad_options_are_refused_when_traced(view):
  with pytest.raises(InputError):
    jax.eval_shape(view, jax.random.key(0), COLOR)


# ---- what the papers say, step by step


def crop(low, high=1.0, *, by=bicubic):
  return "random_resized_crop", ((low, high), (3 / 4, 4 / 3), by)


def jitter(*amounts, probability=0.8):
  """Brightness, contrast, saturation, hue."""
  return "color_jitter", (*amounts, probability)


def blur(probability, kernel=23):
  return "random_gaussian_blur", (kernel, (0.1, 2.0), probability)


def solarize(probability):
  return "random_solarize", (probability, 0.5)


FLIP, TO_GRAY = ("random_flip", (0.5,)), ("random_grayscale", (0.2,))
STRONG, STILL = jitter(0.8, 0.8, 0.8, 0.2), ("random_flip", (0.0,))
BEIT = [(jitter(0.4, 0.4, 0.4, 0.0, probability=1.0), FLIP, crop(0.08))]
MOCO = (jitter(0.4, 0.4, 0.4, 0.1), TO_GRAY, blur(0.5), FLIP)
BYOL = (jitter(0.4, 0.4, 0.2, 0.1), TO_GRAY)
FIRST, SECOND = (*BYOL, blur(1.0), solarize(0.0)), (*BYOL, blur(0.1), solarize(0.2))
LOCAL = (*BYOL, blur(0.5, kernel=9), solarize(0.0))
SWAV = (FLIP, STRONG, TO_GRAY)


def dino(wide, narrow):
  globals_ = [(crop(wide), FLIP, *colors) for colors in (FIRST, SECOND)]
  return [*globals_, (crop(narrow, wide), FLIP, *LOCAL)]


STEPS = {  # recipe -> the steps of each of its views
  "simclr": (
    lambda: augment.simclr_view(224),
    [(crop(0.08), FLIP, STRONG, TO_GRAY, blur(0.5))],
  ),
  "simclr on CIFAR": (
    lambda: augment.simclr_view(32, strength=0.5, blur_probability=0.0),
    [(crop(0.08), FLIP, jitter(0.4, 0.4, 0.4, 0.1), TO_GRAY, blur(0.0, kernel=3))],
  ),
  "moco v1 and npid": (
    lambda: augment.moco_v1_view(224),
    [
      (
        crop(0.2, by=bilinear),
        TO_GRAY,
        jitter(0.4, 0.4, 0.4, 0.4, probability=1.0),
        FLIP,
      )
    ],
  ),
  "moco v2 and simsiam": (
    lambda: augment.moco_view(224),
    [(crop(0.2, by=bilinear), *MOCO)],
  ),
  "byol, barlow twins and vicreg": (
    lambda: augment.byol_views(224),
    [(crop(0.08), FLIP, *FIRST), (crop(0.08), FLIP, *SECOND)],
  ),
  "moco v3 with a resnet": (
    lambda: augment.byol_views(224, scale=(0.2, 1.0)),
    [(crop(0.2), FLIP, *FIRST), (crop(0.2), FLIP, *SECOND)],
  ),
  "vicregl": (
    lambda: augment.vicregl_views(224, grid=7),
    [(crop(0.08), FLIP, *FIRST), (crop(0.08), FLIP, *SECOND)],
  ),
  "vicreg on CIFAR": (
    lambda: augment.vicreg_cifar_view(),
    [(crop(0.2), *BYOL, solarize(0.1), FLIP)],
  ),
  "ressl": (
    lambda: augment.ressl_views(224),
    [(crop(0.2, by=bilinear), *MOCO), (crop(0.2, by=bilinear), FLIP)],
  ),
  "swav and deepcluster-v2": (
    lambda: augment.swav_views(224, 96),
    [
      *[(crop(0.14, by=bilinear), *SWAV, blur(0.5))] * 2,
      (crop(0.05, 0.14, by=bilinear), *SWAV, blur(0.5, kernel=9)),
    ],
  ),
  "dino": (lambda: augment.dino_views(224, 96), dino(0.4, 0.05)),
  "ibot": (lambda: augment.ibot_views(224, 96), dino(0.25, 0.05)),
  "dinov2": (lambda: augment.dinov2_views(224, 96), dino(0.32, 0.05)),
  "deepcluster": (
    lambda: augment.deepcluster_view(224),
    [(crop(0.08, by=bilinear), FLIP)],
  ),
  "mae": (lambda: augment.mae_view(224), [(crop(0.2), FLIP)]),
  "simmim": (lambda: augment.simmim_view(224), [(crop(0.67, by=bilinear), FLIP)]),
  "ijepa": (lambda: augment.ijepa_view(224), [(crop(0.3, by=bilinear), STILL)]),
  "beit": (lambda: augment.beit_view(224), BEIT),
  "data2vec": (lambda: augment.data2vec_view(224), BEIT),
  "maskfeat": (lambda: augment.maskfeat_view(224), [(crop(0.5), FLIP)]),
}
SAID = {  # what of each operation the papers give, by its name
  "random_resized_crop": ("scale", "ratio", "resampling"),
  "random_flip": ("probability",),
  "color_jitter": ("brightness", "contrast", "saturation", "hue"),
  "random_grayscale": ("probability",),
  "random_gaussian_blur": ("kernel", "sigma"),
  "random_solarize": ("probability", "threshold"),
}


def read(step):
  """The operation of a step and its numbers, bound or by default."""
  step = partial(step)
  parameters = inspect.signature(step.func).parameters.values()
  options = {p.name: p.default for p in parameters} | step.keywords
  if "augmentation" in options:
    name, numbers = read(options["augmentation"])
    return name, (*numbers, options["probability"])
  name = step.func.__name__
  return name, tuple(options[n] for n in SAID[name])


def located_steps(*args, located_view=augment.located_view, **options):
  """The steps that `located_view` would do, whose crop and flip are its own."""
  bound = inspect.signature(located_view).bind(*args, **options)
  bound.apply_defaults()
  options = bound.arguments
  window = {n: options[n] for n in ("size", "scale", "ratio")}
  cropped = partial(augment.random_resized_crop, **window, resampling=bicubic)
  flipped = partial(augment.random_flip, probability=options["flip_probability"])
  return cropped, flipped, *options["recolor"]


@pytest.mark.parametrize("name", STEPS)
def test_steps_and_strengths_are_the_papers(name, monkeypatch):
  """Read from the recipe itself: a strength that is off is hard to see in pictures."""
  for module in (augment.recipes, augment.multicrop, augment.located, augment.beit):
    monkeypatch.setattr(module, "compose", lambda *steps: steps)
  monkeypatch.setattr(augment.located, "located_view", located_steps)
  build, expected = STEPS[name]
  made = build()
  views = [made] if len(expected) == 1 else made
  assert [tuple(map(read, view)) for view in views] == expected


EXAMPLES = ("example", "wave", "spectrum", "clip", "tokens", "graph", "row")


def test_random_operations_and_recipes_take_options_by_name_only():
  functions = {n: getattr(augment, n) for n in augment.__all__}
  for name, function in functions.items():
    if not callable(function) or inspect.isclass(function):
      continue
    parameters = inspect.signature(function).parameters.values()
    options = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    allowed = {"key", "image", "size", "first", "second", *augment.Window._fields}
    allowed |= {"local", "local_size", "window", "step_key", "row_key", "distance"}
    allowed |= {"name", "view", "frames", "vocabulary", "marginals", "mask"}
    allowed |= {*EXAMPLES, "other", "own"}
    assert {p.name for p in options} <= allowed, name
