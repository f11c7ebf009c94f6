"""Several seeds in one program: each is the run that it would be alone."""

import json
import os
import pathlib
import re
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxssl
from jaxssl import cli, evals, feeds, results, runs, seeds, train
from jaxssl.errors import InputError
from jaxssl.log import read_metrics
from jaxssl.mesh import data_mesh, make_mesh
from jaxssl.ops.sharding import traced_for

TOY = str(pathlib.Path(__file__).parent / "toy.py") + ":toy"
ONE = data_mesh(jax.devices()[:1])
SEEDS = (2, 3, 4)
SETTINGS = {"steps": 6, "adaptive": False}  # SGD: Adam divides rounding by itself


def three(**settings):
  return jaxssl.build(TOY, seed=2, seeds=3, **{**SETTINGS, **settings})


def alone(seed, **settings):
  return jaxssl.build(TOY, seed=seed, **{**SETTINGS, **settings})


def plain(state):
  return jax.device_get(state._replace(key=jax.random.key_data(state.key)))


def trained(experiment, mesh=ONE):
  """First and last state, and the metrics of the steps."""
  feed, state = feeds.make_feed(experiment, mesh), runs.make_init(experiment, mesh)()
  first, found = plain(state), []
  for _, args in feed.chunks(0, experiment.run.steps):
    state, metrics = feed.advance(state, *args)
    found.append(jax.device_get(metrics))
  return first, plain(state), jax.tree.map(lambda *x: np.concatenate(x), *found)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A finished run of three seeds, and what it said."""
  out, said = tmp_path_factory.mktemp("seeds") / "run", []
  return jaxssl.fit(three(), out, mesh=ONE, say=said.append), said


@pytest.mark.parametrize(
  ("settings", "compared"),
  [({}, SEEDS), ({"data": "host", "accumulate": 2}, SEEDS[1:2])],
)
def test_one_program_is_three_runs(settings, compared):
  first, last, metrics = trained(three(**settings))
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
  for seed in compared:
    part = lambda tree, i=seed - SEEDS[0]: jax.tree.map(lambda x: x[i], tree)
    expected_first, expected_last, expected = trained(alone(seed, **settings))
    jax.tree.map(np.testing.assert_array_equal, part(first), expected_first)
    jax.tree.map(close, part(last), expected_last)
    assert metrics.keys() == expected.keys()
    for name, values in expected.items():
      found = metrics[name][:, seed - SEEDS[0]]
      np.testing.assert_allclose(found, values, rtol=1e-3, err_msg=name)


def test_several_devices_make_the_same_runs():
  close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
  split = trained(three(), data_mesh(jax.devices()[:4]))
  jax.tree.map(close, split[1], trained(three())[1])


def test_the_measures_stay_under_their_condition():
  """Under `vmap` a condition on the run's own step would compute both branches."""
  experiment = three()
  state = jax.eval_shape(runs.first_state(experiment))
  batch = jax.eval_shape(lambda: runs.example_batch(experiment, 32))
  step = feeds._step(experiment)
  outside = jax.make_jaxpr(step)(state, batch).jaxpr.eqns
  names = [equation.primitive.name for equation in outside]
  assert not {"cond", "svd"} & set(names)
  measured = next(e for e in outside if e.primitive.name == "scan")
  inside = measured.params["jaxpr"].jaxpr.eqns
  assert [e.primitive.name for e in inside].count("cond") == 1


def test_no_spectra_are_made_at_the_same_time():
  """On a CPU with as many devices as cores they would wait for each other for ever."""
  experiment = three()
  state = jax.eval_shape(runs.first_state(experiment))
  batch = jax.eval_shape(lambda: runs.example_batch(experiment, 32))
  step = jax.jit(traced_for(data_mesh(jax.devices()[:2]), feeds._step(experiment)))
  text = step.lower(state, batch).as_text()
  shapes = re.findall(r"@lapack_sgesdd\w*\(.*?\) \{.*?: \(tensor<([\dx]+)xf32>", text)
  assert shapes and all(shape.count("x") == 1 for shape in shapes)


