"""Experiments on captioned images: their runs, their towers, LiT's image run."""

import jax
import numpy as np
import pytest

from jaxssl import core, registry, runs
from jaxssl.errors import InputError
from jaxssl.presets import captions as presets
from tests.saved import saved

SMALL = {"steps": 10, "batch": 8}
TEXT = {"width": 16, "depth": 1, "heads": 2}


@pytest.fixture(scope="module")
def image_run(tmp_path_factory):
  made = registry.build("moco_v1_digits", **SMALL, queue_size=16)
  return saved(made, tmp_path_factory.mktemp("image") / "run")


@pytest.fixture(scope="module")
def clip_run(tmp_path_factory):
  made = registry.build("clip", **SMALL, **TEXT)
  return saved(made, tmp_path_factory.mktemp("clip") / "run")


@pytest.mark.parametrize("name", ["clip", "siglip", "lit"])
def test_the_default_can_be_trained(name, image_run):
  """The whole step on scikit-learn's digits, traced without compute."""
  own = {"image_run": image_run} if name == "lit" else {}
  experiment = registry.build(name, **SMALL, **TEXT, **own)
  batch = jax.eval_shape(lambda: runs.example_batch(experiment, 8))

  def step(batch):
    state = core.init_state(experiment.method, experiment.tx, jax.random.key(0), batch)
    return core.train_step(experiment.method, experiment.tx, state, batch)

  state, metrics = jax.eval_shape(step, batch)
  assert metrics["loss"].shape == ()
  assert "encoder" in state.params or name == "lit"


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_gradients_are_clipped_where_the_official_code_does(name):
  tx, params = registry.build(name, **SMALL, **TEXT).tx, {"w": np.ones(4, np.float32)}
  update = lambda size: tx.update(
    {"w": np.full(4, size, np.float32)}, tx.init(params), params
  )
  states = [jax.tree.leaves(update(size)[1]) for size in (10.0, 1000.0)]
  alike = all(np.allclose(a, b) for a, b in zip(*states, strict=True))
  assert alike == (name == "siglip")


def test_lit_without_an_image_run_locks_an_untrained_encoder():
  """Always the same one, of the seed, whose features no label has touched."""
  images = np.random.default_rng(0).random((3, 8, 8, 1), np.float32)

  def features(seed):
    with pytest.warns(UserWarning, match="--image-run"):
      made = registry.build("lit", **SMALL, **TEXT, seed=seed)
    batch = runs.example_batch(made, 4)
    state = core.init_state(made.method, made.tx, jax.random.key(0), batch)
    return made.method.encode(state.params, state.extra, {"input": images})

  first = features(0)
  assert first.shape == (3, 256) and not np.allclose(first, features(1))
  np.testing.assert_array_equal(first, features(0))


def test_lit_locks_images_of_the_same_size_and_no_captions(clip_run):
  with pytest.raises(InputError, match="run on captions"):
    registry.build("lit", **SMALL, image_run=clip_run)


def test_the_towers_of_a_run(clip_run):
  towers = presets.open_towers(clip_run)
  data = runs.reopen(clip_run).data
  images = data.test[np.arange(5)]["input"].image
  vectors, texts = towers.images(images), towers.texts(["the number seven", "one"])
  assert vectors.shape == (5, 128) and texts.shape == (2, 128)
  np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
  np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1.0, rtol=1e-5)
  with pytest.raises(InputError, match="sentence 0"):
    towers.texts(["the number seven is longer than any caption of these digits"])
  with pytest.raises(InputError, match="images"):
    towers.images(images[0])


def test_a_run_on_images_has_no_towers(image_run):
  with pytest.raises(InputError, match="run on images"):
    presets.open_towers(image_run)


def test_the_small_tower_has_nothing_to_compute_twice():
  with pytest.raises(InputError, match="remat"):
    registry.build("clip", **SMALL, remat="full")
