"""Kinds other than images through it all: fit, stop, resume, load, embed, report."""

import os
import signal

import jax
import numpy as np
import pytest

import jaxssl
from jaxssl import cli, registry, train
from jaxssl.mesh import data_mesh
from jaxssl.runs import make_encode, reopen
from tests.experiments_kinds import TINY
from tests.marks import some_of
from tests.saved import same

ONE = data_mesh(jax.devices()[:1])
RUN = {"steps": 4, "batch": 8, "log_every": 2, "eval_every": 4, "checkpoint_every": 2}
EXPERIMENTS = (
  *("gpt_text", "bert4rec_items", "clip_captions", "cola_audio", "videomae_video"),
  *("grace_graph", "scarf_table"),
)
EVERYDAY = ("scarf_table",)


def fit(experiment, out, **options):
  return jaxssl.fit(experiment, out, mesh=ONE, say=lambda sentence: None, **options)


def stop(step, state, metrics):
  """Kills the run, politely, at its first log."""
  if step == 2:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("name", some_of(EXPERIMENTS, EVERYDAY))
def test_the_whole_pipeline(name, tmp_path, capsys):
  """What a user does with a run, on the data that the experiment has by default."""
  settings = {**RUN, **TINY[name]}
  experiment, out = registry.build(name, **settings), tmp_path / "run"
  with pytest.raises(train.Interrupted, match="at step 2"):
    fit(experiment, out, callbacks=[stop])
  resumed = fit(reopen(out), out, resume=True)
  whole = fit(registry.build(name, **settings), tmp_path / "whole")
  assert same(resumed.state, whole.state)

  examples = experiment.data.train
  encode, variables = jaxssl.load(out)
  rows = examples[np.arange(min(2, len(examples)))]["input"]
  features = np.asarray(encode(variables, rows))
  assert len(features) == min(2, len(examples)) and np.isfinite(features).all()
  with_data = make_encode(reopen(out), ONE)  # `load` does without
  np.testing.assert_array_equal(np.asarray(with_data(variables, rows)), features)

  saved = tmp_path / "f.npz"
  data = experiment.settings.get("data", "") or experiment.data.name
  assert cli.main(["embed", str(out), "--data", data, "--out", str(saved)]) == 0
  found = np.load(saved)["features"]
  assert (
    len(found) and found.shape[1:] == features.shape[1:] and np.isfinite(found).all()
  )

  page = out / "report.html"
  page.unlink()
  assert cli.main(["report", str(out)]) == 0
  text = page.read_text()
  assert name in text and len(text) > 20_000
