"""Texts of the user's own: text files, folders of them, lines with labels.

What can be opened, by `read_text`:

- "docs": Python's own documentation, one document a topic, which ships with it;
- a `.txt` file: one document;
- a folder: every `.txt` in it or below is a document, in the order of their paths;
- a `.tsv` file: one example a line, LABEL<TAB>TEXT; labels are any words.

All are UTF-8; each file may be compressed, as `.txt.gz` or `.tsv.gz`. Endings may be
in capitals.
"""

import gzip
import os
import pathlib
import re
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from jaxssl.data.sources import DataSet, Left
from jaxssl.errors import InputError, nearest

DOCS = "docs"
ENDINGS = (".txt", ".txt.gz")
TABLES = (".tsv", ".tsv.gz")

# Long topics of the documentation that are no parts of each other.
TOPICS = (
  *("compound", "types", "formatstrings", "string-methods", "typesseq"),
  *("debugger", "customization", "typesmapping", "assignment", "execmodel"),
)
HELD_OUT = 5  # one of so many paragraphs is for tests
WORDS = 8  # fewer are no paragraph: headings, single lines of code


class Corpus(NamedTuple):
  """Texts, in order.

  Attributes:
    name: for logs and reports.
    texts: documents, or examples where there are labels.
    labels: of each text, its place in `classes`; None where there are none.
    classes: names of the labels; empty where there are none.
    files: the file of each text, relative to its folder; empty without a folder.
    skipped: what could not be read, "name: reason" each.
    by_topic: whether these are Python's topics, of each of which a part is held out.
  """

  name: str
  texts: tuple[str, ...]
  labels: np.ndarray | None = None
  classes: tuple[str, ...] = ()
  files: tuple[str, ...] = ()
  skipped: tuple[str, ...] = ()
  by_topic: bool = False


def read_text(spec: str | os.PathLike) -> Corpus:
  """Opens texts by what a user would type; see the head of this module.

  Args:
    spec: "docs", or the path of a .txt file, a .tsv file or a folder.

  Returns:
    The texts; those of a .tsv with labels.

  Raises:
    InputError: if there is no such data, none of it is text, or a file is no UTF-8
      (of a folder such files are left out, and named in `skipped`).
  """
  if spec == DOCS:
    return Corpus(DOCS, tuple(_topics().values()), by_topic=True)
  path = pathlib.Path(spec).expanduser()
  if path.is_dir():
    return _folder(path)
  if not path.is_file():
    raise InputError(
      f"There is no text '{spec}'.{nearest(str(spec), [DOCS])} Give a .txt or .tsv "
      "file, a folder of .txt files, or 'docs'."
    )
  if _ends(path, TABLES):
    return _table(path)
  if not _ends(path, ENDINGS):
    raise InputError(f"{path} is neither {', '.join(ENDINGS)} nor {', '.join(TABLES)}.")
  return _not_empty(Corpus(path.name, (read_file(path),)))


def read_file(path: pathlib.Path) -> str:
  """Returns the text of a UTF-8 file, compressed or not, its lines ended by "\\n".

  Raises:
    InputError: if it can't be read or has bytes that are no UTF-8, with their offset.
  """
  try:
    data = path.read_bytes()
    data = gzip.decompress(data) if _ends(path, (".gz",)) else data
    text = data.decode("utf-8")
  except UnicodeDecodeError as error:
    line = data[: error.start].count(b"\n") + 1
    raise InputError(
      f"{path} is no UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}, in "
      f"line {line}. Save it as UTF-8."
    ) from error
  except (OSError, EOFError, zlib.error) as error:
    raise InputError(f"{path} cannot be read: {error}.") from error
  return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _ends(path, endings):
  return path.name.lower().endswith(endings)


def sentences(text: str) -> list[str]:
  """Splits a text after . ! ? and at empty lines.

  It is no parser: "Mr. Smith" is two sentences. Text with a sentence a line and empty
  lines between keeps its own.
  """
  parts = re.split(r"(?:(?<=[.!?])|(?<=[.!?][\"')\]’”]))\s+|\n\s*\n", text)
  return [part.strip() for part in parts if part and part.strip()]


def held_out(
  corpus: Corpus, share: float, *, least: int = 1
) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """Splits off the end of a corpus.

  Args:
    corpus: the texts.
    share: of the texts; where there is only one, of its characters. Of "docs" it
      is a fifth of the paragraphs, whatever the share; 0: nothing is held out.
    least: texts that are held out, where there are several.

  Returns:
    The texts to train on, and those held out.

  Raises:
    InputError: unless the share is from 0 to below 1.
  """
  if not 0.0 <= share < 1.0:
    raise InputError(f"A share of {share} cannot be held out; it is from 0 to below 1.")
  texts = corpus.texts
  if not share:
    return texts, ()
  if corpus.by_topic:
    split = zip(*(_a_fifth_apart(paragraphs(text)) for text in texts), strict=True)
    first, last = (tuple("\n\n".join(x) for x in part if x) for part in split)
    return first, last
  if len(texts) == 1:
    cut = int(len(texts[0]) * (1.0 - share))
    return (texts[0][:cut],), (texts[0][cut:],)
  cut = len(texts) - max(least, round(len(texts) * share))
  return texts[: max(cut, 1)], texts[max(cut, 1) :]


