"""Plans: what the compiler says of a step, for devices here and elsewhere."""

import importlib
import json
import pathlib
import sys
import types
from typing import NamedTuple

import jax
import pytest

from jaxssl import cli, plan, registry
from jaxssl.data import open_data
from jaxssl.errors import InputError
from jaxssl.mesh import make_mesh

MESH = make_mesh("data=8")
TOY = str(pathlib.Path(__file__).parent / "toy.py") + ":toy"


@pytest.fixture(scope="module")
def planned():
  return plan.plan(registry.build(TOY, data="host"), make_mesh("data=8"))


def test_a_plan_has_what_a_step_takes(planned):
  assert planned.batch == 32
  assert planned.mesh == {"data": 8}
  assert planned.fits and planned.exceeds_bytes == 0
  images, index, label = 4 * 8 * 8 * 1, 4 * 4, 4 * 4  # of the four rows of a device
  state = registry.build(TOY).method.init(jax.random.key(0), example())
  parameters = 4 * sum(x.size for x in jax.tree.leaves(state[0]))
  least = images + index + label + 3 * parameters  # AdamW keeps two more
  assert least < planned.argument_bytes < 3 * least
  assert planned.flops > 4 * 2 * 64 * 16  # the first layer alone, forward
  assert planned.collectives["all-reduce"]["count"] > 0


def example():
  images = jax.numpy.zeros((2, 8, 8, 1))
  return {"input": images, "index": jax.numpy.arange(2)}


def test_a_plan_can_be_read_by_people(planned):
  said = plan.as_text(planned)
  assert "toy on 8 x cpu (data=8): batch 32, 4 a chip" in said
  assert "all-reduce" in said


def test_data_that_stay_on_the_devices_are_counted(planned):
  made = registry.build(TOY, data="resident")
  images, labels = 200 * 8 * 8, 200 * 4  # bytes and int32
  found = plan.plan(made, MESH)
  assert found.argument_bytes == planned.argument_bytes + images + labels
  refused = plan._refused(made, MESH, "", "out of memory: Used 17.00G of 16.00G")
  assert refused.exceeds_bytes == 2**30 + images + labels


def test_an_unknown_chip_has_no_roofline(planned):
  assert planned.step_seconds is None


