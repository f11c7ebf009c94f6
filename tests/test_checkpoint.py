"""Whole runs saved and restored: exact state, damage, full disks, kills, layouts."""

import functools
import json
import logging
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxssl.checkpoint import (
  CheckpointError,
  Checkpoints,
  load_weights,
  save_weights,
)
from jaxssl.errors import InputError
from tests.damage import reads_damage

ROOT = pathlib.Path(__file__).parent.parent


class Extra(NamedTuple):
  queue: jax.Array
  keys: jax.Array
  nothing: None
  unused: jax.Array


class State(NamedTuple):
  step: jax.Array
  key: jax.Array
  params: dict
  opt_state: tuple
  extra: Extra


def make(step):
  """A state of every kind of leaf, all of it a function of `step`."""
  key = jax.random.key(step)
  kernel = jax.random.normal(key, (5, 3))
  params = {"Dense_0": {"kernel": kernel, "bias": jnp.ones(3, jnp.bfloat16) * step}}
  opt_state = (jax.tree.map(jnp.square, params), (), jnp.asarray(step > 1))
  extra = Extra(kernel.T, jax.random.split(key, 4), None, jnp.zeros((0, 2)))
  return State(jnp.asarray(step, jnp.int32), key, params, opt_state, extra)


def small(step):
  return {"step": jnp.asarray(step, jnp.int32), "key": jax.random.key(step)}


def shape(*dims, dtype=jnp.float32):
  return jax.ShapeDtypeStruct(dims, dtype)


def bits(x):
  is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
  return np.asarray(jax.random.key_data(x) if is_key else x)


def assert_same(actual, expected):
  assert jax.tree.structure(actual) == jax.tree.structure(expected)
  for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    assert bits(a).tobytes() == bits(b).tobytes()


def save_all(folder, *steps, keep=3, build=small):
  with Checkpoints(folder, keep=keep) as checkpoints:
    for step in steps:
      assert checkpoints.save(step, build(step), {"step": step})


def steps_in(folder):
  with Checkpoints(folder) as checkpoints:
    return checkpoints.steps()