def test_the_log_has_means_and_the_deviation_of_the_loss(run):
  rows = [r for r in read_metrics(run[0].out / "metrics.jsonl") if "loss" in r]
  _, _, metrics = trained(three())
  for row in rows:
    losses = metrics["loss"][row["step"] - 1].astype(np.float64)
    assert row["loss"] == pytest.approx(losses.mean(), rel=1e-6)
    assert row["loss_std"] == pytest.approx(losses.std(ddof=1), rel=1e-4)
    assert row["measure/rankme"] == pytest.approx(
      metrics["measure/rankme"][row["step"] - 1].mean(), rel=1e-3
    )
  assert [row["step"] for row in rows] == [3, 6]


def test_looks_at_every_run(run):
  row = next(r for r in read_metrics(run[0].out / "metrics.jsonl") if "knn" in r)
  parts = seeds.each(three().run, run[0].state)
  looks = [results.make_look(alone(2), ONE)(state) for state in parts]
  scores = [found["knn"] for found in looks]
  assert row["knn"] == pytest.approx(np.mean(scores))
  assert row["knn_std"] == pytest.approx(np.std(scores, ddof=1))


def test_the_table_is_that_of_the_single_tables(run):
  result, said = run
  written = json.loads((result.out / "evaluation.json").read_text())
  assert written["rows"] == result.table.rows
  for row in result.table.rows:
    singles = [row["seeds"][str(seed)] for seed in SEEDS]
    for name in ("knn", "linear", "clusters"):
      scores = [single[name] for single in singles]
      assert row[name] == pytest.approx(np.mean(scores))
      assert row[f"{name}_std"] == pytest.approx(np.std(scores, ddof=1))
    draws = [single["few_label"]["5"][0] for single in singles]
    expected = [np.mean(draws), np.std(draws, ddof=1)]
    assert row["few_label"]["5"] == pytest.approx(expected)
  state = seeds.pick(three().run, result.state, 1)
  single = results.evaluate(alone(3), state, ONE, protocols=("knn", "clusters"))
  for row, own in zip(result.table.rows, single.rows, strict=True):
    assert row["seeds"]["3"].items() >= own.items()
  text = evals.as_text(result.table)
  assert text in said and "of 3 runs, of seeds 2, 3, 4" in text
  assert text.splitlines()[3].count(" ± ") == 6 and "deviation of 10" not in text


def test_the_page_says_what_is_of_whom(run):
  page = (run[0].out / "report.html").read_text()
  row = run[0].table.rows[-1]
  shown = f"{row['knn']:.1f}(</strong>)? <small>± {row['knn_std']:.1f}</small>"
  assert re.search(shown, page)
  assert "deviation of 3 runs" in page and "over draws" not in page
  assert "are of seed 2, the first of seeds 2 to 4." in page
  assert "Loss std" not in page


def same(a, b):
  return jax.tree.map(np.testing.assert_array_equal, plain(a), plain(b))


def test_an_interrupted_run_ends_like_one_that_was_not(run, tmp_path):
  stop = lambda step, *_: step == 3 and os.kill(os.getpid(), signal.SIGTERM)
  with pytest.raises(train.Interrupted):
    jaxssl.fit(three(), tmp_path / "run", callbacks=[stop], mesh=ONE, say=print)
  experiment = runs.reopen(tmp_path / "run", seeds=3)
  with train.Trainer(experiment, tmp_path / "run", ONE, (), print) as trainer:
    same(trainer.run(resume=True), run[0].state)