def docs_probe() -> tuple[Corpus, Corpus]:
  """Returns paragraphs of Python's documentation, labelled by their topic.

  Four fifths of ten topics to learn from, and the rest, which `held_out` keeps out of
  the training texts, to test.
  """
  topics = _topics()
  classes = tuple(name for name in TOPICS if name in topics)
  parts = [_a_fifth_apart(paragraphs(topics[name])) for name in classes]
  return tuple(
    _labelled(f"{DOCS}, {split}", [p[i] for p in parts], classes)
    for i, split in enumerate(("train", "test"))
  )


def probe_set(spec: str, train: str, test: str, form: Callable) -> DataSet | None:
  """Opens the labelled texts that features are scored on.

  Args:
    spec: the text that is trained on; "docs" has labelled texts of its own.
    train: a .tsv file of labels and texts to learn from, or "".
    test: another to be judged on, or "".
    form: (Corpus) -> DataSet, the rows that a net reads.

  Returns:
    Both as one data set, their labels numbered alike; None where there are none.

  Raises:
    InputError: if only one is given, one has no labels, or the second has a label
      that the first has not.
  """
  if bool(train) != bool(test):
    raise InputError(
      "Features are scored on two files: give both probe and probe_test."
    )
  if not train and spec != DOCS:
    return None
  pair = (read_text(train), read_text(test)) if train else docs_probe()
  for corpus in pair:
    if corpus.labels is None:
      raise InputError(f"{corpus.name} has no labels; a probe is a .tsv file.")
  first, second = map(form, _same_classes(*pair))
  return first._replace(test=second.train)


def text_name(corpus: Corpus, i: int) -> str:
  """What messages call a text of a corpus: its file, or its place."""
  return corpus.files[i] if corpus.files else f"{corpus.name}, text {i + 1}"


def _same_classes(train, test):
  """Gives the test texts the numbers that the labels have in the training texts."""
  unknown = set(test.classes) - set(train.classes)
  if unknown:
    raise InputError(
      f"{test.name} has the label '{min(unknown)}', which {train.name} does not."
    )
  numbers = np.asarray([train.classes.index(name) for name in test.classes], np.int32)
  return train, test._replace(labels=numbers[test.labels], classes=train.classes)


def paragraphs(text: str) -> list[str]:
  """Returns the parts of a text between empty lines."""
  return [part for part in re.split(r"\n\s*\n", text) if part.strip()]


def _labelled(name, groups, classes):
  long = lambda text: len(text.split()) >= WORDS
  found = [(" ".join(t.split()), i) for i, g in enumerate(groups) for t in g if long(t)]
  texts, labels = zip(*found, strict=True)
  return Corpus(name, texts, np.asarray(labels, np.int32), classes)


def _a_fifth_apart(parts):
  """Chooses by the words: what two topics say is in one split."""
  chosen = lambda part: zlib.crc32(" ".join(part.split()).encode()) % HELD_OUT == 0
  return [x for x in parts if not chosen(x)], [x for x in parts if chosen(x)]


def _topics():
  try:
    from pydoc_data.topics import topics
  except ImportError as error:  # some distributions leave it out
    raise InputError(
      "This Python has no pydoc_data; give texts of your own instead of 'docs'."
    ) from error
  return dict(sorted(topics.items()))


def _folder(folder):
  paths = [p for p in sorted(folder.rglob("*")) if _ends(p, ENDINGS)]
  if not paths:
    raise InputError(f"{folder} has no file that ends in {' or '.join(ENDINGS)}.")
  texts, files, skipped = [], [], []
  for path in paths:
    name = str(path.relative_to(folder))
    try:
      text = read_file(path)
    except InputError as error:
      skipped.append(Left(f"{name}: {error}", what="file"))
      continue
    if not text.strip():
      skipped.append(Left(f"{name}: there is no text in it", what="file"))
      continue
    texts.append(text)
    files.append(name)
  found = Corpus(folder.name, tuple(texts), files=tuple(files), skipped=tuple(skipped))
  return _not_empty(found, *skipped[:1])


def _table(path):
  """A .tsv; lines without text are left out, and named."""
  rows, skipped = [], []
  for number, line in enumerate(read_file(path).split("\n"), 1):
    if not line.strip():
      continue
    cells = line.split("\t")
    if len(cells) != 2:
      raise InputError(
        f"Line {number} of {path} has {len(cells)} column(s); each line is a label, a "
        "tab and a text."
      )
    if not cells[1].strip():
      line = f"{path.name}, line {number}: there is no text after the label"
      skipped.append(Left(line, what="line"))
      continue
    rows.append(cells)
  classes = tuple(sorted({label for label, _ in rows}, key=_numbers_first))
  labels = np.asarray([classes.index(label) for label, _ in rows], np.int32)
  texts = tuple(text for _, text in rows)
  found = Corpus(path.name, texts, labels, classes, skipped=tuple(skipped))
  return _not_empty(found, *skipped[:1])


def _numbers_first(label):
  """Sorts "2" before "10"."""
  number = label.removeprefix("-").isdecimal()
  return (0, int(label), label) if number else (1, 0, label)


def _not_empty(corpus, *why):
  if not any(text.strip() for text in corpus.texts):
    raise InputError(f"{corpus.name} has no text in it. {'; '.join(why)}".strip())
  return corpus
