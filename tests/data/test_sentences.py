"""Texts as one sentence a row: marked, cut with a name, too few refused."""

import numpy as np
import pytest

from jaxssl.data import skipped_message
from jaxssl.data.sentences import sentence_data
from jaxssl.data.tokenizers import END, FIRST
from jaxssl.errors import InputError

TEXT = (
  "A cat sat on a mat. Heading.\n\nThe dog saw the cat and the mat! It ran off fast.\n"
)
FORM = {"tokenizer": "characters", "vocabulary": 99, "holdout": 0.0}


def test_each_row_is_a_sentence_between_its_marks(tmp_path):
  path = tmp_path / "a.txt"
  path.write_text(TEXT)
  data = sentence_data(str(path), length=40, **FORM)
  rows = data.train.arrays()["input"]
  assert len(rows) == 3 and (rows[:, 0] == FIRST).all()
  assert (np.sum(rows == END, axis=1) == 1).all() and data.train.skipped == ()
  assert "A cat sat on a mat." in data.kind.tiles(rows)[0]
  assert data.test is None and data.like is not None


def test_longer_sentences_are_cut_counted_and_named(tmp_path):
  path = tmp_path / "a.txt"
  path.write_text(TEXT)
  data = sentence_data(str(path), length=24, **FORM)
  assert data.train.arrays()["input"].shape == (3, 24)
  assert len(data.train.skipped) == 1 and "text 2: cut to 22" in data.train.skipped[0]


def test_one_sentence_is_told_from_none(tmp_path):
  path = tmp_path / "a.txt"
  path.write_text("There is one sentence here.")
  with pytest.raises(InputError, match="must be 2"):
    sentence_data(str(path), length=40, **FORM)


def test_lines_with_labels_are_sentences(tmp_path):
  path = tmp_path / "a.tsv"
  path.write_text("x\tone two. three four\ny\tfive six seven eight\n")
  assert len(sentence_data(str(path), length=40, **FORM).train) == 2


def test_files_that_cannot_be_read_are_named(tmp_path):
  (tmp_path / "a.txt").write_text(TEXT)
  (tmp_path / "b.txt").write_bytes(b"no \xff text")
  (tmp_path / "c.txt").write_text(" ")
  data = sentence_data(str(tmp_path), length=40, **FORM)
  assert [line.split(":")[0] for line in data.train.skipped] == ["b.txt", "c.txt"]
  assert "skipped 2 files: b.txt" in skipped_message(data)
  cut = sentence_data(str(tmp_path), length=24, **FORM).train
  assert cut.files == ("a.txt",) * 3 and cut.skipped[2].startswith("a.txt: cut to 22")
