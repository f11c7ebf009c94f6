"""Texts as rows of one sentence each, as SimCSE reads them."""

import os

from jaxssl.data.kept import is_kept
from jaxssl.data.sources import DataSet
from jaxssl.data.text import Corpus, held_out, read_text, sentences
from jaxssl.data.text_sets import Form, examples, text_data
from jaxssl.data.tokenizers import tokenizer_from
from jaxssl.errors import InputError


def sentence_data(
  spec: str | os.PathLike,
  *,
  tokenizer: str = "word-pieces",
  vocabulary: int = 8192,
  length: int = 32,
  least: int = 4,
  holdout: float = 0.1,
  probe: str = "",
  probe_test: str = "",
) -> DataSet:
  """Opens texts as rows [CLS] sentence [SEP]; the tokenizer is trained on them.

  Args:
    spec: what `read_text` opens; each text of a .tsv is a sentence.
    tokenizer: see `train_tokenizer`.
    vocabulary: most ids.
    length: tokens of a row; longer sentences are cut, counted and named.
    least: sentences of fewer words are left out: headings, single names. They are not
      counted: nothing is wrong with them.
    holdout: share of the texts that is left out; see `held_out`.
    probe: see `text_data`.
    probe_test: see `text_data`.

  Returns:
    The data set, without a test split of its own; files that can't be read are named
    in `train.skipped`.

  Raises:
    InputError: if something cannot be read, or there are no two such sentences.
  """
  form = {"tokenizer": tokenizer, "vocabulary": vocabulary, "length": length}
  more = {"holdout": holdout, "probe": probe, "probe_test": probe_test}
  whole = text_data(spec, packing="sentences", **form, **more)
  if is_kept(spec):
    return whole
  found = _sentences(read_text(spec), holdout, least)
  if len(found.texts) < 2:
    raise InputError(
      f"{whole.name} has {len(found.texts)} sentences of {least} words or more; a "
      "sentence is told from others, so there must be 2."
    )
  made = tokenizer_from(whole.files["tokenizer.json"])
  rows = examples(Form(made, "sentences", length), found)
  return whole._replace(train=rows.train, test=None)


def _sentences(corpus, holdout, least):
  """The corpus with a text a sentence, and the file of each where there are files."""
  texts, _ = held_out(corpus, holdout)
  split = sentences if corpus.labels is None else lambda text: [text]
  found = [(i, s) for i, text in enumerate(texts) for s in split(text)]
  found = [(i, s) for i, s in found if len(s.split()) >= least]
  files = tuple(corpus.files[i] for i, _ in found) if corpus.files else ()
  kept = tuple(sentence for _, sentence in found)
  return Corpus(corpus.name, kept, files=files, skipped=corpus.skipped)