def test_load_picks_a_seed(run):
  images = alone(2).data.test[np.arange(5)]["input"]
  state = run[0].state
  for seed, number in ((None, 0), (2, 0), (4, 2)):
    encode, variables = jaxssl.load(run[0].out, seed)
    expected = jax.tree.map(lambda x, i=number: x[i], runs.variables_of(state))
    jax.tree.map(np.testing.assert_array_equal, variables, expected)
  assert encode(variables, images).shape == (5, 16)
  with pytest.raises(InputError, match="no seed 5; it has seeds 2 to 4"):
    jaxssl.load(run[0].out, 5)


def test_a_loss_that_is_not_finite_names_the_seed(tmp_path):
  experiment = three()
  init = experiment.method.init

  def poisoned(key, batch):
    params, extra = init(key, batch)
    third = jnp.all(key == jax.random.split(jax.random.key(4))[0])
    return jax.tree.map(lambda x: x * jnp.where(third, 1e19, 1.0), params), extra

  method = experiment.method._replace(init=poisoned)
  with pytest.raises(train.NonFiniteLoss, match=r"number 0 \(seed 4\)"):
    jaxssl.fit(experiment._replace(method=method), tmp_path / "run", mesh=ONE)
  assert (tmp_path / "run" / "failed" / "batch.npz").exists()


def test_a_warning_names_its_seeds():
  shared = three().run
  assert seeds.warning(shared, [None, "flat", "flat"]) == "Seed 3, 4: flat"
  assert seeds.warning(shared, [None] * 3) is None
  assert seeds.warning(alone(2).run, ["flat"]) == "flat"


@pytest.mark.parametrize(
  ("settings", "mesh", "refresh", "message"),
  [
    ({}, "data=4,fsdp=2", None, "fsdp=2.*--mesh data=8"),
    ({}, "data=1", lambda state, batches, key: state, "not available with --seeds"),
  ],
)
def test_what_cannot_work_is_refused(settings, mesh, refresh, message, tmp_path):
  experiment = three(**settings)
  method = experiment.method._replace(refresh=refresh)
  mesh = make_mesh(mesh, jax.devices()[: 8 if "fsdp" in mesh else 1])
  with pytest.raises(InputError, match=message):
    jaxssl.fit(experiment._replace(method=method), tmp_path / "run", mesh=mesh)
  assert not (tmp_path / "run").exists()


def test_no_seeds_at_all_are_refused():
  with pytest.raises(InputError, match="seeds is 0; it must be 1 or more"):
    jaxssl.build(TOY, seeds=0)


def test_a_run_from_before_there_were_seeds_goes_on(tmp_path):
  out = runs.create(alone(2), tmp_path / "run")
  config = json.loads((out / "config.json").read_text())
  for name in ("seeds", "accumulate"):
    del config["settings"][name]
  (out / "config.json").write_text(json.dumps(config))
  assert runs.reopen(out, seeds=1, seed=2).run == alone(2).run


def test_the_command_line(run, tmp_path, capsys):
  out = str(run[0].out)
  assert cli.main(["train", "--resume", out, "--seeds", "4"]) == 2
  assert "seeds: 3 in the run, 4 asked" in capsys.readouterr().err
  assert cli.main(["eval", out, "knn"]) == 0
  assert "of 3 runs, of seeds 2, 3, 4" in capsys.readouterr().out
  np.savez(tmp_path / "x.npz", x=np.zeros((4, 8, 8), np.uint8))
  files = ["--data", str(tmp_path / "x.npz"), "--out", str(tmp_path / "f.npz")]
  assert cli.main(["embed", out, *files]) == 0
  assert "They are of seed 2, the first of seeds 2 to 4." in capsys.readouterr().out
  assert np.load(tmp_path / "f.npz")["features"].shape == (4, 16)
  assert cli.main(["report", out]) == 0
  tune = ["--fractions", "1.0", "--epochs", "1", "--minimum-steps", "2"]
  assert cli.main(["eval", out, "finetune", *tune, "--augment", "none"]) == 0
  assert "Fine-tuned is the encoder of seed 2" in capsys.readouterr().out