def test_the_roofline_is_the_slower_of_arithmetic_and_traffic():
  chip = plan.Chip(flops=2.0, bandwidth=5.0, memory=1e9)
  experiment = registry.build(TOY)
  found = plan._roofline(experiment, chip, {"flops": 8.0, "bytes_accessed": 10.0})
  assert found["compute_seconds"] == 4
  assert found["memory_seconds"] == 2
  assert found["step_seconds"] == 4
  assert found["epoch_seconds"] == 4 * (200 // 32)
  assert found["run_seconds"] == 4 * 12


def test_what_the_compiler_refuses_does_not_fit():
  message = (
    "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 17.20G of 15.75G "
    "hbm. Exceeded hbm capacity by 1.45G."
  )
  made = plan._refused(registry.build(TOY, data="host"), MESH, "v5e:2x4", message)
  assert made.fits is False
  assert made.exceeds_bytes == int(1.45 * 2**30)
  assert made.temporary_bytes == int(17.2 * 2**30)
  assert made.step_seconds is None and made.run_seconds is None
  assert plan.as_text(made).endswith("does NOT fit: 1.4 GiB too many")


def test_the_compilers_other_way_of_refusing_is_understood():
  message = (
    "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
    "temporaries (43.16G) exceeds available HBM (15.75G)."
  )
  made = plan._refused(registry.build(TOY, data="host"), MESH, "v5e:2x4", message)
  assert made.fits is False
  assert made.exceeds_bytes == pytest.approx((43.16 - 15.75) * 2**30, abs=2)
  assert made.temporary_bytes == int(43.16 * 2**30)


def test_another_error_of_the_compiler_is_no_lack_of_memory():
  with pytest.raises(InputError, match="does not compile: INTERNAL"):
    plan._refused(registry.build(TOY, data="host"), MESH, "", "INTERNAL: x")


def planned_up_to(limit, tried, refused=()):
  """What makes plans of batches: `refused` cannot be, the others fit up to a limit."""

  def make(batch):
    tried.append(batch)
    if batch in refused:
      raise InputError("This batch cannot be.")
    return plan.Plan(**{**dict.fromkeys(plan.Plan._fields), "fits": batch <= limit})

  return make


@pytest.mark.parametrize(("limit", "found"), [(100, 96), (7, 0), (8, 8), (10**6, 128)])
def test_the_largest_batch_is_found_by_bisection(limit, found):
  tried = []
  make = planned_up_to(limit, tried)
  rows, made = plan.largest_batch(make, range(8, 129, 8))
  assert rows == found
  assert (made is None) == (found == 0)
  assert len(tried) <= 5


@pytest.mark.parametrize(("limit", "found"), [(100, 64), (7, 0), (60, 32), (999, 128)])
def test_batches_that_a_method_refuses_are_passed_over(limit, found):
  known = range(8, 129, 8)
  refused = {batch for batch in known if 128 % batch}
  rows, made = plan.largest_batch(planned_up_to(limit, [], refused), known)
  assert rows == found
  assert made is None or made.fits


def test_batches_split_over_the_mesh_and_divide_the_queue():
  made = registry.build(TOY, data="host")
  assert plan.batches(made, MESH, most=4096) == [8, 16, 32, 64]  # a queue of 64
  assert plan.batches(made, MESH, most=50) == [8, 16, 32]
  made = registry.build(TOY, data="host", accumulate=2)
  assert plan.batches(made, MESH, most=4096) == [16, 32, 64]
  without = registry.build("simclr_digits")
  assert plan.batches(without, MESH, most=32) == [8, 16, 24, 32]
  assert plan.batches(without, MESH, most=10**6)[-1] == 1296  # of 1,297 examples


def test_a_larger_batch_is_found_beside_a_queue(capsys):
  command = ["plan", TOY, "--data", "host", "--find-batch", "200", "--json"]
  assert cli.main(command) == 0
  said = capsys.readouterr()
  assert json.loads(said.out)["largest_batch"] == 64
  assert "up to 64: 64" in said.err


def test_a_plan_that_does_not_fit_is_shown_with_a_batch_that_does(monkeypatch, capsys):
  need = plan.plan(registry.build(TOY, data="host", batch=16), MESH)
  room = sum(getattr(need, name) for name in plan.MEMORY)
  monkeypatch.setattr(plan, "memory_of", lambda mesh, topology: room)
  assert cli.main(["plan", TOY, "--data", "host", "--batch", "64", "--json"]) == 2
  found = json.loads(capsys.readouterr().out)
  assert found["batch"] == 64 and found["fits"] is False
  assert found["largest_batch"] == 16


@pytest.mark.parametrize("most", ["4", "0", "-5"])
def test_too_small_a_range_for_the_largest_batch_is_refused(capsys, most):
  assert cli.main(["plan", TOY, "--data", "host", "--find-batch", most, "--json"]) == 2
  said = capsys.readouterr()
  assert said.out == "" and "from 8 on, an example for each of 8" in said.err
  assert f"; {most} is less" in said.err


def test_no_batch_is_looked_for_where_the_memory_is_not_known(monkeypatch, capsys):
  monkeypatch.setattr(plan, "memory_of", lambda mesh, topology: None)
  assert cli.main(["plan", TOY, "--data", "host", "--find-batch", "64"]) == 2
  assert "memory of this device is not known" in capsys.readouterr().err


@pytest.mark.parametrize(
  "topology",
  [
    *("v5:4x4", "v5e", "v5e:4", "h100:8", "v5e:4x4x4", "v5e:0x4", "v4:4x4", "v5p:4x4"),
    *("v5e:32x32", "v5e:2x32", "v6e:16x32", "v4:16x16x32", "v5p:32x32x32", "v5e:4x-4"),
  ],
)
def test_an_unknown_topology_lists_the_known(topology, monkeypatch):
  from jax.experimental import topologies

  def ask(*_, **__):
    raise AssertionError("libtpu may end the process over this")

  monkeypatch.setattr(topologies, "get_topology_desc", ask)
  with pytest.raises(InputError, match="Known are v4, v5e, v5p, v6e.*v5e:16x16, v5p"):
    plan.devices_of(topology)


def test_without_libtpu_the_error_says_how_to_install_it(monkeypatch):
  from jax.experimental import topologies

  def refuse(*_, **__):
    raise RuntimeError("no plugin")

  monkeypatch.setattr(topologies, "get_topology_desc", refuse)
  monkeypatch.setitem(sys.modules, "libtpu", None)
  with pytest.raises(InputError, match="pip install libtpu"):
    plan.devices_of("v5e:4x4")


def test_a_slice_that_does_not_exist_lists_the_known(monkeypatch):
  from jax.experimental import topologies

  def refuse(*_, **__):
    raise RuntimeError("Invalid topology: 3x5")

  monkeypatch.setattr(topologies, "get_topology_desc", refuse)
  monkeypatch.setitem(sys.modules, "libtpu", types.ModuleType("libtpu"))
  with pytest.raises(InputError, match=r"no slice v5e:3x5: Invalid .*Known are v4"):
    plan.devices_of("v5e:3x5")


@pytest.mark.parametrize(
  "topology", ["v4:2x2x4", "v5e:2x2", "v5e:16x16", "v5p:2x2x4", "v6e:2x2"]
)
def test_every_kind_of_slice_makes_a_mesh(topology):
  pytest.importorskip("libtpu")
  devices = plan.devices_of(topology)
  assert make_mesh("", devices).size == len(devices)


def test_a_small_step_is_compiled_for_a_slice(capsys):
  pytest.importorskip("libtpu")
  assert cli.main(["plan", "simclr_digits", "--topology", "v5e:2x2", "--json"]) == 0
  found = json.loads(capsys.readouterr().out)
  assert found["fits"] and found["temporary_bytes"] < 2**30
  assert found["step_seconds"] > 0
  moved = {kind: x["count"] for kind, x in found["collectives"].items()}
  assert set(moved) <= {"all-reduce", "all-gather", "reduce-scatter"}


def test_a_step_for_a_slice_is_compiled_again_beside_a_cache():
  """Reading it back from there fails: it was made without a client."""
  pytest.importorskip("libtpu")
  mesh = make_mesh("", plan.devices_of("v5e:2x2"))
  lowered = plan.lower(registry.build(TOY, data="host"), mesh)
  for _ in range(2):
    assert plan._memory(plan._compile(lowered))["argument_bytes"]


def given_views(monkeypatch, topology, *, meet=True, **options):
  """The plan of SimCLR's step on views as the benchmark `compiled.py` gives them."""
  pytest.importorskip("libtpu")
  folder = pathlib.Path(__file__).parents[1] / "benchmarks"
  monkeypatch.syspath_prepend(folder)
  compiled = importlib.import_module("compiled")
  mesh = make_mesh("", plan.devices_of(topology))
  options = types.SimpleNamespace(**options)
  run = compiled.run_of(mesh, options, "bfloat16", "none")
  contrast = {} if meet else {"contrast": compiled.own_rows}
  made = compiled.given_views(options.encoder, run, options, **contrast)
  return plan.plan(made, mesh, topology=topology)


def counted(found):
  return {kind: moved["count"] for kind, moved in found.collectives.items()}


@pytest.mark.slow
def test_the_step_of_a_resnet50_on_a_slice(monkeypatch):
  """SimCLR on given views, bfloat16, 128 images a chip.

  Gradients, batch statistics and the loss take 103 all-reduces, as many as the step has
  whose rows don't meet. That they do adds one gather of the embeddings.
  """
  size = {"encoder": "resnet50", "size": 224, "images": 128}
  found = given_views(monkeypatch, "v5e:4x4", **size)
  assert found.bytes_accessed <= 8.0e10
  assert found.temporary_bytes <= 8.0 * 2**30
  moved = counted(found)
  assert moved["all-gather"] == 1 and sum(moved.values()) <= 104
  assert set(moved) == {"all-reduce", "all-gather"}


def test_the_rows_of_a_small_step_on_a_slice_meet_once(monkeypatch):
  size = {"encoder": "convnet", "size": 8, "images": 2}
  found = given_views(monkeypatch, "v5e:2x2", **size)
  assert found.fits and found.temporary_bytes < 2**30
  alone = given_views(monkeypatch, "v5e:2x2", meet=False, **size)
  assert counted(found) == {"all-gather": 1, **counted(alone)}
  rows, width = 2 * 2 * 4, 128  # two views of two images of four chips
  assert found.collectives["all-gather"]["bytes"] == 4 * rows * width


class Device(NamedTuple):
  device_kind: str


@pytest.mark.parametrize(
  ("kind", "chip"),
  [
    ("TPU v5 lite", plan.CHIPS["v5e"]),
    ("TPU v4", plan.CHIPS["v4"]),
    ("NVIDIA H200", plan.GPUS["H200"]),
    ("NVIDIA A100-SXM4-40GB", plan.GPUS["A100"]),
    ("NVIDIA GH200 480GB", None),
    ("cpu", None),
  ],
)
def test_chips_that_are_here_are_known_by_name(kind, chip):
  assert plan.chip_of(Device(kind), "") == chip


def limited(monkeypatch, limit):
  """Plans that fit up to a batch; the batches that are tried."""
  tried = []

  def make(experiment, mesh, *, topology, fast):
    rows = experiment.run.batch
    tried.append(rows)
    blank = plan._refused(experiment, mesh, topology, f"out of memory: Used {rows}G of")
    return blank if rows > limit else blank._replace(fits=True, exceeds_bytes=0)

  monkeypatch.setattr(plan, "plan", make)
  return tried


def test_a_step_that_does_not_fit_ends_the_command(monkeypatch, capsys):
  limited(monkeypatch, limit=48)
  assert cli.main(["plan", TOY, "--data", "host", "--batch", "128"]) == 2
  said = capsys.readouterr()
  assert "does NOT fit" in said.out and "too many" in said.out
  assert "largest batch that fits, up to 64: 32" in said.err  # a queue of 64


def test_a_larger_batch_is_looked_for_up_to_the_examples(monkeypatch, capsys):
  tried = limited(monkeypatch, limit=10**6)
  assert cli.main(["plan", "simclr_digits", "--find-batch", "4096", "--json"]) == 0
  assert json.loads(capsys.readouterr().out)["largest_batch"] == 1296
  assert max(tried) == 1296


def test_blank_images_take_no_memory_and_stand_in_for_data():
  data = open_data("blank:1000000x64x64x3")
  assert len(data.train) == 1_000_000
  assert data.train[jax.numpy.arange(3)]["input"].shape == (3, 64, 64, 3)
  with pytest.raises(InputError, match="blank:1000x256x256x3"):
    open_data("blank:64x64x3")


def test_imagenet_is_planned_without_imagenet():
  entry = registry.find("simclr_imagenet")
  settings = plan.without_data(entry, registry.defaults(entry))
  assert settings["data"] == "blank:1281167x256x256x3"
  for data in ("cifar10", "fashion_mnist", "imagenette"):
    other = registry.find(f"simclr_{data}")
    known = registry.defaults(other)
    assert plan.without_data(other, known)["data"].startswith("blank:")


@pytest.mark.parametrize("name", ["colorization", "colorization_regression"])
def test_images_that_stand_for_others_have_a_colour(name):
  entry = registry.find(f"{name}_imagenette")
  settings = plan.without_data(entry, registry.defaults(entry))
  assert settings["data"].startswith("blank:")
  made = registry.build(f"{name}_imagenette", **{**settings, "encoder": "convnet"})
  assert made.data.name == settings["data"].replace(":", " ")


@pytest.mark.parametrize(
  ("name", "setting", "stand_in"),
  [
    ("seed_imagenet", "teacher", "blank:moco_v2_imagenet"),
    ("seed_cifar10", "teacher", "blank:moco_v2_cifar10"),
    ("beit_imagenet", "tokenizer", "blank:dvae_imagenet"),
    ("beit_digits", "tokenizer", "kmeans"),
    ("clip_captions", "tokenizer", ""),
  ],
)
def test_runs_that_a_plan_does_without(name, setting, stand_in):
  entry = registry.find(name)
  settings = plan.without_data(entry, registry.defaults(entry))
  assert settings[setting] == stand_in


@pytest.mark.parametrize("name", ["seed_digits", "beit_digits"])
def test_a_blank_run_is_one_of_zeros(name):
  settings = {"teacher": "blank:moco_v2_digits", "tokenizer": "blank:dvae_digits"}
  entry = registry.find(name)
  known = {n: x for n, x in settings.items() if n in registry.defaults(entry)}
  made = registry.build(name, batch=16, **known)
  step = plan.lower(made, MESH)
  assert "stablehlo.dot" in step.as_text()


def test_a_blank_tokenizer_of_another_method_is_refused():
  with pytest.raises(InputError, match="a run of SimCLR; a tokenizer is"):
    registry.build("beit_digits", tokenizer="blank:simclr_digits")


def test_the_command_prints_json(capsys):
  assert cli.main(["plan", TOY, "--data", "host", "--json"]) == 0
  found = json.loads(capsys.readouterr().out)
  keys = {"fits", "temporary_bytes", "argument_bytes", "flops", "bytes_accessed"}
  assert keys | {"collectives"} <= set(found)


def test_a_search_does_not_take_an_error_of_the_compiler_for_a_rule_of_the_method():
  def make(rows):
    raise plan.DoesNotCompile("INTERNAL")

  with pytest.raises(plan.DoesNotCompile):
    plan.largest_batch(make, range(8, 64, 8))
