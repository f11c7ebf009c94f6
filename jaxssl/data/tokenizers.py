"""From text to token ids and back: characters, byte pairs, word pieces.

Each is trained on the user's own texts, which always give the same tokenizer, and is
kept as a string of JSON. The first five ids mean the same everywhere.
"""

import collections
import json
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxssl.errors import InputError, nearest

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNKNOWN, FIRST, END, MASK = range(len(SPECIAL))


class Tokenizer(NamedTuple):
  """A tokenizer.

  Attributes:
    kind: one of `KINDS`.
    vocabulary: number of ids; 0 ... 4 are `SPECIAL`.
    encode: (texts) -> ids of each, int32 [length], none of them special but UNKNOWN.
    decode: (ids) -> text; special ones are shown, padding isn't.
    text: JSON, which `tokenizer_from` reads.
  """

  kind: str
  vocabulary: int
  encode: Callable[[Sequence[str]], list[np.ndarray]]
  decode: Callable[[Sequence[int]], str]
  text: str


def train_tokenizer(
  kind: str, texts: Sequence[str], *, vocabulary: int = 8192
) -> Tokenizer:
  """Makes a tokenizer from texts; the same texts give the same one.

  Args:
    kind: "characters"; "byte-pairs", as GPT-2 and RoBERTa have them, which leaves
      nothing unknown; or "word-pieces", as uncased BERT.
    texts: what to train on.
    vocabulary: most ids; of characters there are as many as the texts have.

  Returns:
    The tokenizer.

  Raises:
    InputError: for another kind, texts that are empty, a vocabulary smaller than the
      alphabet, or if the package `tokenizers` is missing.
  """
  if kind not in KINDS:
    raise InputError(
      f"There is no tokenizer '{kind}'.{nearest(kind, KINDS)} There are: "
      f"{', '.join(KINDS)}."
    )
  if not any(text.strip() for text in texts):
    raise InputError("A tokenizer needs texts to learn from; these are empty.")
  return KINDS[kind](texts, vocabulary)


def tokenizer_from(text: str) -> Tokenizer:
  """Reads what `Tokenizer.text` holds: a run's tokenizer.json.

  Raises:
    InputError: if the text is no tokenizer of ours.
  """
  try:
    kept = json.loads(text)
    kind, model = kept["kind"], kept["model"]
  except (ValueError, KeyError, TypeError) as error:
    raise InputError("This is no tokenizer.json of a run.") from error
  if kind == "characters":
    return _of_characters(model)
  return _of_library(kind, _library().Tokenizer.from_str(json.dumps(model)))


def _characters(texts, vocabulary):
  del vocabulary
  return _of_characters("".join(sorted(set().union(*texts))))


def _of_characters(alphabet):
  ids = {c: i for i, c in enumerate(alphabet, len(SPECIAL))}
  shown = ("", *SPECIAL[1:], *alphabet)

  def encode(texts):
    return [np.asarray([ids.get(c, UNKNOWN) for c in t], np.int32) for t in texts]

  def decode(tokens):
    return "".join(shown[i] for i in tokens)

  return Tokenizer(
    "characters", len(shown), encode, decode, _kept("characters", alphabet)
  )


def _kept(kind, model):
  return json.dumps({"kind": kind, "model": model}, ensure_ascii=False)


def _byte_pairs(texts, vocabulary):
  """Byte-level pairs: the alphabet are the 256 bytes."""
  library = _library()
  alphabet = library.pre_tokenizers.ByteLevel.alphabet()
  _check_size(vocabulary, len(SPECIAL) + len(alphabet))
  made = library.Tokenizer(library.models.BPE())
  made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
  made.decoder = library.decoders.ByteLevel()
  trainer = library.trainers.BpeTrainer(
    vocab_size=vocabulary,
    special_tokens=list(SPECIAL),
    initial_alphabet=alphabet,
    show_progress=False,
  )
  made.train_from_iterator(texts, trainer)
  return _of_library("byte-pairs", made)


def _word_pieces(texts, vocabulary):
  """Word pieces of lower-case words without accents.

  The library's trainer numbers the pieces inside words in the order of a hash that
  changes from run to run; told their letters beforehand, it can't.
  """
  library = _library()
  made = library.Tokenizer(library.models.WordPiece(unk_token=SPECIAL[UNKNOWN]))
  made.normalizer = library.normalizers.BertNormalizer(lowercase=True)
  made.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
  made.decoder = library.decoders.WordPiece()
  texts = [made.normalizer.normalize_str(text) for text in texts]
  alphabet = _alphabet(texts, most=vocabulary // 4)
  first = [*SPECIAL, *alphabet, *("##" + c for c in alphabet)]
  _check_size(vocabulary, len(first))
  trainer = library.trainers.WordPieceTrainer(
    vocab_size=vocabulary, special_tokens=first, show_progress=False
  )
  known = set(alphabet)
  keep = lambda text: "".join(c if c in known else " " for c in text)
  made.train_from_iterator(map(keep, texts), trainer)
  pieces = made.get_vocab()
  return _of_library("word-pieces", _with_pieces(library, made, pieces))


def _with_pieces(library, trained, pieces):
  """The same tokenizer, of whose pieces only `SPECIAL` are special."""
  made = library.Tokenizer(library.models.WordPiece(pieces, unk_token=SPECIAL[UNKNOWN]))
  made.normalizer, made.pre_tokenizer = trained.normalizer, trained.pre_tokenizer
  made.decoder = trained.decoder
  made.add_special_tokens(list(SPECIAL))
  return made


def _alphabet(texts: Iterable[str], most: int) -> list[str]:
  """The most frequent characters but blanks, sorted."""
  counts = collections.Counter()
  for text in texts:
    counts.update(text)
  letters = [c for c in counts if not c.isspace()]
  letters.sort(key=lambda c: (-counts[c], c))
  return sorted(letters[:most])


def _check_size(vocabulary, least):
  if vocabulary < least:
    raise InputError(
      f"A vocabulary of {vocabulary} is too small; special tokens and single letters "
      f"are {least} of it."
    )


def _of_library(kind, made):
  """Wraps a tokenizer of the library; text that spells a special token is no such."""
  made.encode_special_tokens = True

  def encode(texts):
    found = made.encode_batch_fast(list(texts), add_special_tokens=False)
    return [np.asarray(x.ids, np.int32) for x in found]

  def decode(tokens):
    return made.decode([int(i) for i in tokens if i != PAD], skip_special_tokens=False)

  model = json.loads(made.to_str())
  return Tokenizer(kind, made.get_vocab_size(), encode, decode, _kept(kind, model))


def _library():
  try:
    import tokenizers
  except ImportError as error:
    raise InputError(
      "Byte pairs and word pieces need the package `tokenizers`: pip install "
      "tokenizers. 'characters' need none."
    ) from error
  return tokenizers


KINDS = {
  "characters": _characters,
  "byte-pairs": _byte_pairs,
  "word-pieces": _word_pieces,
}