def files(folder):
  paths = sorted(path for path in folder.rglob("*") if path.is_file())
  return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def run_python(code, *args, wait=True):
  """Starts a fresh process with the functions of this file under the name `t`."""
  lines = "import sys, jax, tests.test_checkpoint as t\n" + code
  process = subprocess.Popen(
    [sys.executable, "-c", lines, *map(str, args)],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  if wait:
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    return out
  return process


# What is saved comes back.


@pytest.mark.parametrize("abstract", [False, True])
def test_restores_every_leaf_bit_by_bit(tmp_path, abstract):
  save_all(tmp_path, 1, 2, build=make)
  like = jax.eval_shape(lambda: make(0)) if abstract else make(0)
  with Checkpoints(tmp_path) as checkpoints:
    restored = checkpoints.restore(like)
  assert (restored.step, restored.meta, restored.skipped) == (2, {"step": 2}, [])
  assert_same(restored.state, make(2))
  assert isinstance(restored.state.extra, Extra)
  draw = jax.random.uniform(restored.state.key)
  assert draw == jax.random.uniform(jax.random.key(2))


def test_meta_returns_as_it_was(tmp_path):
  meta = {"seed": 3, "next": [1, 2], "name": "größe", "nested": {"x": 1.5, "y": None}}
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(1, small(1), meta)
    assert checkpoints.restore(small(0)).meta == meta


def test_numbers_and_numpy_leaves_are_saved_as_they_were_then(tmp_path):
  array = np.arange(6, dtype=np.float32)
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(1, {"a": array, "n": 3}, {})
    array[:] = -1.0
    state = checkpoints.restore({"a": array, "n": 0}).state
  np.testing.assert_array_equal(state["a"], np.arange(6))
  assert state["n"] == 3


@pytest.mark.parametrize(("keep", "left"), [(1, [4]), (2, [3, 4]), (9, [1, 2, 3, 4])])
def test_keeps_the_newest(tmp_path, keep, left):
  save_all(tmp_path, 1, 2, 3, 4, keep=keep)
  assert steps_in(tmp_path) == left


def test_steps_are_sorted_as_numbers(tmp_path):
  save_all(tmp_path, 9, 10, 100)
  (tmp_path / "notes").mkdir()
  (tmp_path / "7").write_text("a file")
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.steps() == [9, 10, 100]
    assert checkpoints.restore(small(0)).step == 100


@reads_damage
def test_reading_changes_nothing_on_disk(tmp_path):
  folder = tmp_path / "absent"
  with Checkpoints(folder) as checkpoints:
    assert checkpoints.steps() == []
  assert not folder.exists()
  save_all(folder, 1, 2)
  (folder / "3.orbax-checkpoint-tmp").mkdir()
  shutil.rmtree(folder / "2" / "state")
  before = files(folder)
  with Checkpoints(folder) as checkpoints:
    assert checkpoints.restore(small(0)).step == 1
  assert files(folder) == before
  assert (folder / "3.orbax-checkpoint-tmp").exists()


def test_buffers_may_be_donated_as_soon_as_save_returns(tmp_path):
  @functools.partial(jax.jit, donate_argnums=0)
  def advance(state):
    return jax.tree.map(lambda x: x + 1.0, state)

  state = advance({f"w{i}": jnp.full((300, 1000), float(i)) for i in range(4)})
  with Checkpoints(tmp_path) as checkpoints:
    for step in (1, 2, 3):
      expected = jax.tree.map(np.array, state)
      checkpoints.save(step, state, {})
      for _ in range(5):
        state = advance(state)
      restored = checkpoints.restore(state)
      assert restored.step == step
      assert_same(restored.state, expected)


# One layout of devices to another.


def layouts():
  many, one = Mesh(jax.devices(), "data"), Mesh(jax.devices()[:1], "data")
  return {
    "one": NamedSharding(one, PartitionSpec()),
    "replicated": NamedSharding(many, PartitionSpec()),
    "split": NamedSharding(many, PartitionSpec("data")),
  }


@pytest.mark.parametrize(
  ("before", "after"),
  [("one", "replicated"), ("replicated", "one"), ("split", "one"), ("one", "split")],
)
def test_moves_between_layouts(tmp_path, before, after):
  state = {"w": jnp.arange(16.0), "keys": jax.random.split(jax.random.key(1), 8)}
  old = jax.device_put(state, layouts()[before])
  like = jax.device_put(jax.tree.map(lambda x: x[::-1], state), layouts()[after])
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(1, old, {})
    restored = checkpoints.restore(like)
  assert restored.skipped == []
  assert_same(restored.state, state)
  for x in jax.tree.leaves(restored.state):
    assert x.sharding.is_equivalent_to(layouts()[after], x.ndim)


def test_leaves_without_a_sharding_go_to_the_default_device(tmp_path):
  replicated = jax.device_put(small(1), layouts()["replicated"])
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(1, replicated, {})
    state = checkpoints.restore(jax.eval_shape(lambda: small(0))).state
  assert {d for x in state.values() for d in x.devices()} == {jax.devices()[0]}


# What may not be saved, and what does not fit.


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_state_that_is_not_finite_is_not_saved(tmp_path, value, dtype):
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.save(1, {"a": jnp.ones(2), "n": jnp.arange(3)}, {})
    bad = {"a": jnp.ones(2), "n": jnp.asarray([1.0, value], dtype)}
    assert not checkpoints.save(2, bad, {})
    checkpoints.wait()
    assert checkpoints.steps() == [1]


def test_no_checkpoint(tmp_path):
  with (
    Checkpoints(tmp_path) as checkpoints,
    pytest.raises(InputError, match=f"no checkpoint in {tmp_path}; train first"),
  ):
    checkpoints.restore(small(0))


@pytest.mark.parametrize(
  ("like", "message"),
  [
    ({"a": {"b": shape(3)}}, r"a/b is float32\[2,2\] there and float32\[3\] here\."),
    ({"a": {"b": shape(2, 2, dtype=jnp.int32)}}, r"there and int32\[2,2\] here\."),
    ({"a": {}}, r"a/b is float32\[2,2\] there and absent here\."),
    ({"a": {"b": shape(2, 2), "c": shape(1)}}, "a/c is absent there and float32"),
    ({f"x{i}": shape(1) for i in range(4)}, "; and 2 more. Build the run with"),
  ],
)
def test_another_model_names_the_leaves_that_differ(tmp_path, like, message):
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(7, {"a": {"b": jnp.ones((2, 2))}}, {})
    with pytest.raises(InputError, match=message) as caught:
      checkpoints.restore(like)
  assert str(caught.value).startswith(f"checkpoint 7 in {tmp_path} holds another model")


def test_bad_arguments(tmp_path):
  with pytest.raises(InputError, match="keep=0 would keep no checkpoint"):
    Checkpoints(tmp_path, keep=0)
  with Checkpoints(tmp_path) as checkpoints:
    with pytest.raises(InputError, match="meta is not JSON"):
      checkpoints.save(1, small(1), {"a": jnp.ones(2)})
    with pytest.raises(InputError, match="two leaves are called 'a/b'"):
      checkpoints.save(1, {"a/b": jnp.ones(1), "a": {"b": jnp.ones(1)}}, {})


def test_a_step_before_a_checkpoint_that_was_not_restored_is_refused(tmp_path):
  save_all(tmp_path, 40)
  with (
    Checkpoints(tmp_path) as checkpoints,
    pytest.raises(InputError, match=r"checkpoint 40 .* newer than step 10"),
  ):
    checkpoints.save(10, small(10), {})
  assert steps_in(tmp_path) == [40]


def test_saving_a_step_again(tmp_path):
  save_all(tmp_path, 1, 2)
  record = tmp_path / "2" / "meta" / "metadata"
  before = record.stat().st_ino, record.stat().st_mtime_ns
  save_all(tmp_path, 2)
  assert (record.stat().st_ino, record.stat().st_mtime_ns) == before
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.save(2, small(5), {})
    assert checkpoints.restore(small(0)).state["step"] == 5
    assert checkpoints.steps() == [1, 2]


# Damage.


def damage(path, rng):
  """Flips a byte, some bytes, cuts the file short, empties or removes it."""
  content = bytearray(path.read_bytes())
  for _ in range(rng.choice([1, 1, 8])):
    content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
  short = content[: rng.randrange(len(content))]
  path.write_bytes(rng.choice([content, content, content, short, b""]))
  if rng.random() < 0.1:
    path.unlink()


@reads_damage
def test_no_damage_to_any_file_gives_a_wrong_state(tmp_path):
  good, bad = tmp_path / "good", tmp_path / "bad"
  save_all(good, 1, 2, build=make)
  rng, fallbacks = random.Random(0), 0
  for name in [*files(good / "2")] * 3:
    shutil.copytree(good, bad)
    damage(bad / "2" / name, rng)
    with Checkpoints(bad) as checkpoints:
      step, state, meta, skipped = checkpoints.restore(make(0))
    assert_same(state, make(step))
    assert meta == {"step": step}
    assert len(skipped) == (step == 1)
    fallbacks += step == 1
    shutil.rmtree(bad)
  assert fallbacks >= 5  # some files are not read


def damage_leaf(folder, step):
  """Flips a byte of the file that holds the arrays, where orbax does not notice."""
  path = max((folder / str(step) / "state").rglob("d/*"), key=os.path.getsize)
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)


