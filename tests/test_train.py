"""The loop: folders, logs, resumption, signals, failures, callbacks."""

import itertools
import json
import math
import os
import pathlib
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxssl
from jaxssl import core, feeds, results, runs, train
from jaxssl.checkpoint import Checkpoints
from jaxssl.data import ArraySource, DataSet, indices
from jaxssl.errors import InputError
from jaxssl.log import read_metrics
from jaxssl.mesh import data_mesh, make_mesh, replicated, rows_sharded
from tests.damage import reads_damage
from tests.saved import same

TOY = str(pathlib.Path(__file__).parent / "toy.py") + ":toy"
ONE = data_mesh(jax.devices()[:1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A run that nobody stopped, with what it said and what callbacks saw."""
  out, said, seen = tmp_path_factory.mktemp("runs") / "whole", [], []
  look = lambda step, state, metrics: seen.append((step, int(state.step), metrics))
  result = jaxssl.fit(
    jaxssl.build(TOY), out, callbacks=[look], mesh=ONE, say=said.append
  )
  return result, said, seen


def test_the_folder_holds_everything(whole):
  out = whole[0].out
  for name in ("config.json", "metrics.jsonl", "evaluation.json", "report.html"):
    assert (out / name).stat().st_size > 0
  assert list(out.glob("events.out.tfevents*"))
  assert list((out / "report").glob("*.png"))
  assert (out / "checkpoints" / "12" / "state").exists()
  config = json.loads((out / "config.json").read_text())
  assert config["settings"]["rate"] == 0.01


def test_metrics_are_logged_every_so_often(whole):
  rows = read_metrics(whole[0].out / "metrics.jsonl")
  assert [r["step"] for r in rows if "loss" in r] == [3, 6, 9, 12]
  assert [r["step"] for r in rows if "knn" in r] == [6, 12]
  assert all(math.isfinite(r["loss"]) for r in rows if "loss" in r)
  assert {"examples_per_second", "grad_norm"} <= set(rows[0])


def test_callbacks_see_every_log(whole):
  assert [(step, at) for step, at, _ in whole[2]] == [(n, n) for n in (3, 6, 9, 12)]
  assert all("loss" in metrics for _, _, metrics in whole[2])


def test_the_table_has_its_reference_rows(whole):
  rows = whole[0].table.rows
  assert [r["features"] for r in rows] == [
    "raw pixels",
    "untrained encoder",
    "trained encoder",
  ]
  assert all(0 <= r["knn"] <= 100 and r["few_label"]["1"] for r in rows)


def uninterrupted(experiment):
  """The last state of a run by the same feed: another program may round otherwise."""
  feed, state = feeds.make_feed(experiment, ONE), runs.make_init(experiment, ONE)()
  for _, args in feed.chunks(0, experiment.run.steps):
    state, _ = feed.advance(state, *args)
  return state


@pytest.mark.parametrize("data", ["resident", "host"])
def test_pitfall_11_an_interrupted_run_ends_like_one_that_was_not(tmp_path, data):
  experiment = jaxssl.build(TOY, data=data)

  def stop(step, state, metrics):
    if step == 6:
      os.kill(os.getpid(), signal.SIGTERM)

  out, said = tmp_path / "run", []
  with pytest.raises(train.Interrupted, match="SIGTERM at step 6.*--resume") as stopped:
    jaxssl.fit(experiment, out, callbacks=[stop], mesh=ONE, say=said.append)
  assert stopped.value.signum == signal.SIGTERM
  assert Checkpoints(out / "checkpoints").steps()[-1] == 6
  result = jaxssl.fit(runs.reopen(out), out, resume=True, mesh=ONE, say=said.append)
  assert "Going on from step 6." in said
  assert same(result.state, uninterrupted(experiment))
  steps = [r["step"] for r in read_metrics(out / "metrics.jsonl") if "loss" in r]
  assert steps == [3, 6, 9, 12]


@reads_damage
def test_a_damaged_checkpoint_is_passed_over(whole, tmp_path):
  out, said = tmp_path / "run", []
  stop = lambda step, state, metrics: step == 9 and os.kill(os.getpid(), signal.SIGINT)
  with pytest.raises(train.Interrupted, match="SIGINT at step 9"):
    jaxssl.fit(jaxssl.build(TOY), out, callbacks=[stop], mesh=ONE, say=said.append)
  for path in (out / "checkpoints" / "9" / "state").rglob("*"):
    if path.is_file() and path.stat().st_size > 100:
      damaged = bytearray(path.read_bytes())
      damaged[len(damaged) // 2] ^= 0xFF
      path.write_bytes(damaged)
  result = jaxssl.fit(runs.reopen(out), out, resume=True, mesh=ONE, say=said.append)
  assert "Going on from step 6." in said
  assert any("checkpoint 9" in line for line in said)
  assert same(result.state, whole[0].state)


def test_eight_devices_end_like_one(whole, tmp_path):
  result = jaxssl.fit(jaxssl.build(TOY), tmp_path / "run", mesh=data_mesh(), say=print)
  losses = lambda out: [
    row["loss"] for row in read_metrics(out / "metrics.jsonl") if "loss" in row
  ]
  np.testing.assert_allclose(losses(result.out), losses(whole[0].out), rtol=1e-3)


def test_a_loss_that_is_not_finite(tmp_path):
  out = tmp_path / "run"
  with pytest.raises(train.NonFiniteLoss, match="step 9 the loss .nan. .*number 7"):
    jaxssl.fit(jaxssl.build(TOY, nan_at=7), out, mesh=ONE, say=print)
  assert Checkpoints(out / "checkpoints").steps()[-1] == 6
  assert json.loads((out / "failed" / "step.json").read_text())["step"] == 7
  experiment = runs.reopen(out)
  shapes = jax.eval_shape(runs.make_init(experiment, ONE))
  with Checkpoints(out / "failed") as failed:
    state = failed.restore(shapes).state
  assert int(state.step) == 7
  batch = dict(np.load(out / "failed" / "batch.npz"))
  np.testing.assert_array_equal(
    batch["index"], indices(7, examples=200, batch=32, seed=0)
  )
  _, metrics = core.train_step(experiment.method, experiment.tx, state, batch)
  assert math.isnan(metrics["loss"])


def test_diverging_weights_are_not_committed(tmp_path):
  out = tmp_path / "run"
  with pytest.raises(train.NonFiniteLoss, match="was not finite"):
    jaxssl.fit(jaxssl.build(TOY, rate=1e38), out, mesh=ONE, say=print)
  assert Checkpoints(out / "checkpoints").steps() == [0]


def test_pitfall_17_a_collapse_is_said_in_a_sentence(tmp_path):
  experiment = jaxssl.build(TOY)
  method = experiment.method
  dead = lambda *args, **kwargs: jnp.ones_like(method.encode(*args, **kwargs))
  look = results.make_look(
    experiment._replace(method=method._replace(encode=dead)), ONE
  )
  found = look(runs.make_init(experiment, ONE)())
  assert "collapsing" in found["warning"]


def test_the_features_are_measured_wherever_the_run_is_logged(whole):
  rows = [r for r in read_metrics(whole[0].out / "metrics.jsonl") if "loss" in r]
  for row in rows:
    found = {n: x for n, x in row.items() if n.startswith("measure/")}
    assert len(found) == 9 and all(map(math.isfinite, found.values()))
  assert "measure/lidar" in whole[2][-1][2]  # callbacks see them too


def test_a_warning_is_said_where_it_begins(tmp_path):
  said, experiment = [], jaxssl.build(TOY)
  trainer = train.Trainer(experiment, tmp_path, ONE, (), said.append)
  for step, warning in enumerate((None, "flat", "flat", None, "flat")):
    trainer._warn(step, warning)
  assert said == ["Step 1: flat", "Step 4: flat"]


def test_warnings_that_differ_in_numbers_are_one_note():
  flat = lambda step, x: {"step": step, "warning": f"flat: {x:.2g} of 64."}
  rows = [flat(20, 0.02), flat(1000, 1e-5), {"step": 7, "warning": "NaN."}, {"step": 8}]
  assert results.notes(jaxssl.build(TOY), rows) == [
    "2 times from step 20 to 1,000: flat: 1e-05 of 64.",
    "Step 7: NaN.",
  ]


def test_out_that_holds_another_run(whole):
  with pytest.raises(InputError, match="holds a run already.*--resume"):
    jaxssl.fit(jaxssl.build(TOY), whole[0].out, mesh=ONE)


def test_resume_shows_changed_settings(whole):
  with pytest.raises(InputError, match="rate: 0.01 in the run, 0.5 asked"):
    runs.reopen(whole[0].out, rate=0.5)


def test_resume_without_a_checkpoint(tmp_path):
  out = runs.create(jaxssl.build(TOY), tmp_path / "run")
  with pytest.raises(InputError, match="no checkpoint"):
    jaxssl.fit(runs.reopen(out), out, resume=True, mesh=ONE)


def test_resume_of_what_is_no_run(tmp_path):
  with pytest.raises(InputError, match="is not a run"):
    runs.reopen(tmp_path)


def test_runs_are_numbered(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  experiment = jaxssl.build(TOY)
  made = [runs.create(experiment, None) for _ in range(2)]
  assert made == [pathlib.Path("runs/toy/1"), pathlib.Path("runs/toy/2")]


def test_load_gives_the_encoder(whole):
  encode, variables = jaxssl.load(whole[0].out)
  images = jaxssl.build(TOY).data.test[np.arange(5)]["input"]
  assert encode(variables, images).shape == (5, 16)
  assert encode(variables, images, patches=True).shape == (5, 1, 16)
  state = whole[0].state
  expected = jaxssl.build(TOY).method.encode(
    state.params, state.extra, {"input": jnp.asarray(images)}
  )
  np.testing.assert_allclose(encode(variables, images), expected, atol=1e-6)


def test_the_encoder_is_a_part_of_a_program_on_several_devices(whole):
  """A teacher's run teaches on a mesh, wherever its encoder was opened."""
  encode, variables = jaxssl.load(whole[0].out)
  images = jaxssl.build(TOY).data.test[np.arange(8)]["input"]
  expected, mesh = encode(variables, images), make_mesh("data=8")
  everywhere = jax.device_put(variables, replicated(mesh))
  rows = jax.device_put(images, rows_sharded(mesh))
  made = jax.jit(lambda variables, x: encode(variables, x))(everywhere, rows)
  assert len(made.devices()) == 8
  np.testing.assert_allclose(made, expected, atol=1e-6)


def test_refresh_runs_before_every_epoch():
  """6 steps are one epoch of 200 examples by 32; its key is the epoch's."""
  experiment, refreshed = jaxssl.build(TOY), []

  def refresh(state, batches, key):
    rows = sum(int(mask.sum()) for _, mask in batches)
    refreshed.append((int(state.step), rows, jax.random.key_data(key).tolist()))
    return state

  method = experiment.method._replace(refresh=refresh)
  feed = feeds.make_feed(experiment._replace(method=method), ONE)
  trainer = train.Trainer(experiment._replace(method=method), None, ONE, (), print)
  state = runs.make_init(experiment, ONE)()
  for step in range(13):
    trainer._refreshed(state._replace(step=jnp.int32(step)), step)
  key = lambda epoch: jax.random.key_data(jax.random.fold_in(state.key, epoch)).tolist()
  assert feed.epoch == 6
  assert refreshed == [(0, 200, key(0)), (6, 200, key(1)), (12, 200, key(2))]


@pytest.mark.parametrize("stop", [12, 17])
def test_spans_end_where_they_must(stop):
  spans = list(feeds.spans(3, stop, 5, 12))
  assert spans[:3] == [(3, 1), (4, 1), (5, 5)]
  assert sum(steps for _, steps in spans) == stop - 3
  for (first, steps), (after, _) in itertools.pairwise(spans):
    assert first + steps == after
    assert steps == 1 or (first % 5 == 0 and first // 12 == (after - 1) // 12)


@pytest.mark.parametrize("epoch", [None, 37, 40])
def test_spans_have_two_lengths_at_most(epoch):
  lengths = {steps for _, steps in feeds.spans(0, 1009, 20, epoch)}
  assert lengths == {1, 20}


def _shaken(state, batches, key):
  """A refresh that depends on its key, and is no neutral one."""
  factor = 1 + 0.01 * jax.random.normal(key)
  return state._replace(params=jax.tree.map(lambda x: factor * x, state.params))


@pytest.mark.parametrize("refresh", [None, _shaken])
def test_several_steps_in_a_call_end_like_one_by_one(tmp_path, monkeypatch, refresh):
  """Epochs of 6 steps and calls of 4: some calls are cut into single steps."""
  every = {"log_every": 4, "eval_every": 12, "checkpoint_every": 4}
  experiment = jaxssl.build(TOY, adaptive=False, **every)
  method = experiment.method._replace(refresh=refresh)
  experiment = experiment._replace(method=method)
  found = []
  for k in (1, 4):
    monkeypatch.setattr(feeds, "steps_per_call", lambda experiment, k=k: k)
    state = jaxssl.fit(experiment, tmp_path / str(k), mesh=ONE, say=len).state
    rows = read_metrics(tmp_path / str(k) / "metrics.jsonl")
    assert [row["step"] for row in rows if "loss" in row] == [4, 8, 12]
    losses = [row["loss"] for row in rows if "loss" in row]
    found.append((losses, state._replace(key=jax.random.key_data(state.key))))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *found)


def test_a_run_goes_on_with_its_mesh(tmp_path, monkeypatch):
  mesh = make_mesh("data=4,fsdp=2")
  out = runs.create(jaxssl.build(TOY), tmp_path / "run", mesh)
  assert runs.mesh_of(out) == mesh
  monkeypatch.setattr(jax, "device_count", lambda: 4)
  assert runs.mesh_of(out) == data_mesh()


def test_signals_are_left_alone_outside_the_main_thread():
  seen = []

  def run():
    with train.stop_signals() as stopped:
      seen.append(stopped)

  thread = threading.Thread(target=run)
  thread.start()
  thread.join()
  assert seen == [[]]


def test_a_trace_is_written_of_warm_steps(tmp_path):
  said, folder = [], tmp_path / "trace"
  made = jaxssl.build(TOY, steps=10)
  jaxssl.fit(made, tmp_path / "run", mesh=ONE, say=said.append, profile=folder)
  assert list(folder.rglob("*.xplane.pb"))
  assert any("Tracing from step 3" in line for line in said)


@pytest.mark.parametrize("folder", ["", "trace"])
def test_only_a_trace_waits_for_the_devices(tmp_path, monkeypatch, folder):
  waited = []
  monkeypatch.setattr(jax, "block_until_ready", waited.append)
  for name in ("start_trace", "stop_trace"):
    monkeypatch.setattr(jax.profiler, name, lambda *_: None)
  state = core.TrainState(*["params"] * len(core.TrainState._fields))
  with train.Profile(folder and tmp_path / folder, print) as profile:
    for step in range(20):
      profile.before(step, state)
  assert waited == (["params"] if folder else [])


def test_a_run_too_short_for_a_trace_says_so(tmp_path):
  said, folder = [], tmp_path / "trace"
  made = jaxssl.build(TOY, steps=3)
  jaxssl.fit(made, tmp_path / "run", mesh=ONE, say=said.append, profile=folder)
  assert not folder.exists()
  assert any("No trace" in line for line in said)


def test_a_pattern_that_splits_nothing_leaves_no_folder(tmp_path):
  made = jaxssl.build(TOY, data="host")._replace(split={"params/nothing*": 0})
  with pytest.raises(InputError, match="has a path like 'params/nothing"):
    jaxssl.fit(made, tmp_path / "run", mesh=make_mesh("data=4,fsdp=2"))
  assert not (tmp_path / "run").exists()


def test_a_graph_without_labels_ends_with_a_report(tmp_path):
  folder = tmp_path / "ring"
  folder.mkdir()
  lines = [f"{i},{(i + 1) % 12}\n" for i in range(12)] + ["0,5\n", "2,9\n"]
  (folder / "edges.csv").write_text("".join(lines))
  said, settings = [], {"data": str(folder), "width": 8, "steps": 2, "log_every": 1}
  experiment = jaxssl.build("dgi_graph", **settings)
  result = jaxssl.fit(experiment, tmp_path / "run", mesh=ONE, say=said.append)
  page = (tmp_path / "run" / "report.html").read_text()
  assert "12 training examples" in page  # the map is of the nodes
  assert "no labels" in result.table.reason
  assert "put test/" not in "\n".join(said)


@pytest.mark.parametrize("rows", (1, 2, 5))
def test_so_few_examples_that_each_has_few_neighbours(tmp_path, rows):
  images = np.random.default_rng(rows).integers(0, 256, (rows, 8, 8, 1), np.uint8)
  data = DataSet("few", ArraySource({"input": images}), None, ())
  experiment = jaxssl.build(TOY, batch=1, steps=2, log_every=1, eval_every=1)
  said, out = [], tmp_path / "run"
  jaxssl.fit(experiment._replace(data=data), out, mesh=ONE, say=said.append)
  page = (out / "report.html").read_text()
  assert ("No neighbours were given." in page) == (rows == 1)
  assert rows > 2 or "collapsing" not in "\n".join(said)
