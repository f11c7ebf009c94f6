"""Words of a corpus: vocabulary, subsampling, windows, labelled texts, bad input."""

import numpy as np
import pytest

from jaxssl.data import skipped_message, words
from jaxssl.errors import InputError

TEXT = "The cat sat. The dog sat on the mat!\n\nThe dog's mat, e.g. no-one's."


def vocabulary(min_count=1):
  return words.make_vocabulary([words.split_words(TEXT)], min_count=min_count)


def corpus(tmp_path, text, name="a.txt"):
  path = tmp_path / name
  path.write_text(text)
  return str(path)


def test_words_are_lower_case_with_inner_marks():
  expected = ["the", "dog's", "mat", "e.g", "no-one's"]
  assert words.split_words("The dog's mat, e.g. no-one's.") == expected


def test_the_vocabulary_is_by_count_then_alphabet():
  made = vocabulary(min_count=2)
  assert made.words == ("", "the", "mat", "sat")
  np.testing.assert_array_equal(made.counts, [0, 4, 2, 2])
  np.testing.assert_array_equal(made.ids(["sat", "cow", "the"]), [3, 1])
  assert words.as_lines(made) == "the\t4\nmat\t2\nsat\t2\n"


def test_windows_hold_what_is_around_and_end_with_a_sentence():
  made = words.windows([np.array([1, 2, 3]), np.array([4]), np.array([5, 6])], window=2)
  expected = [[0, 0, 1, 2, 3], [0, 1, 2, 3, 0], [1, 2, 3, 0, 0]]
  expected += [[0, 0, 5, 6, 0], [0, 5, 6, 0, 0]]
  np.testing.assert_array_equal(made, expected)


def test_long_sentences_are_cut():
  made = words.windows([np.ones(1001, np.int32), np.ones(1003, np.int32)], window=1)
  assert len(made) == 1000 + 1003  # a rest of one word has no window


def test_subsampling_thins_frequent_words_before_windows_are_made():
  counts = np.array([0, 100_000, 10])
  text = np.tile(np.array([1] * 50 + [2], np.int32), 200)
  (left,) = words.subsample([text], counts, threshold=1e-3, seed=0)
  share = np.sum(left == 1) / np.sum(text == 1)
  frequency = counts[1] / counts.sum()
  assert share == pytest.approx((frequency / 1e-3) ** -0.5 + 1e-3 / frequency, rel=0.1)
  assert np.sum(left == 2) == 200
  again = words.subsample([text], counts, threshold=1e-3, seed=0)[0]
  np.testing.assert_array_equal(left, again)


def test_texts_are_opened_as_windows(tmp_path):
  path = corpus(tmp_path, "a b c d.\n\n" * 3)
  opened = words.open_words(path, window=1, min_count=2, threshold=10.0)
  rows = opened.data.train.arrays()["input"]
  assert rows.shape == (12, 3) and rows.dtype == np.int32
  assert opened.data.kind.tiles(rows[:2]) == ["a b", "a b c"]
  assert opened.data.probe is None and opened.data.files["words.tsv"].startswith(
    "a\t3\n"
  )
  raw = opened.data.kind.raw(rows[:2])
  np.testing.assert_allclose(raw, [[0, 0.5, 0.5, 0, 0], [0, *[1 / 3] * 3, 0]])
  patches = opened.data.kind.raw(rows[:2], True)
  np.testing.assert_array_equal(patches.sum(2), rows[:2] > 0)


def test_labelled_texts_score_features_and_like_reads_others(tmp_path):
  path = corpus(tmp_path, "a b c d.\n\n" * 3)
  table = corpus(tmp_path, "x\ta b\ny\tc zebra d c\n", "a.tsv")
  options = {"window": 1, "min_count": 2}
  opened = words.open_words(path, probe=table, probe_test=table, **options)
  probe = opened.data.probe
  assert probe.classes == ("x", "y")
  np.testing.assert_array_equal(
    probe.test.arrays()["input"], [[1, 2, 0, 0], [3, 4, 3, 0]]
  )
  other = opened.data.like(table)
  np.testing.assert_array_equal(other.train.arrays()["label"], [0, 1])


def test_texts_that_are_cut_are_named(tmp_path):
  path = corpus(tmp_path, "a b c. " * 400)
  table = corpus(tmp_path, "x\ta b c\ny\t" + "a b z " * 600 + "\n", "p.tsv")
  opened = words.open_words(path, min_count=1, probe=table, probe_test=table)
  said = "p.tsv, text 2: cut to 1000 of its 1200 known words"  # z is not known
  assert opened.data.probe.train.skipped == (said,)
  assert opened.data.probe.train.arrays()["input"].shape == (2, 1000)
  message = f"a.txt: cut 2 examples: {said}; {said}"
  assert skipped_message(opened.data) == message


def test_the_documentation_of_python_is_there_without_a_download():
  opened = words.open_words("docs")
  assert len(opened.data.train) > 10_000 and len(opened.vocabulary.words) > 500
  train, test = opened.data.probe.train, opened.data.probe.test
  assert len(train) > 2 * len(test) > 100
  opened.data.kind.check(train.arrays()["input"])


def test_bad_corpora_are_refused(tmp_path):
  with pytest.raises(InputError, match="text"):
    words.open_words(corpus(tmp_path, "  \n"))
  with pytest.raises(InputError, match="empty"):
    words.open_words(corpus(tmp_path, "... !!!"))
  with pytest.raises(InputError, match="min_count"):
    words.open_words(corpus(tmp_path, "one two three four five"))
  with pytest.raises(InputError, match="window"):
    words.open_words("docs", window=0)
  with pytest.raises(InputError, match="no text"):
    words.open_words("doc")
  bad = tmp_path / "b.txt"
  bad.write_bytes(b"abc \xff\xfe")
  with pytest.raises(InputError, match="UTF-8"):
    words.open_words(str(bad))


def test_a_sentence_needs_two_words():
  with pytest.raises(InputError, match="two known words"):
    words.windows([np.array([1]), np.array([], np.int32)], window=2)


def test_a_probe_has_labels_and_two_files(tmp_path):
  path = corpus(tmp_path, "a b c d.\n\n" * 9)
  with pytest.raises(InputError, match="two files"):
    words.open_words(path, probe=path)
  with pytest.raises(InputError, match="labels"):
    words.open_words(path, probe=path, probe_test=path)


@pytest.mark.parametrize(
  ("rows", "message"),
  [
    (np.zeros((2, 3)), "integers"),
    (np.zeros(3, np.int32), "integers"),
    (np.zeros((0, 3), np.int32), "one or more"),
    (np.full((1, 2), 99), "run from"),
    (np.full((1, 2), -1), "run from"),
  ],
)
def test_rows_that_are_no_words_are_refused(rows, message):
  with pytest.raises(InputError, match=message):
    words.word_kind(vocabulary()).check(rows)


def test_a_folder_called_docs_is_the_user_s_and_is_read_whole(tmp_path):
  (tmp_path / "docs").mkdir()
  spec = str(tmp_path / "docs")
  corpus(tmp_path, "".join(f"a cat{i}.\n\n" for i in range(30)), "docs/a.txt")
  assert len(words.open_words(spec, min_count=1).vocabulary.words) == 32
