"""Words of a corpus: who is known, how often, and the windows that word2vec reads.

Word 0 is none (padding, an end of text); 1 ... n are the known words, the most frequent
first. Windows are int32 [2 * window + 1] with the word to tell in the middle; anything
else that `skip_gram` and `cbow` encode is a row of words, then 0.
"""

import functools
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxssl.data.items import bag, bag_name, check_ids, pad_rows
from jaxssl.data.kept import is_kept, read_kept
from jaxssl.data.kinds import Kind
from jaxssl.data.sources import ArraySource, DataSet, Left
from jaxssl.data.text import (
  Corpus,
  held_out,
  paragraphs,
  probe_set,
  read_text,
  text_name,
)
from jaxssl.errors import InputError
from jaxssl.ops.sampling import keep_probability

WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")
LONGEST = 1000  # words of a sentence in word2vec.c; longer ones are cut


class Vocabulary(NamedTuple):
  """The known words of a corpus.

  Attributes:
    words: the first is "", the padding.
    counts: int64 [words], how often each occurs; 0 for the padding.
  """

  words: tuple[str, ...]
  counts: np.ndarray

  def ids(self, words: Iterable[str]) -> np.ndarray:
    """Returns the ids of words, int32; those that aren't known are left out."""
    known = _numbers(self.words)
    return np.asarray([known[w] for w in words if w in known], np.int32)


class Words(NamedTuple):
  """A corpus as windows, and its vocabulary.

  Attributes:
    data: the data set: rows of windows to train on; `probe` has labelled texts as rows
      of words.
    vocabulary: the known words, which `skip_gram` and `cbow` need the counts of.
  """

  data: DataSet
  vocabulary: Vocabulary


def open_words(
  spec: str | os.PathLike,
  *,
  probe: str = "",
  probe_test: str = "",
  window: int = 5,
  min_count: int = 5,
  threshold: float = 1e-3,
  seed: int = 0,
) -> Words:
  """Opens texts as windows of words; the windows don't reach over empty lines.

  Args:
    spec: "docs", a .txt or .tsv file, or a folder, see `data.text`. Of "docs" the last
      fifth of each topic is held out, to test features on.
    probe: a .tsv of labelled texts to learn from, on which features are scored; "":
      none, but paragraphs by topic where `spec` is "docs".
    probe_test: a .tsv of labelled texts to test; with `probe` only.
    window: words on each side.
    min_count: words that occur less often are left out.
    threshold: of the subsampling of frequent words, see `ops.keep_probability`.
    seed: of the subsampling, which is drawn once.

  Raises:
    InputError: if there are no such texts, or too few words in them.
  """
  if window < 1:
    raise InputError(f"A window of {window} words has none; it is 1 or more.")
  if is_kept(spec):
    return _kept(read_kept(spec))
  corpus = read_text(spec)
  texts = held_out(corpus, 0.2)[0] if corpus.by_topic else corpus.texts
  lists = [split_words(part) for text in texts for part in paragraphs(text)]
  vocabulary = make_vocabulary(lists, min_count=min_count)
  ids = [vocabulary.ids(words) for words in lists]
  kept = subsample(ids, vocabulary.counts, threshold=threshold, seed=seed)
  rows = windows(kept, window=window)
  return _words(
    corpus.name,
    ArraySource({"input": rows}, skipped=corpus.skipped),
    vocabulary,
    probe_set(spec, probe, probe_test, functools.partial(_texts, vocabulary)),
  )


def _words(name, train, vocabulary, probe):
  data = DataSet(
    name,
    train,
    None,
    (),
    word_kind(vocabulary),
    probe=probe,
    like=lambda other: _texts(vocabulary, read_text(other)),
    files={"words.tsv": as_lines(vocabulary)},
  )
  return Words(data, vocabulary)


def _kept(kept):
  """The corpus of a run, without its windows."""
  train, _ = kept.splits(lambda ids: ids)
  pairs = [x.split("\t") for x in kept.files["words.tsv"].split("\n")[:-1]]
  words, counts = zip(("", "0"), *pairs, strict=True)
  vocabulary = Vocabulary(words, np.asarray(counts, np.int64))
  return _words(kept.name, train, vocabulary, None)


def as_lines(vocabulary: Vocabulary) -> str:
  """A vocabulary as text: a word, a tab and its count a line; the padding has none."""
  pairs = zip(vocabulary.words[1:], vocabulary.counts[1:], strict=True)
  return "".join(f"{word}\t{count}\n" for word, count in pairs)


