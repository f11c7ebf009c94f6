"""Texts as data sets of token ids: packed to pretrain on, one a row to score."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxssl.data import packing
from jaxssl.data.kept import is_kept, read_kept
from jaxssl.data.kinds import Kind
from jaxssl.data.packing import TextPair
from jaxssl.data.sources import ArraySource, DataSet, Left, Source
from jaxssl.data.text import (
  DOCS,
  Corpus,
  held_out,
  probe_set,
  read_text,
  sentences,
  text_name,
)
from jaxssl.data.tokenizers import (
  SPECIAL,
  Tokenizer,
  tokenizer_from,
  train_tokenizer,
)
from jaxssl.errors import InputError, nearest

PyTree = Any
PACKINGS = ("windows", "rows", "sentences", "pairs")
MARKED = ("sentences", "pairs")  # rows start with [CLS] and end with [SEP]


class Form(NamedTuple):
  """What texts become.

  Attributes:
    tokenizer: gives the ids.
    packing: one of `PACKINGS`.
    length: tokens of a row.
  """

  tokenizer: Tokenizer
  packing: str
  length: int


def text_data(
  spec: str,
  *,
  tokenizer: str,
  vocabulary: int,
  packing: str,
  length: int,
  holdout: float = 0.1,
  probe: str = "",
  probe_test: str = "",
  duplicates: int = 1,
) -> DataSet:
  """Opens texts as rows of token ids; the tokenizer is trained on them.

  Args:
    spec: what `read_text` opens.
    tokenizer: "characters", "byte-pairs" or "word-pieces"; see `train_tokenizer`.
    vocabulary: most ids.
    packing: "windows": every window of the joined texts (GPT on small text); "rows":
      the joined texts cut into rows (GPT); "sentences": whole sentences (RoBERTa);
      "pairs": pairs of segments, `TextPair` (BERT).
    length: tokens of a row.
    holdout: share of the text that is kept for the test split; see `held_out`.
    probe: a .tsv of labelled texts to learn from, on which features are scored; "":
      none, but paragraphs by topic where `spec` is "docs".
    probe_test: a .tsv of labelled texts to test; with `probe` only.
    duplicates: times that pairs are drawn from the texts.

  Returns:
    The data set; `like` opens other texts, one a row, by the same tokenizer.

  Raises:
    InputError: if something cannot be read, is empty or too short.
  """
  check_packing(packing)
  if duplicates < 1:
    raise InputError(f"duplicates is {duplicates}; pairs are drawn once or more.")
  if is_kept(spec):
    kept = read_kept(spec)
    form = Form(tokenizer_from(kept.files["tokenizer.json"]), packing, length)
    make = TextPair if packing == "pairs" else lambda ids: ids
    return _data_set(kept.name, form, *kept.splits(make), None)
  corpus = read_text(spec)
  least = 2 if packing == "pairs" else 1  # a random next is of another document
  train, test = held_out(corpus, holdout, least=least)
  trained = train_tokenizer(tokenizer, train, vocabulary=vocabulary)
  form = Form(trained, packing, length)
  return _data_set(
    corpus.name,
    form,
    pack(form, train, duplicates=duplicates, skipped=corpus.skipped),
    pack(form, test, spread=False) if test else None,
    probe_set(spec, probe, probe_test, functools.partial(examples, form)),
  )


def _data_set(name, form, train, test, probe):
  kind = text_kind(form.tokenizer, pairs=form.packing == "pairs")
  like = functools.partial(_like, form)
  files = {"tokenizer.json": form.tokenizer.text}
  return DataSet(name, train, test, (), kind, probe, like, files)


def check_packing(packing: str, allowed: Sequence[str] = PACKINGS) -> None:
  """Raises InputError for a packing that is not allowed; the nearest name is shown."""
  if packing not in allowed:
    raise InputError(
      f"There is no packing '{packing}' here.{nearest(packing, allowed)} There are: "
      f"{', '.join(allowed)}."
    )


def pack(
  form: Form,
  texts: Sequence[str],
  *,
  duplicates: int = 1,
  spread: bool = True,
  skipped: tuple[str, ...] = (),
) -> Source:
  """Packs texts into rows of one length.

  Args:
    form: tokenizer, packing and length.
    texts: the documents.
    duplicates: times that pairs are drawn.
    spread: whether "windows" are all windows, or those side by side.
    skipped: of the source.

  Returns:
    The source; its `input` is int32 [rows, length], of pairs a `TextPair`.
  """
  if form.packing in MARKED:
    return ArraySource({"input": _by_sentence(form, texts, duplicates)}, skipped)
  tokens = packing.join(form.tokenizer.encode(texts))
  if form.packing == "windows" and spread:
    return packing.Windows(tokens, form.length, skipped)
  return ArraySource({"input": packing.rows(tokens, form.length)}, skipped)


def examples(form: Form, corpus: Corpus) -> DataSet:
  """Makes a row of each text of a corpus; longer ones are cut, and named.

  Args:
    form: tokenizer, packing and length.
    corpus: the texts, with labels or without.

  Returns:
    A data set with a train split alone.
  """
  marked = form.packing in MARKED
  tokens = form.tokenizer.encode(corpus.texts)
  room = form.length - 2 * marked
  cut = tuple(
    Left(f"{text_name(corpus, i)}: cut to {room} of its {len(t)} tokens", done="cut")
    for i, t in enumerate(tokens)
    if len(t) > room
  )
  ids = packing.single(tokens, form.length, marked=marked)
  data = {"input": packing.alone(ids) if form.packing == "pairs" else ids}
  if corpus.labels is not None:
    data["label"] = corpus.labels
  source = ArraySource(data, corpus.skipped + cut, corpus.files)
  kind = text_kind(form.tokenizer, pairs=form.packing == "pairs")
  return DataSet(corpus.name, source, None, corpus.classes, kind)


def text_kind(tokenizer: Tokenizer, *, pairs: bool = False) -> Kind:
  """Returns the kind of rows of token ids.

  Args:
    tokenizer: says which ids there are, and how they read.
    pairs: whether examples are `TextPair`.

  Returns:
    The kind; its raw features are counts of the tokens that are not special.
  """
  vocabulary = tokenizer.vocabulary
  ids_of = lambda inputs: inputs.ids if pairs else inputs

  def check(inputs):
    if pairs != isinstance(inputs, TextPair):
      raise InputError(
        f"These texts are {type(inputs).__name__}; wanted are "
        f"{'TextPair' if pairs else 'token ids, [batch, length]'}."
      )
    check_ids(ids_of(inputs), vocabulary=vocabulary)

  @functools.partial(jax.jit, static_argnames="patches")
  def raw(inputs, patches=False):
    return bag_of_tokens(ids_of(inputs), vocabulary=vocabulary, patches=patches)

  def tiles(inputs):
    check(inputs)
    return [tokenizer.decode(row) for row in np.asarray(ids_of(inputs)).tolist()]

  bag = {"characters": "bag of characters", "word-pieces": "bag of words"}
  name = bag.get(tokenizer.kind, "bag of tokens")
  return Kind("text", check, raw, lambda inputs: name, tiles)


def check_ids(ids: Any, *, vocabulary: int) -> None:
  """Checks rows of token ids.

  Args:
    ids: int [batch, length].
    vocabulary: number of ids.

  Raises:
    InputError: for another rank or type, no rows, or ids that don't exist.
  """
  ids = np.asarray(ids)
  if ids.ndim != 2 or ids.dtype.kind not in "iu":
    raise InputError(
      f"Token ids are integers [batch, length]; got {ids.dtype} {ids.shape}."
    )
  if not ids.size:
    raise InputError(f"There are no tokens in rows of shape {ids.shape}.")
  if ids.min() < 0 or ids.max() >= vocabulary:
    raise InputError(
      f"Token ids go from {ids.min()} to {ids.max()}; this vocabulary has 0 to "
      f"{vocabulary - 1}. Was the text encoded by another tokenizer?"
    )


def bag_of_tokens(ids: jax.Array, *, vocabulary: int, patches: bool) -> jax.Array:
  """How often each id occurs in a row, special ones left out.

  Args:
    ids: int [batch, length].
    vocabulary: number of ids.
    patches: whether for each token by itself.

  Returns:
    float32 [batch, vocabulary], with `patches` [batch, length, vocabulary].
  """
  counts = (ids >= len(SPECIAL)).astype(jnp.float32)
  if patches:
    return jax.nn.one_hot(ids, vocabulary) * counts[:, :, None]
  row = jnp.arange(ids.shape[0])[:, None]
  return jnp.zeros((ids.shape[0], vocabulary)).at[row, ids].add(counts)


def _by_sentence(form, texts, duplicates):
  split = [sentences(text) for text in texts]
  tokens = iter(form.tokenizer.encode([s for document in split for s in document]))
  documents = [[next(tokens) for _ in document] for document in split]
  if form.packing == "sentences":
    return packing.full_sentences(documents, form.length)
  return packing.segment_pairs(documents, form.length, duplicates=duplicates)


def _like(form, spec):
  corpus = read_text(spec)
  if spec == DOCS or corpus.files or corpus.labels is not None:
    return examples(form, corpus)
  lines = tuple(x for x in corpus.texts[0].split("\n") if x.strip())
  return examples(form, corpus._replace(texts=lines))
