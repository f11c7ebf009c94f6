"""Multi-crop: order, sizes, keys, compiles, and the areas of the local views."""

import jax
import numpy as np
import pytest

from jaxssl import augment
from jaxssl.errors import InputError
from tests.augment.examples import noise
from tests.augment.test_recipes import crop_sides

KEY = jax.random.key(5)
IMAGE = noise(0, 16, 16, 3)


def first(key, image):
  return image + jax.random.normal(key, image.shape)


def second(key, image):
  return image * jax.random.uniform(key)


def local(key, image):
  return second(key, image)[:6, :6]


def test_globals_come_first_and_every_view_has_its_key():
  made = augment.multi_crop(first, second, local, local_count=3)(KEY, IMAGE)
  assert [view.shape for view in made] == [(16, 16, 3)] * 2 + [(6, 6, 3)] * 3
  for i, function in enumerate((first, second, local, local, local)):
    expected = function(jax.random.fold_in(KEY, i), IMAGE)
    np.testing.assert_allclose(made[i], expected, rtol=1e-6)


def test_no_local_views_are_two_views():
  made = augment.multi_crop(first, second, local, local_count=0)(KEY, IMAGE)
  for view, expected in zip(
    made, augment.two_views(first, second)(KEY, IMAGE), strict=True
  ):
    np.testing.assert_array_equal(view, expected)


def test_every_recipe_is_traced_once():
  traces = []

  def counted(name, view):
    def apply(key, image):
      traces.append(name)
      return view(key, image)

    return apply

  one, two, small = (
    counted(name, view)
    for name, view in (("first", first), ("second", second), ("local", local))
  )
  jax.eval_shape(augment.multi_crop(one, two, small, local_count=8), KEY, IMAGE)
  assert traces == ["first", "second", "local"]
  traces.clear()
  jax.eval_shape(augment.multi_crop(one, one, small, local_count=8), KEY, IMAGE)
  assert traces == ["first", "local"]


@pytest.mark.parametrize(
  "build", [augment.swav_views, augment.dino_views, augment.ibot_views]
)
def test_recipes_have_their_sizes(build):
  views = augment.multi_crop(*build(16, (6, 7)), local_count=2)
  shapes = [view.shape for view in jax.eval_shape(views, KEY, IMAGE)]
  assert shapes == [(16, 16, 3)] * 2 + [(6, 7, 3)] * 2


def test_swavs_globals_are_one_function():
  one, two, _ = augment.swav_views(16, 6)
  assert one is two


def program(view):
  return jax.jit(view).lower(KEY, IMAGE).as_text()


def test_dino_is_byol_but_for_the_crops():
  """Cropped alike they are the same programs; the local one blurs half."""
  views = augment.dino_views(12, 12, scale=(0.08, 1.0), local_scale=(0.08, 1.0))
  half = {"blur_probability": (0.5, 0.5), "solarize_probability": (0.0, 0.0)}
  expected = (*augment.byol_views(12), augment.byol_views(12, **half)[0])
  for view, other in zip(views, expected, strict=True):
    assert program(view) == program(other)
  assert program(views[0]) != program(views[1])


@pytest.mark.parametrize(
  "build, wide, narrow",
  [
    (lambda size: augment.swav_views(size, size), (0.14, 1.0), (0.05, 0.14)),
    (lambda size: augment.dino_views(size, size), (0.4, 1.0), (0.05, 0.4)),
    (lambda size: augment.ibot_views(size, size), (0.25, 1.0), (0.05, 0.25)),
    (lambda size: augment.dinov2_views(size, size), (0.32, 1.0), (0.05, 0.32)),
  ],
  ids=["swav", "dino", "ibot", "dinov2"],
)
def test_shares_of_the_area(build, wide, narrow, monkeypatch):
  """Everything but the crop is left out of the recipe."""
  monkeypatch.setattr(augment.multicrop, "compose", lambda crop, *others: crop)
  first, _, local = build(24)
  for view, (low, high) in ((first, wide), (local, narrow)):
    area = np.prod(crop_sides(view, 24), axis=1) / 24**2
    assert 0.85 * low - 0.01 < area.min() < 1.2 * low
    assert 0.93 * high < area.max() < 1.1 * high


def test_bad_input():
  with pytest.raises(InputError, match="-1 local views"):
    augment.multi_crop(first, second, local, local_count=-1)
  large = augment.multi_crop(local, local, first, local_count=1)
  with pytest.raises(InputError, match="no larger"):
    large(KEY, IMAGE)
  with pytest.raises(InputError, match="size 0"):
    augment.dino_views(16, 0)
