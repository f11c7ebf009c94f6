"""What papers on a kind of data report, beside the usual protocols."""

import json

import jax
import numpy as np
import pytest

import jaxssl
from jaxssl import cli, results, runs
from jaxssl.mesh import data_mesh
from tests.experiments_kinds import TINY

ONE = data_mesh(jax.devices()[:1])
SHORT = {"steps": 2, "log_every": 2, "eval_every": 2, "checkpoint_every": 2}


def built(name, **settings):
  return jaxssl.build(name, **{**TINY.get(name, {}), **SHORT, **settings})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A run on sequences of items, and what it said."""
  out, said = tmp_path_factory.mktemp("scores") / "run", []
  jaxssl.fit(built("sasrec_items"), out, mesh=ONE, say=said.append)
  return out, "\n".join(said)


def test_a_run_says_and_keeps_them(run, capsys):
  out, said = run
  kept = json.loads((out / "scores.json").read_text())
  assert kept["step"] == 2
  assert set(kept["rows"]) == {"trained encoder", "untrained encoder"}
  for scores in kept["rows"].values():
    assert set(scores) == {"hit@10", "NDCG@10", "hit@10 of the most popular items"}
    assert all(0 <= x <= 100 for x in scores.values())
  value = kept["rows"]["trained encoder"]["hit@10"]
  assert f"hit@10: {value:.1f} %" in said
  assert cli.main(["eval", str(out)]) == 0
  assert f"hit@10: {value:.1f} %" in capsys.readouterr().out


def test_the_page_shows_them(run):
  page = (run[0] / "report.html").read_text()
  assert "Scores of the task" in page and "hit@10 of the most popular items" in page


def test_of_captions_they_are_recalls_in_both_directions():
  experiment = built("clip_captions")
  state = runs.make_init(experiment, ONE)()
  found = results.task_scores(experiment, state, ONE)["trained encoder"]
  ways = ("image to text", "text to image")
  assert set(found) == {f"{way}, R@{k}" for way in ways for k in (1, 10)}
  texts = np.unique(experiment.data.test.arrays()["input"].text[:, 0], axis=0)
  assert len(texts) == 10 and found["image to text, R@10"] == 100  # all of them


def test_without_a_test_split_there_are_none():
  experiment = built("clip_captions")
  experiment = experiment._replace(data=experiment.data._replace(test=None))
  state = runs.make_init(experiment, ONE)()
  assert results.task_scores(experiment, state, ONE) == {}


def test_what_does_not_differ_is_said_once():
  rows = {
    "trained encoder": {"a": 1.0, "b": 2.0},
    "untrained encoder": {"a": 0, "b": 2},
  }
  said = {"a": "1.0 % (untrained encoder 0.0 %)", "b": "2.0 %"}
  assert results.task_values({n: dict(x) for n, x in rows.items()}) == said
  assert results.task_values({}) == {}