def big(step):
  return {"w": jax.random.normal(jax.random.key(step), (5000,)), "n": jnp.ones(2)}


@reads_damage
def test_falls_back_and_says_so_and_writes_the_step_again(tmp_path):
  save_all(tmp_path, 10, 20, 30, 40, keep=4, build=big)
  damage_leaf(tmp_path, 40)
  shutil.rmtree(tmp_path / "30" / "meta")
  with Checkpoints(tmp_path, keep=4) as checkpoints:
    restored = checkpoints.restore(big(0))
    assert_same(restored.state, big(20))
    first, second = restored.skipped
    assert first == "checkpoint 40: leaf w does not match its digest; used 20 instead"
    assert second.startswith("checkpoint 30: ")
    assert second.endswith("; used 20 instead")
    for step in (30, 40):
      assert checkpoints.save(step, big(step), {})
      checkpoints.wait()
      assert checkpoints.steps()[-1] == step
  with Checkpoints(tmp_path) as checkpoints:
    restored = checkpoints.restore(big(0))
  assert (restored.step, restored.skipped) == (40, [])
  assert_same(restored.state, big(40))


@reads_damage
def test_a_damaged_step_does_not_push_out_good_ones(tmp_path):
  save_all(tmp_path, 10, 40, keep=2, build=big)
  damage_leaf(tmp_path, 40)
  with Checkpoints(tmp_path, keep=1) as checkpoints:
    assert checkpoints.restore(big(0)).step == 10
    checkpoints.save(25, big(25), {})
  assert steps_in(tmp_path) == [25]


@reads_damage
def test_all_damaged(tmp_path):
  save_all(tmp_path, 1, 2, build=big)
  damage_leaf(tmp_path, 1)
  shutil.rmtree(tmp_path / "2")
  (tmp_path / "2").mkdir()
  with (
    Checkpoints(tmp_path) as checkpoints,
    pytest.raises(CheckpointError, match=r"checkpoint 2: .*checkpoint 1: leaf w does"),
  ):
    checkpoints.restore(big(0))


