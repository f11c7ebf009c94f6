"""CLIP, SigLIP and LiT: sides, the scale's limit, the ring, wrong nets."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl import core, losses, methods, models
from jaxssl.augment import captioned_view, clip_view, many_views
from jaxssl.data import Captioned
from jaxssl.errors import InputError
from jaxssl.mesh import data_mesh, replicated, rows_sharded
from tests import caption_cases, cases
from tests.contracts import runners

MAKERS = {
  "clip": caption_cases.make_clip,
  "siglip": caption_cases.make_siglip,
  "lit": caption_cases.make_lit,
}
names = pytest.mark.parametrize("name", MAKERS)


@functools.cache
def begun(name):
  """Method and first state."""
  method, batch = MAKERS[name]("layer"), caption_cases.batch()
  init = functools.partial(core.init_state, method, cases.optimiser())
  return method, jax.jit(init)(jax.random.key(0), batch)


@pytest.mark.slow
@names
def test_both_sides_are_unit_vectors_of_one_space(name):
  method, state = begun(name)
  batch = caption_cases.batch()
  encode = lambda inputs, side: method.encode(
    state.params, state.extra, {"input": inputs}, side=side
  )
  image, text = (encode(batch["input"], side) for side in ("image", "text"))
  assert image.shape == text.shape
  np.testing.assert_allclose(jnp.linalg.norm(image, axis=1), 1.0, rtol=1e-5)
  np.testing.assert_allclose(encode(batch["input"].image, "image"), image, rtol=1e-5)
  first = batch["input"].text[:, 0]
  np.testing.assert_allclose(encode(first, "text"), text, rtol=1e-5)


@names
def test_an_unknown_side_is_refused(name):
  method, state = begun(name)
  with pytest.raises(InputError, match="image"):
    method.encode(state.params, state.extra, caption_cases.batch(), side="imag")


@names
def test_features_do_not_see_captions(name):
  method, state = begun(name)
  batch = caption_cases.batch()
  features = method.encode(state.params, state.extra, batch)
  blank = batch["input"]._replace(text=jnp.zeros_like(batch["input"].text))
  again = method.encode(state.params, state.extra, {"input": blank})
  np.testing.assert_array_equal(features, again)


@names
def test_the_scale_stays_at_100_or_less(name):
  method, state = begun(name)
  large = {**state.params, "log_scale": jnp.float32(9.0)}
  params, _ = method.update(large, state.extra, state.step)
  np.testing.assert_allclose(jnp.exp(params["log_scale"]), 100.0, rtol=1e-5)
  params, _ = method.update(state.params, state.extra, state.step)
  np.testing.assert_allclose(
    jnp.exp(params["log_scale"]), 3.0 if name == "siglip" else 5.0
  )


@pytest.mark.slow
@names
def test_blocks_and_ring_are_the_same_step(name):
  mesh, batch = data_mesh(), caption_cases.batch()
  _, first = begun(name)
  dense = losses.siglip if name == "siglip" else losses.clip
  around = losses.ring_siglip if name == "siglip" else losses.ring_clip
  found = []
  for options in (
    {"contrast": dense},
    {"contrast": dense, "block_size": 5},
    {"contrast": functools.partial(around, mesh=mesh)},
  ):
    method = MAKERS[name]("layer", **options)
    step = core.jit_step(method, cases.optimiser(), mesh)
    state = jax.device_put(runners.copy(first), replicated(mesh))
    state, _ = step(state, jax.device_put(batch, rows_sharded(mesh)))
    found.append(runners.strip(state))
  assert runners.largest_difference(found[1], found[0]) < 1e-5
  assert runners.largest_difference(found[2], found[0]) < 1e-5


def test_the_teacher_of_lit_never_moves_and_is_what_encodes():
  method, state = begun("lit")
  batch = caption_cases.batch()
  step = jax.jit(functools.partial(core.train_step, method, cases.optimiser()))
  after, _ = step(state, batch)
  np.testing.assert_array_equal(
    after.extra.teacher["weights"], state.extra.teacher["weights"]
  )
  teacher = caption_cases.teacher()
  features = method.encode(after.params, after.extra, batch)
  np.testing.assert_array_equal(
    features, teacher.encode(teacher.variables, batch["input"].image)
  )


def test_each_net_has_its_method():
  views = caption_cases.views
  with pytest.raises(InputError, match="no bias"):
    methods.clip(caption_cases.towers("layer", bias=-1.0), views)
  with pytest.raises(InputError, match="needs a bias"):
    methods.siglip(caption_cases.towers("layer"), views)
  with pytest.raises(InputError, match="teacher"):
    methods.lit(caption_cases.towers("layer"), views, caption_cases.teacher())


def test_lit_needs_a_text_tower_as_wide_as_the_features():
  net = models.TwoTowers(None, caption_cases.text_tower(7))
  method = methods.lit(net, caption_cases.views, caption_cases.teacher())
  with pytest.raises(InputError, match="32 wide"):
    method.init(jax.random.key(0), caption_cases.batch())


def test_a_view_draws_every_caption_and_keeps_all_of_them():
  view = captioned_view(lambda key, image: image)
  text = jnp.arange(3, dtype=jnp.int32)[:, None] + jnp.zeros((1, 4), jnp.int32)
  example = Captioned(jnp.zeros((8, 8, 1)), text)
  keys = jax.random.split(jax.random.key(0), 40)
  drawn = np.asarray(jax.vmap(view, in_axes=(0, None))(keys, example).text[:, :, 0])
  assert set(drawn[:, 0]) == {0, 1, 2}
  np.testing.assert_array_equal(np.sort(drawn, axis=1), np.tile([0, 1, 2], (40, 1)))


@pytest.mark.slow
def test_the_view_of_clip_has_the_form_of_the_input():
  example = Captioned(np.full((8, 8, 1), 128, np.uint8), np.ones((2, 4), np.int32))
  (view,) = many_views(clip_view(8))(jax.random.key(0), example)
  assert view.image.shape == (8, 8, 1) and view.text.shape == (2, 4)
  np.testing.assert_allclose(view.image, 128 / 255, rtol=1e-3)
