"""Every registered experiment builds, and takes two steps at a tiny size."""

import functools
import re

import jax
import numpy as np
import pytest

from jaxssl import core, registry, runs
from jaxssl.errors import InputError
from jaxssl.mesh import parse_mesh
from tests import (
  experiments_cifar10,
  experiments_imagenet,
  experiments_imagenette,
  experiments_kinds,
)
from tests.marks import some_of
from tests.saved import saved

SMALL = {"steps": 2, "batch": 16}
RGB = {
  **experiments_cifar10.TINY,
  **experiments_imagenet.TINY,
  **experiments_imagenette.TINY,
}
DIGITS = {
  "deepcluster_digits": {"clusters": 8},
  "deepcluster_v2_digits": {"clusters": 8},
  "w_mse_digits": {"batch": 128},
}
KINDS = experiments_kinds.TINY
NAMES = registry.names()
BUILT = [n for n in NAMES if n not in KINDS or n in experiments_kinds.EVERYDAY]
JOINT = (
  *("simclr", "simclr_v2", "moco_v1", "moco_v2", "moco_v3", "npid", "nnclr", "dcl"),
  *("supcon", "ressl", "cpc", "byol", "simsiam", "barlow_twins", "vicreg", "vicregl"),
  *("w_mse", "tico", "lejepa", "dino", "ibot", "dinov2", "ijepa", "deepcluster"),
  *("deepcluster_v2", "swav", "seed", "dclw"),
)
PRETEXTS = (
  *("rotation", "context", "jigsaw", "patch_order", "colorization", "inpainting"),
  *("autoencoder", "denoising", "vae", "gan", "bigan", "mae", "simmim", "beit"),
  *("maskfeat", "data2vec", "aim"),
)
STEPPED = ("simclr", "moco_v2", "byol", "w_mse", "deepcluster_v2")
EVERYDAY = [f"{n}_digits" for n in (*STEPPED, "seed", "distill")]
EVERYDAY += ["simclr_fashion_mnist", "scarf_table", "dgi_graph"]


STUDENTS = [n for n in NAMES if n.startswith(("seed_", "distill_"))]
TRACED = [n for n in NAMES if n.endswith(("_imagenet", "_images"))]


@pytest.fixture(scope="module")
def images(tmp_path_factory):
  """An .npz of 16 small colour images with labels."""
  path = tmp_path_factory.mktemp("data") / "x.npz"
  drawn = np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3), np.uint8)
  np.savez(path, x=drawn, y=np.arange(16) % 4)
  return str(path)


@pytest.fixture(scope="module")
def settings(images, tmp_path_factory):
  """name -> the settings that make an experiment small, on data that is here."""

  def of(name):
    if name in KINDS:
      return {**SMALL, **KINDS[name], **_of_files(name)}
    if name.endswith("_fashion_mnist"):
      gray = np.random.default_rng(0).integers(0, 255, (32, 28, 28), np.uint8)
      path = tmp_path_factory.mktemp("gray") / "x.npz"
      np.savez(path, x=gray)
      return {**SMALL, "data": str(path)}
    if name == "simclr_images":
      return {**SMALL, "data": "digits", "size": 8}
    own = (
      {**RGB[name], "data": images} if name in RGB else {**SMALL, **_of_digits(name)}
    )
    return {**own, "teacher": teacher(name)} if name in STUDENTS else own

  def _of_files(name):
    if name == "lit_captions":
      return {"image_run": image_run()}
    if name.endswith(experiments_kinds.ONE_GRAPH):
      return {"data": graph()}
    return {}

  @functools.cache
  def image_run():
    source = registry.build("simclr_digits", **of("simclr_digits"))
    return saved(source, tmp_path_factory.mktemp("images") / "run")

  @functools.cache
  def graph():
    folder = tmp_path_factory.mktemp("graph")
    return experiments_kinds.write_graph(folder / "ring.npz")

  def _of_digits(name):
    return DIGITS.get(name, {})

  @functools.cache
  def teacher(name):
    data = name.partition("_")[2]
    source = f"moco_v1_{data}"
    return saved(
      registry.build(source, **of(source)), tmp_path_factory.mktemp("t") / "run"
    )

  return of


@pytest.mark.parametrize("name", some_of(NAMES, BUILT))
def test_builds(name, settings):
  experiment = registry.build(name, **settings(name))
  assert experiment.run.steps == experiment.settings["steps"]
  assert "Args:" in registry.find(name).function.__doc__


@pytest.mark.parametrize("name", some_of(NAMES, TRACED))
def test_traces(name, settings):
  """What `jaxssl train` checks first: the whole step, traced without compute."""
  experiment = registry.build(name, **settings(name))
  batch = jax.eval_shape(lambda: runs.example_batch(experiment, experiment.run.batch))

  def step(batch):
    state = core.init_state(experiment.method, experiment.tx, jax.random.key(0), batch)
    return core.train_step(experiment.method, experiment.tx, state, batch)

  _, metrics = jax.eval_shape(step, batch)
  assert metrics["loss"].shape == ()


@pytest.mark.parametrize("name", some_of(NAMES, EVERYDAY))
def test_two_steps(name, settings):
  experiment = registry.build(name, **settings(name))
  batch = runs.example_batch(experiment, experiment.run.batch)
  method, tx = experiment.method, experiment.tx
  init = functools.partial(core.init_state, method, tx)
  state = first = jax.jit(init)(jax.random.key(0), batch)
  step = jax.jit(functools.partial(core.train_step, method, tx))
  for _ in range(2):
    state, metrics = step(state, batch)
  assert np.isfinite(float(metrics["loss"]))
  assert int(state.step) == 2
  moved = jax.tree.map(lambda a, b: float(abs(a - b).max()), first.params, state.params)
  assert max(jax.tree.leaves(moved)) > 0