@pytest.mark.parametrize(
  ("edit", "message"),
  [
    ({"meta": {"step": 7}}, "its record of digests does not match its own digest"),
    ({"leaves": {}}, "its record of digests does not match its own digest"),
    ({"sha256": ""}, "its record of digests does not match its own digest"),
  ],
)
def test_an_edited_record_is_noticed(tmp_path, edit, message):
  save_all(tmp_path, 1, 2)
  path = tmp_path / "2" / "meta" / "metadata"
  path.write_text(json.dumps({**json.loads(path.read_text()), **edit}))
  with Checkpoints(tmp_path) as checkpoints:
    assert message in checkpoints.restore(small(0)).skipped[0]


def test_a_renamed_step_is_noticed(tmp_path):
  save_all(tmp_path, 1, 2)
  (tmp_path / "2").rename(tmp_path / "3")
  with Checkpoints(tmp_path) as checkpoints:
    restored = checkpoints.restore(small(0))
  assert restored.skipped == ["checkpoint 3: it holds step 2; used 1 instead"]


# Full disks and kills.

FULL_DISK = """
import resource
def limit(size):
  hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
  resource.setrlimit(resource.RLIMIT_FSIZE, (size or hard, hard))
def attempt(call):
  try:
    call()
  except t.CheckpointError as error:
    print(error)
folder, size = sys.argv[1], int(sys.argv[2])
def fill():
  with t.Checkpoints(folder, keep=1) as checkpoints:
    checkpoints.save(1, t.big(1), {"step": 1})
    checkpoints.wait()
    limit(size)
    attempt(lambda: (checkpoints.save(2, t.big(2), {}), checkpoints.wait()))
    attempt(lambda: [checkpoints.save(step, t.big(step), {}) for step in (3, 4)])
    limit(0)
    checkpoints.save(5, t.big(5), {"step": 5})
    checkpoints.wait()
    limit(size)
    checkpoints.save(6, t.big(6), {})
attempt(fill)
limit(0)
"""


@pytest.mark.parametrize("size", [100, 4096])
def test_a_full_disk_is_said_and_leaves_the_last_checkpoint(tmp_path, size):
  out = run_python(FULL_DISK, tmp_path, size).splitlines()
  assert len(out) == 3  # at wait, at the next save, at close
  for line, (step, valid) in zip(out, [(2, 1), (3, 1), (6, 5)], strict=True):
    assert line.startswith(f"checkpoint {step} could not be written to {tmp_path} (")
    assert line.endswith(f"File too large); {valid} is still valid")
  assert steps_in(tmp_path) == [5]
  with Checkpoints(tmp_path, keep=1) as checkpoints:
    restored = checkpoints.restore(big(0))
    assert (restored.step, restored.skipped) == (5, [])
    assert_same(restored.state, big(5))
    checkpoints.save(6, big(6), {})
  assert [path.name for path in tmp_path.iterdir()] == ["6"]  # nothing half-written


def test_an_error_of_the_body_is_not_hidden_by_a_failed_save(tmp_path, monkeypatch):
  with pytest.raises(KeyError, match="body") as caught, Checkpoints(tmp_path) as c:
    monkeypatch.setattr(c._manager, "wait_until_finished", lambda: 1 / 0)
    raise KeyError("body")
  assert "could not be written" in caught.value.__notes__[0]


ENDLESS = """
import itertools
with t.Checkpoints(sys.argv[1]) as checkpoints:
  start = 0 if not checkpoints.steps() else checkpoints.restore(t.big(0)).step
  for step in itertools.count(start + 1):
    checkpoints.save(step, t.big(step), {"step": step})
    print(step, flush=True)
"""


def test_kills_leave_a_state_that_was_saved(tmp_path):
  rng, last = random.Random(0), 0
  for _ in range(2):
    process = run_python(ENDLESS, tmp_path, wait=False)
    with process:
      for _ in range(4):
        printed = int(process.stdout.readline())
      time.sleep(rng.uniform(0.0, 0.05))  # so that it dies anywhere within a save
      process.send_signal(signal.SIGKILL)
    with Checkpoints(tmp_path) as checkpoints:
      restored = checkpoints.restore(big(0))
    assert restored.step >= printed - 1 > last
    assert (restored.skipped, restored.meta) == ([], {"step": restored.step})
    assert_same(restored.state, big(restored.step))
    last = restored.step


