"""Encoders without the data that they were trained on."""

import jax
import numpy as np
import pytest

import jaxssl
from jaxssl import cli, registry, runs
from jaxssl.data import kept
from jaxssl.errors import InputError
from tests.experiments_kinds import TINY
from tests.marks import some_of

RUN = {"steps": 2, "batch": 8, "log_every": 2, "eval_every": 2, "checkpoint_every": 2}
KINDS = (
  *("gpt_text", "bert_text", "roberta_text", "simcse_text", "skip_gram_text"),
  *("clip_captions", "bert4rec_items", "cola_audio", "mockingjay_audio"),
  *("videomae_video", "alignment_video", "grace_graph", "graphcl_graph"),
  *("scarf_table", "simclr_images"),
)
EVERYDAY = (
  "bert_text",
  "skip_gram_text",
  "bert4rec_items",
  "clip_captions",
  "cola_audio",
)


def forms(tree):
  return jax.tree.map(lambda x: (x.shape[1:], x.dtype), tree)


@pytest.mark.parametrize("name", some_of(KINDS, EVERYDAY))
def test_a_run_keeps_the_form_of_its_data(name, tmp_path):
  """Every kind is opened again from a run's folder, and opens others alike."""
  settings = {**RUN, **TINY.get(name, {"data": "digits", "size": 8})}
  real = registry.build(name, **settings)
  out = runs.create(real, tmp_path / "run")
  blank = runs.reopen_encoder(out)

  first = np.arange(1)
  examples = [x.data.train[first]["input"] for x in (real, blank)]
  assert jax.tree.structure(examples[0]) == jax.tree.structure(examples[1])
  assert forms(examples[0]) == forms(examples[1])
  assert len(blank.data.train) == len(real.data.train)
  assert blank.data.kind.name == real.data.kind.name
  assert blank.data.classes == real.data.classes
  assert dict(blank.data.files) == dict(real.data.files)
  assert blank.settings == real.settings

  if real.data.like is not None:
    pair = [x.data.like(real.settings["data"]).train[first] for x in (real, blank)]
    jax.tree.map(np.testing.assert_array_equal, pair[0]["input"], pair[1]["input"])


def table(path, rows):
  lines = [f"{x},{'red' if x % 3 else 'blue'},{x % 2}" for x in rows]
  path.write_text("\n".join(["size,colour,label", *lines]) + "\n")


def test_embed_does_without_the_table(tmp_path):
  """Features are those by the columns of training, whatever became of the file."""
  train, new, out = tmp_path / "t.csv", tmp_path / "new.csv", tmp_path / "run"
  table(train, range(40))
  table(new, range(5, 9))
  experiment = registry.build(
    "scarf_table", data=str(train), label="label", **RUN, width=8
  )
  jaxssl.fit(experiment, out, say=lambda sentence: None)

  def features():
    saved = tmp_path / "f.npz"
    assert cli.main(["embed", str(out), "--data", str(new), "--out", str(saved)]) == 0
    return np.load(saved)["features"]

  before = features()
  table(train, range(400))  # other moments
  np.testing.assert_array_equal(features(), before)
  with pytest.raises(InputError, match="have changed since it began"):
    runs.reopen(out)
  train.unlink()
  np.testing.assert_array_equal(features(), before)


def test_a_run_from_before_opens_its_data(tmp_path):
  """Without `data.json` the data themselves are opened."""
  real = registry.build("scarf_table", **RUN)
  out = runs.create(real, tmp_path / "run")
  (out / kept.FILE).unlink()
  reopened = runs.reopen_encoder(out)
  np.testing.assert_array_equal(
    reopened.data.train[np.arange(4)]["input"].numeric,
    real.data.train[np.arange(4)]["input"].numeric,
  )


def test_a_form_is_no_data_to_train_on(tmp_path):
  out = runs.create(registry.build("scarf_table", **RUN), tmp_path / "run")
  with pytest.raises(InputError, match="no examples to train on"):
    registry.build("scarf_table", data=f"{kept.PREFIX}{out}", **RUN)
  with pytest.raises(InputError, match="is no run that keeps the form"):
    kept.read_kept(f"{kept.PREFIX}{tmp_path}")


@pytest.mark.parametrize(
  ("other", "same"),
  [
    ('{"mean": 0.30000001, "n": 3}', True),  # another device's rounding
    ('{"mean": 0.31, "n": 3}', False),
    ('{"mean": 0.3, "n": 4}', False),
    ('{"mean": 0.3}', False),
    ("no JSON", False),
  ],
)
def test_moments_may_differ_in_their_last_digits(other, same):
  assert kept.same_text('{"mean": 0.3, "n": 3}', other) == same
  assert kept.same_text("a\tb\n", "a\tb\n") and not kept.same_text("a", "b")
