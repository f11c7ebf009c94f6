"""Texts as data sets: packed, held out, with a probe, checked and shown."""

import jax
import numpy as np
import pytest

from jaxssl import data
from jaxssl.data.packing import TextPair
from jaxssl.data.text_sets import bag_of_tokens
from jaxssl.data.tokenizers import train_tokenizer
from jaxssl.errors import InputError

STORY = " ".join(f"The {a} {b} the {c}." for a in "ab" for b in "cde" for c in "fghi")
OPTIONS = {"tokenizer": "characters", "vocabulary": 300, "length": 16}


@pytest.fixture
def folder(tmp_path):
  for i in range(5):
    (tmp_path / f"{i}.txt").write_text(STORY[i:] * 2)
  return tmp_path


def tables(folder):
  (folder / "train.tsv").write_text("x\tThe a c.\ny\tThe b d.\ny\t" + "the " * 9)
  (folder / "test.tsv").write_text("y\tThe a.\n")
  return {"probe": str(folder / "train.tsv"), "probe_test": str(folder / "test.tsv")}


def opened(folder, packing, **more):
  return data.text_data(str(folder), packing=packing, **{**OPTIONS, **more})


@pytest.mark.parametrize("packing", ["windows", "rows", "sentences", "pairs"])
def test_every_packing_gives_rows_of_its_kind(folder, packing):
  made = opened(folder, packing, holdout=0.2)
  for split in (made.train, made.test):
    rows = split[np.arange(2)]["input"]
    made.kind.check(rows)
    assert jax.tree.leaves(rows)[0].shape == (2, 16)
    assert all(isinstance(text, str) for text in made.kind.tiles(rows))
  assert data.tokenizer_from(made.files["tokenizer.json"]).vocabulary > 10


def test_windows_are_of_the_text_itself(tmp_path):
  path = tmp_path / "x.txt"
  path.write_text(STORY)
  made = opened(path, "windows", holdout=0.1)
  start = 7
  (text,) = made.kind.tiles(made.train[np.array([start])]["input"])
  assert text == STORY[start : start + 16]
  held = "".join(made.kind.tiles(made.test[np.arange(len(made.test))]["input"]))
  assert STORY[int(0.9 * len(STORY)) :].startswith(held)


def test_a_probe_is_rows_of_one_text_with_labels(folder, tmp_path_factory):
  made = opened(folder, "sentences", **tables(tmp_path_factory.mktemp("p")))
  probe = made.scored
  assert probe.classes == ("x", "y")
  np.testing.assert_array_equal(probe.train.data["label"], [0, 1, 1])
  np.testing.assert_array_equal(probe.test.data["label"], [1])
  first, second, _ = probe.kind.tiles(probe.train.data["input"])
  assert (first, second) == ("[CLS]The a c.[SEP]", "[CLS]The b d.[SEP]")
  (cut,) = probe.train.skipped
  assert cut == "train.tsv, text 3: cut to 14 of its 36 tokens"


def test_a_probe_needs_labels_and_both_files(folder, tmp_path_factory):
  files = tables(tmp_path_factory.mktemp("p"))
  with pytest.raises(InputError, match="both"):
    opened(folder, "rows", probe=files["probe"])
  with pytest.raises(InputError, match="no labels"):
    opened(folder, "rows", probe=str(folder), probe_test=str(folder))
  with pytest.raises(InputError, match=r"label 'x', which test.tsv does not"):
    swapped = {"probe": files["probe_test"], "probe_test": files["probe"]}
    opened(folder, "rows", **swapped)


def test_the_documentation_has_its_own_probe():
  made = data.text_data("docs", packing="rows", **OPTIONS)
  assert made.name == "docs"
  assert len(made.scored.classes) >= 8
  assert len(made.scored.test) > 100


def test_other_texts_open_by_the_same_tokenizer(folder, tmp_path):
  made = opened(folder, "sentences")
  again = made.like(str(folder))
  assert again.train.files == tuple(f"{i}.txt" for i in range(5))
  assert len(again.train) == 5
  lines = tmp_path / "lines.txt"
  lines.write_text("The a.\n\nThe b.\n")
  texts = made.kind.tiles(made.like(str(lines)).train.data["input"])
  assert texts == ["[CLS]The a.[SEP]", "[CLS]The b.[SEP]"]


def test_raw_features_count_the_tokens():
  tokenizer = train_tokenizer("characters", ["abc"])
  kind = data.text_kind(tokenizer)
  ids = np.asarray([[2, 5, 5, 7, 3, 0]], np.int32)
  np.testing.assert_array_equal(kind.raw(ids), [[0, 0, 0, 0, 0, 2, 0, 1]])
  each = bag_of_tokens(ids, vocabulary=8, patches=True)
  assert each.shape == (1, 6, 8)
  np.testing.assert_array_equal(each.sum(1), kind.raw(ids))
  assert kind.raw_name(ids) == "bag of characters"


def test_ids_of_another_vocabulary_are_refused():
  kind = data.text_kind(train_tokenizer("characters", ["abc"]))
  for wrong in (np.full((1, 2), 8), np.full((1, 2), -1)):
    with pytest.raises(InputError, match="0 to 7"):
      kind.check(wrong)
  with pytest.raises(InputError, match="integers"):
    kind.check(np.zeros((1, 2)))
  with pytest.raises(InputError, match="no tokens"):
    kind.check(np.zeros((0, 2), np.int32))


def test_pairs_and_single_texts_are_told_apart():
  kind = data.text_kind(train_tokenizer("characters", ["abc"]), pairs=True)
  ids = np.full((1, 2), 5, np.int32)
  kind.check(TextPair(ids, ids * 0, np.zeros(1, np.int32)))
  with pytest.raises(InputError, match="TextPair"):
    kind.check(ids)


def test_an_unknown_packing_is_said(folder):
  with pytest.raises(InputError, match="Did you mean 'windows'"):
    opened(folder, "window")