PROCESSES = """
import os, pathlib
import numpy as np
from jax.experimental.multihost_utils import sync_global_devices
folder, port, rank = sys.argv[1], sys.argv[2], int(sys.argv[3])
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=rank)
mesh = t.Mesh(jax.devices(), "data")
split = t.NamedSharding(mesh, t.PartitionSpec("data"))
whole = t.NamedSharding(mesh, t.PartitionSpec())
def build(step):
  w = np.random.RandomState(step).rand(1 << 16).astype(np.float32)
  key = jax.jit(lambda: jax.random.key(step), out_shardings=whole)()
  return {"w": jax.make_array_from_callback(w.shape, split, lambda i: w[i]), "k": key}
def restored():
  step, state, _, _ = checkpoints.restore(build(0))
  same = jax.jit(lambda a, b: jax.tree.map(lambda x, y: (x == y).all(), a, b))
  assert all(jax.tree.leaves(same(state, build(step))))
  return step
with t.Checkpoints(folder, keep=2) as checkpoints:
  for step in (1, 2, 3):
    assert checkpoints.save(step, build(step), {})
  assert restored() == 3
  sync_global_devices("read")
  if rank == 0:  # only one process reads the rows in this file
    parts = pathlib.Path(folder, "3/state/ocdbt.process_1/d").iterdir()
    path = max(parts, key=os.path.getsize)
    path.write_bytes(path.read_bytes()[:1000])
  sync_global_devices("damaged")
  assert restored() == 2
  assert checkpoints.save(3, build(3), {})
  assert restored() == 3
"""


@pytest.mark.slow
def test_two_processes_save_restore_and_fall_back_together(tmp_path):
  with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
  started = [run_python(PROCESSES, tmp_path, port, i, wait=False) for i in range(2)]
  for process in started:
    _, errors = process.communicate()
    assert process.returncode == 0, errors
  assert steps_in(tmp_path) == [2, 3]


def test_leftovers_of_a_kill_are_ignored_and_cleared_by_the_next_save(tmp_path):
  save_all(tmp_path, 1, 2)
  (tmp_path / "2").rename(tmp_path / "2.orbax-checkpoint-tmp")
  with Checkpoints(tmp_path) as checkpoints:
    assert checkpoints.steps() == [1]
    assert checkpoints.restore(small(0)).step == 1
    checkpoints.save(2, small(2), {})
  assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_orbax_is_quiet_while_a_folder_is_open_and_only_then(tmp_path, caplog):
  with caplog.at_level(logging.DEBUG):
    save_all(tmp_path, 1)
  assert not [r for r in caplog.records if "orbax" in r.pathname]
  assert logging.getLogger("absl").filters == []


# Weights alone.


def test_weights_round_trip(tmp_path):
  path = tmp_path / "new" / "weights.safetensors"
  params = {"net": {"kernel": jnp.arange(6.0).reshape(2, 3).T, "scale": jnp.ones(())}}
  stats = {"norm": {"mean": jnp.full(2, 0.5, jnp.bfloat16), "n": jnp.arange(3)}}
  save_weights(path, params, stats, metadata={"method": "simclr"})
  weights = load_weights(path)
  assert_same(weights.params, params)
  assert_same(weights.stats, stats)
  assert weights.metadata == {"method": "simclr"}
  assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_weights_are_plain_safetensors(tmp_path):
  from safetensors.numpy import load_file

  path = tmp_path / "weights.safetensors"
  split = jax.device_put(jnp.arange(8.0), layouts()["split"])
  save_weights(path, {"a": {"w": split}}, {}, metadata={})
  loaded = load_file(path)
  assert list(loaded) == ["params/a/w"]
  np.testing.assert_array_equal(loaded["params/a/w"], np.arange(8.0))


def test_weights_errors(tmp_path):
  path = tmp_path / "weights.safetensors"
  with pytest.raises(InputError, match=r"cannot read weights from .*No such file"):
    load_weights(path)
  path.write_bytes(b"not weights")
  with pytest.raises(InputError, match="cannot read weights"):
    load_weights(path)
  with pytest.raises(InputError, match="must map str to str"):
    save_weights(path, {}, {}, metadata={"step": 3})
  with pytest.raises(InputError, match="params/key is a PRNG key"):
    save_weights(path, {"key": jax.random.key(0)}, {}, metadata={})


def test_weights_of_others_are_refused(tmp_path):
  from safetensors.numpy import save_file

  path = tmp_path / "weights.safetensors"
  save_file({"encoder.weight": np.ones(2, np.float32)}, path)
  with pytest.raises(InputError, match="has no params/ and stats/"):
    load_weights(path)
