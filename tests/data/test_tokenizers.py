"""Tokenizers: there and back, always the same, kept as text."""

import subprocess
import sys

import pytest

from jaxssl.data import read_text
from jaxssl.data.tokenizers import (
  KINDS,
  SPECIAL,
  UNKNOWN,
  tokenizer_from,
  train_tokenizer,
)
from jaxssl.errors import InputError

TEXTS = ("The cat sat on the mat. The rat ate the cat's hat!", "A fat rat; a tin hat.")
SMALL = {"characters": 0, "byte-pairs": 280, "word-pieces": 100}
kinds = pytest.mark.parametrize("kind", KINDS)


def made(kind):
  return train_tokenizer(kind, TEXTS, vocabulary=SMALL[kind])


@kinds
def test_there_and_back(kind):
  tokenizer = made(kind)
  (ids,) = tokenizer.encode(["the cat ate a rat"])
  assert tokenizer.decode(ids) == "the cat ate a rat"
  assert ids.min() >= len(SPECIAL)
  assert ids.max() < tokenizer.vocabulary


@kinds
def test_the_text_is_the_tokenizer(kind):
  tokenizer = made(kind)
  again = tokenizer_from(tokenizer.text)
  assert (again.kind, again.vocabulary) == (kind, tokenizer.vocabulary)
  assert again.text == tokenizer.text
  for ours, theirs in zip(tokenizer.encode(TEXTS), again.encode(TEXTS), strict=True):
    assert ours.tolist() == theirs.tolist()


def test_another_process_makes_the_same():
  """The library's own trainer of word pieces does not."""
  script = (
    "from jaxssl.data import read_text, train_tokenizer\n"
    "text = read_text('docs').texts[:8]\n"
    "for kind, size in (('byte-pairs', 400), ('word-pieces', 600)):\n"
    "  print(train_tokenizer(kind, text, vocabulary=size).text)\n"
  )
  ran = subprocess.run(
    [sys.executable, "-c", script], capture_output=True, text=True, check=True
  )
  text = read_text("docs").texts[:8]
  sizes = {"byte-pairs": 400, "word-pieces": 600}
  here = [train_tokenizer(k, text, vocabulary=n).text for k, n in sizes.items()]
  assert ran.stdout.splitlines() == here


@kinds
def test_special_ids_are_the_same_everywhere(kind):
  decoded = made(kind).decode(range(len(SPECIAL))).replace(" ", "")
  assert decoded == "[UNK][CLS][SEP][MASK]"


@pytest.mark.parametrize("kind", ["characters", "word-pieces"])
def test_what_was_never_seen_is_unknown(kind):
  (ids,) = made(kind).encode(["é"] if kind == "characters" else ["q"])
  assert ids.tolist() == [UNKNOWN]


def test_bytes_leave_nothing_unknown():
  tokenizer = made("byte-pairs")
  (ids,) = tokenizer.encode(["Qué? 日本"])
  assert UNKNOWN not in ids
  assert tokenizer.decode(ids) == "Qué? 日本"


@pytest.mark.parametrize("kind", ["byte-pairs", "word-pieces"])
def test_text_that_spells_a_special_token_is_text(kind):
  (ids,) = made(kind).encode(["the [MASK] sat"])
  assert 4 not in ids


def test_word_pieces_are_of_lower_case():
  first, second = made("word-pieces").encode(["THE CAT", "the cat"])
  assert first.tolist() == second.tolist()


@pytest.mark.parametrize("kind", ["byte-pairs", "word-pieces"])
def test_a_vocabulary_smaller_than_the_alphabet_is_said(kind):
  with pytest.raises(InputError, match="too small"):
    train_tokenizer(kind, TEXTS, vocabulary=8)


def test_no_text_is_said():
  with pytest.raises(InputError, match="empty"):
    train_tokenizer("characters", [" "])


def test_an_unknown_kind_is_said():
  with pytest.raises(InputError, match="Did you mean 'byte-pairs'"):
    train_tokenizer("byte-pair", TEXTS)


@pytest.mark.parametrize("text", ["no json", "{}", "[]"])
def test_what_is_no_tokenizer_is_said(text):
  with pytest.raises(InputError, match=r"tokenizer.json"):
    tokenizer_from(text)


def test_the_missing_package_is_named(monkeypatch):
  monkeypatch.setitem(sys.modules, "tokenizers", None)
  with pytest.raises(InputError, match="pip install tokenizers"):
    train_tokenizer("byte-pairs", TEXTS)