OF_TILES = [
  name for name in NAMES if name.startswith(("context_", "jigsaw_", "patch_order_"))
]


@pytest.mark.parametrize("name", some_of(OF_TILES, [n for n in OF_TILES if n in BUILT]))
def test_tiles_are_standardised_so_that_brightness_tells_no_place(name, settings):
  experiment = registry.build(name, **settings(name))
  images = runs.example_batch(experiment, 2)["input"].astype(np.float32) / 255
  method = experiment.method
  params, extra = jax.jit(method.init)(jax.random.key(0), {"input": images})
  seen = lambda x: np.asarray(method.encode(params, extra, {"input": x}))
  moved = np.abs(seen(0.5 * images + 0.2) - seen(images)).max()
  assert moved < 0.05 * np.abs(seen(images[::-1]) - seen(images)).max()


@pytest.mark.parametrize(
  "name", ["gan_digits", "bigan_digits", "inpainting_adversarial_digits"]
)
def test_the_critic_has_an_optimiser_of_its_own(name):
  experiment = registry.build(name, **SMALL, critic_learning_rate=0.0)
  method, tx = experiment.method, experiment.tx
  batch = runs.example_batch(experiment, 16)
  first = core.init_state(method, tx, jax.random.key(0), batch)
  step = jax.jit(functools.partial(core.train_step, method, tx))
  second = step(step(first, batch)[0], batch)[0]  # warm-up starts at 0
  for part, before in first.params.items():
    pairs = zip(*map(jax.tree.leaves, (before, second.params[part])), strict=True)
    moved = max(float(abs(a - b).max()) for a, b in pairs)
    assert (moved == 0.0) == (part == "critic"), part


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_without_a_teacher_is_refused(name, settings):
  with pytest.raises(InputError, match="teacher"):
    registry.build(name, **{**settings(name), "teacher": ""})


@pytest.mark.parametrize(
  ("name", "setting", "message"),
  [
    ("gpt_text", {"packing": "pairs"}, "no packing 'pairs' here.* rows, sentences"),
    ("gpt_text", {"packing": "window"}, "Did you mean 'windows'"),
    ("bert_text", {"warmup": 1.0}, "warmup is 1.0; a share below 1"),
    ("roberta_text", {"warmup": -0.1}, "-0.1 out of 1 is no part"),
    ("mae_imagenette", {"warmup": 201.0}, "201 out of 200 is no part"),
    ("vae_digits", {"warmup": 2.0}, "2 out of 1 is no part"),
    ("bert_text", {"duplicates": 0}, "duplicates is 0"),
    ("hubert_audio", {"layers": 0}, "layers is 0"),
    ("graphcl_graph", {"layers": 0}, "layers is 0"),
  ],
)
def test_settings_that_cannot_be_are_refused_at_build(name, setting, message, settings):
  with pytest.raises(InputError, match=message):
    registry.build(name, **{**settings(name), **setting})


def test_every_method_beyond_images_is_an_experiment():
  """The names that people look for, by themselves."""
  wanted = (
    *("skip_gram", "cbow", "bert", "roberta", "gpt", "simcse", "clip", "siglip", "lit"),
    *("cpc_audio", "wav2vec2", "cola", "masked_spectrogram", "hubert", "future_frame"),
    *("frame_order", "tcn", "alignment", "cross_modal", "videomae", "grace", "dgi"),
    *("graphcl", "graphmae", "scarf", "vime", "bert4rec"),
  )
  assert all(registry.find(name).method for name in wanted)
  assert set(KINDS) <= set(NAMES)


def test_every_method_has_an_experiment_on_every_data_set():
  for data in ("digits", "imagenette", "cifar10", "imagenet"):
    assert {f"{m}_{data}" for m in JOINT} <= set(NAMES)


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith("_imagenet")])
def test_a_paper_s_recipe_says_protocol_seeds_and_cost(name):
  said = registry.find(name).function.__doc__
  assert re.search(r"Protocol: .*; one seed\. Cost", " ".join(said.split()))


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith("_imagenet")])
@pytest.mark.parametrize("topology,chips", (("v5e:4x4", 16), ("v5e:16x16", 256)))
def test_what_is_registered_for_a_slice_splits_over_its_chips(name, topology, chips):
  entry = registry.find(name)
  assert topology in entry.slices
  settings, mesh = registry.on_slice(entry, topology)
  assert settings["batch"] % (settings["accumulate"] * chips) == 0
  axes = list(parse_mesh(mesh).values()) if mesh else []
  assert not axes or np.prod(axes) == chips


def test_a_slice_of_settings_that_are_none_is_refused():
  @registry.experiment(
    method="", data="", reaches="", cost="", slices={"v5e:4x4": {"acumulate": 2}}
  )
  def mine(run: registry.Run = registry.Run(steps=1, batch=1)):
    raise AssertionError("never built")

  with pytest.raises(InputError, match="Did you mean.*accumulate"):
    registry.on_slice(mine.experiment, "v5e:4x4")


@pytest.mark.parametrize("method", PRETEXTS)
def test_every_pretext_has_a_small_experiment_and_the_papers(method):
  small = {f"{method}_{data}" for data in ("digits", "fashion_mnist", "imagenette")}
  papers = {f"{method}_{data}" for data in ("imagenet", "cifar10", "fashion_mnist")}
  assert small & set(NAMES)
  assert papers & set(NAMES)
