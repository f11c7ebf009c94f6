"""From documents of tokens to rows of one length: windows, rows, sentences, pairs."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from jaxssl.data.sources import Arrays
from jaxssl.data.tokenizers import END, FIRST, PAD
from jaxssl.errors import InputError

Ids = np.ndarray


class TextPair(NamedTuple):
  """Two segments in a row, as BERT reads them: [CLS] first [SEP] second [SEP].

  Attributes:
    ids: int32 [batch, length], padded.
    segments: int32 [batch, length], 1 in the second segment.
    random: int32 [batch], 1 where the second segment isn't what follows the first.
  """

  ids: jax.Array
  segments: jax.Array
  random: jax.Array


@dataclass(frozen=True, eq=False)
class Windows:
  """Every window of a text is an example, as nanoGPT draws them.

  A source that keeps the text alone, and cuts what is asked for.

  Attributes:
    tokens: the text, int32 [tokens].
    length: of a window.
    skipped: what could not be read, "name: reason" each.
  """

  tokens: Ids
  length: int
  skipped: tuple[str, ...] = ()

  resident = False
  files = ()

  def __post_init__(self):
    _check_length(self.tokens, self.length)

  def __len__(self) -> int:
    return len(self.tokens) - self.length + 1

  def __getitem__(self, indices: np.ndarray) -> Arrays:
    starts = np.asarray(indices)[:, None]
    return {"input": self.tokens[starts + np.arange(self.length)]}

  def arrays(self) -> Arrays:
    """Raises an InputError: the windows are many times the text."""
    raise InputError("windows of a text are cut as they are needed; index the source")


def join(documents: Sequence[Ids]) -> Ids:
  """Joins documents with an end token between them, int32 [tokens]."""
  parts = [x for document in documents for x in (np.asarray([END], np.int32), document)]
  return np.concatenate(parts[1:])


def rows(tokens: Ids, length: int) -> Ids:
  """Cuts a text into rows, int32 [rows, length]; what doesn't fill one is left out.

  Raises:
    InputError: if there isn't one row.
  """
  _check_length(tokens, length)
  count = len(tokens) // length
  return tokens[: count * length].reshape(count, length)


def single(texts: Sequence[Ids], length: int, *, marked: bool) -> Ids:
  """Makes a row of each text, cut or padded to the length.

  Args:
    texts: ids of each.
    length: of a row.
    marked: whether a row is [CLS] text [SEP], or the text alone.

  Returns:
    int32 [texts, length].
  """
  room = length - 2 * marked
  return _stack((_marked(t[:room]) if marked else t[:length] for t in texts), length)


def full_sentences(documents: Sequence[Sequence[Ids]], length: int) -> Ids:
  """Fills rows with whole sentences, of one or more documents (RoBERTa's section 4.2).

  A row is [CLS] sentences [SEP], with another [SEP] where a document ends. A sentence
  longer than a row is cut into several.

  Args:
    documents: the sentences of each, as ids.
    length: of a row.

  Returns:
    int32 [rows, length], padded.

  Raises:
    InputError: if there is no sentence, or rows have no room for tokens.
  """
  _check_room(length, 3)
  found, row = [], []
  for document in documents:
    for piece in _pieces(document, length - 2):
      if len(row) + len(piece) > length - 2:
        found.append(row)
        row = []
      row = [*row, *piece]
    if row and len(row) < length - 2 and row[-1] != END:
      row = [*row, END]
  found.append(row)
  filled = [_marked(r[:-1] if r[-1] == END else r) for r in found if len(r)]
  if not filled:
    raise InputError("There is no sentence in these texts.")
  return _stack(filled, length)


def segment_pairs(
  documents: Sequence[Sequence[Ids]],
  length: int,
  *,
  seed: int = 0,
  duplicates: int = 1,
  short: float = 0.1,
) -> TextPair:
  """Cuts documents into pairs of segments, half of them with a random second one.

  As BERT's official code makes them: sentences are gathered until they fill a row and
  split in two at a random place; in half of the cases the second part comes from
  another document, and what it replaces is used for the next row. The longer segment
  loses tokens, at random from its front or its end, until both fit.

  Args:
    documents: the sentences of each, as ids.
    length: of a row, special tokens included.
    seed: draws places, documents and lengths.
    duplicates: times that the documents are cut, each time in another way.
    short: share of the rows that are filled to a random shorter length only.

  Returns:
    The pairs, arrays of numpy.

  Raises:
    InputError: if there are fewer than two documents with sentences, or rows have no
      room for both segments.
  """
  _check_room(length, 5)
  documents = [[s for s in d if len(s)] for d in documents]
  documents = [d for d in documents if d]
  if len(documents) < 2:
    raise InputError(
      f"There are {len(documents)} document(s); the next sentence is told from one of "
      "another document, so there must be two, and as many held out: give a folder."
    )
  rng = random.Random(seed)
  drawn = [
    pair
    for _ in range(duplicates)
    for i in range(len(documents))
    for pair in _pairs_of(documents, i, length - 3, short, rng)
  ]
  ids = _stack((_marked(a, b) for a, b, _ in drawn), length)
  segments = np.zeros_like(ids)
  for row, (a, b, _) in zip(segments, drawn, strict=True):
    row[len(a) + 2 : len(a) + len(b) + 3] = 1
  return TextPair(ids, segments, np.asarray([r for *_, r in drawn], np.int32))


def alone(ids: Ids) -> TextPair:
  """Rows of one segment as pairs without a second."""
  return TextPair(ids, np.zeros_like(ids), np.zeros(len(ids), np.int32))


def _pairs_of(
  documents, i, room, short, rng
) -> Iterator[tuple[list[int], list[int], int]]:
  """The pairs of document `i`: first segment, second segment, whether it is random."""
  document, place = documents[i], 0
  while place < len(document):
    target = rng.randint(2, room) if rng.random() < short else room
    chunk = _gather(document, place, target)
    cut = rng.randint(1, len(chunk) - 1) if len(chunk) > 1 else 1
    is_random = len(chunk) == 1 or rng.random() < 0.5
    first, second = _flat(chunk[:cut]), _flat(chunk[cut:])
    if is_random:
      second = _elsewhere(documents, i, target - len(first), rng)
    yield *_fit(first, second, room, rng), int(is_random)
    place += cut if is_random else len(chunk)


def _gather(document, place, target):
  """Sentences from `place` on until they have `target` tokens."""
  chunk, size = [], 0
  while place + len(chunk) < len(document) and size < target:
    chunk.append(document[place + len(chunk)])
    size += len(chunk[-1])
  return chunk


def _elsewhere(documents, i, target, rng):
  """Sentences of another document from a random place on."""
  other = rng.randrange(len(documents) - 1)
  document = documents[other + (other >= i)]
  start = rng.randrange(len(document))
  return _flat(_gather(document, start, max(target, 1)))


def _fit(first, second, room, rng):
  """Shortens the longer segment, token by token, until both have room."""
  while len(first) + len(second) > room:
    longer = first if len(first) > len(second) else second
    longer.pop(0 if rng.random() < 0.5 else -1)
  return first, second


def _flat(chunk):
  return [token for sentence in chunk for token in sentence.tolist()]


def _pieces(document, room):
  """The sentences of a document, long ones in pieces."""
  for sentence in document:
    for start in range(0, len(sentence), room):
      yield sentence[start : start + room].tolist()


def _marked(*segments):
  """[CLS] segment [SEP], and each further segment with its own [SEP]."""
  return [FIRST, *(token for s in segments for token in (*s, END))]


def _stack(found, length):
  found = list(found)
  made = np.full((len(found), length), PAD, np.int32)
  for row, tokens in zip(made, found, strict=True):
    row[: len(tokens)] = tokens
  return made


def _check_length(tokens, length):
  if length < 2 or len(tokens) < length:
    raise InputError(
      f"{len(tokens)} tokens don't fill a row of {length}; give more text or shorter "
      "rows, of 2 tokens or more."
    )


def _check_room(length, least):
  if length < least:
    raise InputError(
      f"Rows of {length} have no room for text beside the special tokens; {least} is "
      "the least."
    )
