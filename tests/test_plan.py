"""Plans: what the compiler says of a step, for devices here and elsewhere."""

import json
import pathlib

import jax
import pytest

from jaxssl import cli, plan, registry
from jaxssl.data import open_data
from jaxssl.errors import InputError
from jaxssl.mesh import make_mesh

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


def test_the_work_of_many_micro_batches_is_that_of_four_scaled():
  mesh = make_mesh("data=8")
  made = registry.build(TOY, data="host", batch=64, accumulate=8)
  found = plan._work_of_turns(made, mesh)
  whole = plan._work(plan.lower(made, mesh, unroll=True).compile())
  assert found["flops"] == pytest.approx(whole["flops"], rel=0.1)
  assert set(found["collectives"]) == set(whole["collectives"])


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


HLO = """
  %a = f32[8,4]{1,0} all-reduce(f32[8,4]{1,0} %x), replica_groups={}
  %b = (bf16[2,3]{1,0}, bf16[16,3]{1,0}) all-gather-start(bf16[2,3]{1,0} %y)
  %c = bf16[16,3]{1,0} all-gather-done((bf16[2,3], bf16[16,3]) %b)
  %d = (f32[5]{0}, f32[]) all-reduce(f32[5]{0} %p, f32[] %q), to_apply=%add
"""


def test_collectives_are_counted_with_their_bytes():
  found = plan.collectives(HLO)
  assert found["all-reduce"] == {"count": 2, "bytes": 4 * 32 + 4 * 6}
  assert found["all-gather"]["count"] == 1
  assert set(found) == {"all-reduce", "all-gather"}


def test_what_the_compiler_refuses_does_not_fit():
  message = (
    "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 17.20G of 15.75G "
    "hbm. Exceeded hbm capacity by 1.45G."
  )
  made = plan._refused(
    registry.build(TOY), make_mesh("data=8"), "v5e:2x4", plan.CHIPS["v5e"], message
  )
  assert not made.fits
  assert made.exceeds_bytes == int(1.45 * 2**30)
  assert "does NOT fit: 1.4 GiB too many" in plan.as_text(made)


def test_another_error_of_the_compiler_is_no_lack_of_memory():
  with pytest.raises(InputError, match="does not compile: INTERNAL"):
    plan._refused(registry.build(TOY), make_mesh("data=8"), "", None, "INTERNAL: x")


@pytest.mark.parametrize(("limit", "found"), [(100, 96), (7, 0), (8, 8), (10**6, 128)])
def test_the_largest_batch_is_found_by_bisection(limit, found):
  tried = []

  def make(batch):
    tried.append(batch)
    return plan.Plan(**{**dict.fromkeys(plan.Plan._fields), "fits": batch <= limit})

  rows, made = plan.largest_batch(make, unit=8, most=128)
  assert rows == found
  assert (made is None) == (found == 0)
  assert len(tried) <= 5


@pytest.mark.parametrize("topology", ["v5:4x4", "v5e", "v5e:4", "h100:8"])
def test_an_unknown_topology_lists_the_known(topology):
  with pytest.raises(InputError, match="Known are v4, v5e, v5p, v6e"):
    plan.devices_of(topology)


def test_without_libtpu_the_error_says_how_to_install_it():
  try:
    import libtpu  # noqa: F401
  except ImportError:
    with pytest.raises(InputError, match="pip install libtpu"):
      plan.devices_of("v5e:4x4")


def test_blank_images_take_no_memory_and_stand_in_for_data():
  data = open_data("blank:1000000x64x64x3")
  assert len(data.train) == 1_000_000
  assert data.train[jax.numpy.arange(3)]["input"].shape == (3, 64, 64, 3)
  with pytest.raises(InputError, match="blank:1000x256x256x3"):
    open_data("blank:64x64x3")


def test_imagenet_is_planned_without_imagenet():
  entry = registry.find("simclr_imagenet")
  settings = plan.without_data(registry.defaults(entry))
  assert settings["data"] == "blank:1281167x256x256x3"


def test_the_command_prints_json(capsys):
  assert cli.main(["plan", TOY, "--data", "host", "--json"]) == 0
  found = json.loads(capsys.readouterr().out)
  keys = {"fits", "temporary_bytes", "argument_bytes", "flops", "bytes_accessed"}
  assert keys | {"collectives"} <= set(found)
