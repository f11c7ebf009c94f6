"""Text files, folders and labelled lines; what cannot be read is said."""

import gzip

import numpy as np
import pytest

from jaxssl.data import read_text
from jaxssl.data.text import docs_probe, held_out, sentences
from jaxssl.errors import InputError

LABELLED = "b\tsecond one\na\tfirst one\n\nb\tthird one\n"


def write(path, text):
  data = text.encode() if isinstance(text, str) else text
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
  return path


@pytest.mark.parametrize("name", ["x.txt", "x.txt.gz"])
def test_a_file_is_one_document(tmp_path, name):
  found = read_text(write(tmp_path / name, "\ufeffone\r\ntwo"))
  assert found.texts == ("one\ntwo",)
  assert found.labels is None


def test_a_folder_has_a_document_a_file(tmp_path):
  write(tmp_path / "b.txt", "second")
  write(tmp_path / "a" / "c.txt.gz", "first")
  write(tmp_path / "notes.md", "no")
  found = read_text(str(tmp_path))
  assert found.files == ("a/c.txt.gz", "b.txt")
  assert found.texts == ("first", "second")


def test_endings_may_be_in_capitals(tmp_path):
  for name in ("a.TXT", "sub/b.Txt"):
    assert read_text(write(tmp_path / name, "text")).texts == ("text",)
  (tmp_path / "c.TXT.GZ").write_bytes(gzip.compress(b"packed"))
  found = read_text(str(tmp_path))
  assert found.files == ("a.TXT", "c.TXT.GZ", "sub/b.Txt")
  assert found.texts == ("text", "packed", "text")
  assert read_text(write(tmp_path / "d.TSV", LABELLED)).classes == ("a", "b")


@pytest.mark.parametrize("name", ["x.tsv", "x.tsv.gz"])
def test_a_table_has_a_label_and_a_text_a_line(tmp_path, name):
  found = read_text(write(tmp_path / name, LABELLED))
  assert found.classes == ("a", "b")
  np.testing.assert_array_equal(found.labels, [1, 0, 1])
  assert found.texts == ("second one", "first one", "third one")


def test_numbers_are_sorted_as_numbers(tmp_path):
  found = read_text(write(tmp_path / "x.tsv", "10\tx\n2\ty"))
  assert found.classes == ("2", "10")


def test_labels_that_look_like_numbers_are_words(tmp_path):
  found = read_text(write(tmp_path / "x.tsv", "--5\tx\n-\ty\n-5\tz\n10\tu\n2\tv\n"))
  assert found.classes == ("-5", "2", "10", "-", "--5")


def test_the_documentation_ships_with_python():
  found = read_text("docs")
  assert len(found.texts) > 50
  assert sum(map(len, found.texts)) > 300_000


def test_the_documentations_probe_is_held_out():
  train, test = docs_probe()
  assert train.classes == test.classes
  assert len(train.classes) >= 8
  assert (np.bincount(train.labels) >= 10).all()
  assert (np.bincount(test.labels) >= 3).all()
  kept, _ = held_out(read_text("docs"), 0.1)
  joined = " ".join(" ".join(kept).split())
  assert all(text in joined for text in train.texts)
  assert np.mean([text in joined for text in test.texts]) < 0.05  # parts of longer ones


def test_the_end_is_held_out(tmp_path):
  one = read_text(write(tmp_path / "x.txt", "0123456789"))
  assert held_out(one, 0.1) == (("012345678",), ("9",))
  many = one._replace(texts=tuple("abcd"))
  assert held_out(many, 0.25) == (("a", "b", "c"), ("d",))
  assert held_out(many, 0.0) == (("a", "b", "c", "d"), ())
  with pytest.raises(InputError, match="held out"):
    held_out(many, 1.0)


def test_a_folder_called_docs_is_the_user_s(tmp_path):
  for name in "abcd":
    write(tmp_path / "docs" / f"{name}.txt", f"{name}\n\nmore of {name}")
  found = read_text(str(tmp_path / "docs"))
  assert found.name == "docs" and not found.by_topic
  assert held_out(found, 0.25) == (found.texts[:3], found.texts[3:])


def test_sentences_end_at_points_and_empty_lines():
  text = 'One. "Two!" Three\nof it? Four\n\nFive'
  assert sentences(text) == ["One.", '"Two!"', "Three\nof it?", "Four", "Five"]


def test_an_unknown_path_is_said():
  with pytest.raises(InputError, match=r"no text 'doc'. Did you mean 'docs'"):
    read_text("doc")


@pytest.mark.parametrize("name", ["x.txt", "x.tsv"])
def test_an_empty_corpus_is_said(tmp_path, name):
  with pytest.raises(InputError, match="no text in it"):
    read_text(write(tmp_path / name, " \n"))


def test_a_folder_without_text_is_said(tmp_path):
  with pytest.raises(InputError, match=r"no file that ends in .txt"):
    read_text(tmp_path)


def test_undecodable_bytes_are_named_with_their_offset(tmp_path):
  path = write(tmp_path / "x.txt", b"fine\nnot \xff fine")
  with pytest.raises(InputError, match=r"x.txt is no UTF-8: byte 0xff at offset 9.*2"):
    read_text(path)


def test_a_damaged_file_of_a_folder_is_left_out_and_named(tmp_path):
  write(tmp_path / "a.txt", b"\xff")
  write(tmp_path / "b.txt", "fine")
  write(tmp_path / "c.txt", " ")
  found = read_text(tmp_path)
  assert found.texts == ("fine",)
  assert [line.split(":")[0] for line in found.skipped] == ["a.txt", "c.txt"]
  assert "offset 0" in found.skipped[0]


def test_a_folder_of_damaged_files_is_refused(tmp_path):
  write(tmp_path / "a.txt", b"\xff")
  with pytest.raises(InputError, match="offset 0"):
    read_text(tmp_path)


def test_a_broken_archive_is_said(tmp_path):
  path = tmp_path / "x.txt.gz"
  path.write_bytes(b"no archive")
  with pytest.raises(InputError, match="cannot be read"):
    read_text(path)


def test_lines_without_a_label_are_said(tmp_path):
  with pytest.raises(InputError, match=r"Line 2 of .* has 1 column"):
    read_text(write(tmp_path / "x.tsv", "a\tb\nc\n"))


def test_labels_without_text_are_left_out_and_named(tmp_path):
  found = read_text(write(tmp_path / "x.tsv", "a\tb\nc\t \n"))
  assert found.texts == ("b",)
  assert found.skipped == ("x.tsv, line 2: there is no text after the label",)


def test_another_ending_is_said(tmp_path):
  with pytest.raises(InputError, match=r"neither .txt"):
    read_text(write(tmp_path / "x.pdf", "x"))