def split_words(text: str) -> list[str]:
  """The words of a text in lower case, with inner apostrophes, hyphens and dots."""
  return WORD.findall(text.lower())


def make_vocabulary(
  sentences: Iterable[Sequence[str]], *, min_count: int = 5
) -> Vocabulary:
  """Counts the words of sentences; those of one count are in alphabetical order.

  Args:
    sentences: lists of words.
    min_count: words that occur less often are left out; 5 in word2vec.c.

  Raises:
    InputError: for an empty corpus, or one in which no two words are that frequent.
  """
  counts = Counter(word for sentence in sentences for word in sentence)
  if not counts:
    raise InputError("The corpus is empty: there is no word in it.")
  kept = [(w, c) for w, c in counts.items() if c >= min_count]
  if len(kept) < 3:
    raise InputError(
      f"{len(kept)} of {len(counts)} words occur {min_count} times or more, fewer than "
      "3; give more text or a lower min_count."
    )
  kept.sort(key=lambda pair: (-pair[1], pair[0]))
  words, counts = zip(*kept, strict=True)
  return Vocabulary(("", *words), np.asarray((0, *counts), np.int64))


def subsample(
  sentences: Iterable[np.ndarray], counts: np.ndarray, *, threshold: float, seed: int
) -> list[np.ndarray]:
  """Leaves out occurrences of frequent words, so that windows reach further.

  Args:
    sentences: ids of words, int arrays.
    counts: how often each id occurs.
    threshold: see `ops.keep_probability`.
    seed: of what is left out.

  Returns:
    The sentences with what is left of them.
  """
  keep = keep_probability(counts, threshold=threshold)
  rng = np.random.default_rng(seed)
  return [s[rng.random(len(s)) < keep[s]] for s in sentences]


def windows(sentences: Iterable[np.ndarray], *, window: int) -> np.ndarray:
  """Every word of the sentences with those around it.

  Args:
    sentences: ids of words, int arrays; cut at 1,000 words.
    window: words on each side.

  Returns:
    int32 [places, 2 * window + 1], 0 beyond the ends of a sentence; sentences of one
    word have no window.

  Raises:
    InputError: if no sentence has two words.
  """
  pieces = (s[i : i + LONGEST] for s in sentences for i in range(0, len(s), LONGEST))
  cut = [piece for piece in pieces if len(piece) > 1]
  if not cut:
    raise InputError("No sentence has two known words: there is nothing to learn from.")
  gap = np.zeros(window, np.int32)
  line = np.concatenate([gap, *(x for s in cut for x in (s, gap))]).astype(np.int32)
  whole = np.lib.stride_tricks.sliding_window_view(line, 2 * window + 1)
  return whole[whole[:, window] > 0].copy()


def word_rows(
  vocabulary: Vocabulary, texts: Iterable[str], *, length: int
) -> np.ndarray:
  """Texts as rows of words, int32 [texts, length]: the first ones, then 0."""
  ids = (vocabulary.ids(split_words(text))[:length] for text in texts)
  return pad_rows(list(ids), length)


def word_kind(vocabulary: Vocabulary) -> Kind:
  """What rows of words are: a bag of words without a net, text for a report."""
  ids = len(vocabulary.words)
  check = functools.partial(check_ids, ids=ids, what="Words")

  def tiles(inputs):
    return [" ".join(vocabulary.words[i] for i in row if i) for row in check(inputs)]

  raw = functools.partial(bag, ids=ids)
  return Kind("words", check, raw, lambda inputs: bag_name("words", ids), tiles)


def _texts(vocabulary, corpus: Corpus) -> DataSet:
  """Texts as rows of words, padded to the longest; those that are cut are named."""
  lists = [split_words(text) for text in corpus.texts]
  length = min(max(1, *map(len, lists)), LONGEST)
  ids = [vocabulary.ids(words) for words in lists]
  cut = tuple(
    Left(f"{text_name(corpus, i)}: cut to {length} of its {n} known words", done="cut")
    for i, n in enumerate(map(len, ids))
    if n > length
  )
  arrays = {"input": pad_rows([row[:length] for row in ids], length)}
  if corpus.labels is not None:
    arrays["label"] = corpus.labels
  source = ArraySource(arrays, skipped=corpus.skipped + cut, files=corpus.files)
  return DataSet(corpus.name, source, None, corpus.classes, word_kind(vocabulary))


@functools.lru_cache(maxsize=4)
def _numbers(words):
  return {word: i for i, word in enumerate(words) if i}
