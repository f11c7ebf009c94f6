"""Rows of tokens: windows, whole sentences, and pairs of segments."""

import numpy as np
import pytest

from jaxssl.data import packing
from jaxssl.data.tokenizers import END, FIRST, PAD
from jaxssl.errors import InputError


def numbers(start, stop):
  return np.arange(start, stop, dtype=np.int32)


def documents(count=6, sentences=30, seed=0):
  """Sentences of 3 to 9 tokens; a token tells its document and its place."""
  rng = np.random.default_rng(seed)
  made = []
  for i in range(count):
    place, found = 1000 * (i + 1), []
    for size in rng.integers(3, 10, sentences):
      found.append(numbers(place, place + size))
      place += size
    made.append(found)
  return made


def words(row):
  return row[row >= 1000]


def test_every_place_begins_a_window():
  source = packing.Windows(numbers(0, 10), 4)
  assert len(source) == 7
  found = source[np.arange(7)]["input"]
  np.testing.assert_array_equal(found, [numbers(i, i + 4) for i in range(7)])
  with pytest.raises(InputError, match="windows"):
    source.arrays()


def test_documents_are_joined_by_an_end():
  joined = packing.join([numbers(5, 7), numbers(8, 10)])
  assert joined.tolist() == [5, 6, END, 8, 9]
  assert packing.join([numbers(5, 7)]).tolist() == [5, 6]


def test_rows_leave_out_what_fills_none():
  assert packing.rows(numbers(0, 10), 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_too_little_text_is_said():
  with pytest.raises(InputError, match="3 tokens don't fill a row of 4"):
    packing.rows(numbers(0, 3), 4)
  with pytest.raises(InputError, match="3 tokens don't fill"):
    packing.Windows(numbers(0, 3), 4)


def test_single_texts_are_cut_and_padded():
  texts = [numbers(5, 7), numbers(5, 12)]
  assert packing.single(texts, 4, marked=False).tolist() == [[5, 6, 0, 0], [5, 6, 7, 8]]
  marked = packing.single(texts, 4, marked=True)
  assert marked.tolist() == [[FIRST, 5, 6, END], [FIRST, 5, 6, END]]


def test_sentences_stay_whole():
  given = documents()
  found = packing.full_sentences(given, 32)
  assert found.shape[1] == 32
  assert (found[:, 0] == FIRST).all()
  kept = [words(row) for row in found]
  np.testing.assert_array_equal(
    np.concatenate(kept), np.concatenate([s for d in given for s in d])
  )
  starts = {int(s[0]) for d in given for s in d}
  assert all(int(row[0]) in starts for row in kept)
  lengths = (found != PAD).sum(axis=1)
  assert (lengths[:-1] > 32 - 10).all()
  assert all(row[n - 1] == END for row, n in zip(found, lengths, strict=True))


def test_documents_are_separated_in_a_row():
  given = [[numbers(1000, 1003)], [numbers(2000, 2003)]]
  (row,) = packing.full_sentences(given, 12)
  ids = [FIRST, 1000, 1001, 1002, END, 2000, 2001, 2002, END, 0, 0, 0]
  assert row.tolist() == ids


def test_long_sentences_are_cut_into_rows():
  found = packing.full_sentences([[numbers(1000, 1020)]], 10)
  assert [len(words(row)) for row in found] == [8, 8, 4]


def test_no_sentence_is_said():
  with pytest.raises(InputError, match="no sentence"):
    packing.full_sentences([[]], 10)


@pytest.fixture(scope="module")
def pairs():
  return packing.segment_pairs(documents(), 32, duplicates=20)


def halves(pairs):
  """First and second segment of each row, without special tokens."""
  for ids, segments in zip(pairs.ids, pairs.segments, strict=True):
    yield words(ids[segments == 0]), words(ids[segments == 1])


def test_pairs_look_as_bert_reads_them(pairs):
  for ids, segments in zip(pairs.ids, pairs.segments, strict=True):
    used = ids[ids != PAD]
    assert used[0] == FIRST and used[-1] == END and (used == END).sum() == 2
    second = np.flatnonzero(used == END)[0] + 1
    np.testing.assert_array_equal(segments[: len(used)], np.arange(len(used)) >= second)
    assert not segments[len(used) :].any()


def test_random_seconds_are_of_other_documents(pairs):
  for (first, second), is_random in zip(halves(pairs), pairs.random, strict=True):
    assert len(first) and len(second)
    assert (first[0] // 1000 != second[0] // 1000) == is_random
    if not is_random:
      assert first[-1] < second[0]


def test_about_half_of_the_pairs_are_random(pairs):
  assert 0.45 < pairs.random.mean() < 0.6  # more: a single sentence has no next


def test_most_rows_are_full(pairs):
  lengths = (pairs.ids != PAD).sum(axis=1)
  assert lengths.max() == 32
  assert np.mean(lengths >= 26) > 0.7


def test_what_random_seconds_replace_is_used_again():
  once = packing.segment_pairs(documents(), 32, short=0.0)
  firsts = np.concatenate([first for first, _ in halves(once)])
  every = np.concatenate([s for d in documents() for s in d])
  seconds = [s for (_, s), r in zip(halves(once), once.random, strict=True) if not r]
  used = set(firsts) | set(np.concatenate(seconds))
  assert len(used) > 0.9 * len(every)  # the rest was cut from longer segments


def test_pairs_depend_on_the_seed_alone():
  one, two, other = (
    packing.segment_pairs(documents(), 32, seed=seed) for seed in (0, 0, 1)
  )
  np.testing.assert_array_equal(one.ids, two.ids)
  assert one.ids.shape != other.ids.shape or (one.ids != other.ids).any()


def test_one_document_has_no_random_next():
  with pytest.raises(InputError, match=r"1 document\(s\).*folder"):
    packing.segment_pairs(documents(count=1), 32)


def test_rows_without_room_are_refused():
  with pytest.raises(InputError, match="no room"):
    packing.segment_pairs(documents(), 4)
