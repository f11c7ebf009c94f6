"""Toy forms of the methods on words, sentences and items."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import models
from jaxssl.methods.bert4rec import bert4rec
from jaxssl.methods.cbow import cbow
from jaxssl.methods.sasrec import sasrec
from jaxssl.methods.simcse import simcse
from jaxssl.methods.skip_gram import skip_gram

WORDS, WINDOW, ITEMS, LENGTH = 20, 2, 20, 8
COUNTS = (0, *range(2 * WORDS, WORDS + 1, -1))
large = nn.initializers.normal(0.5)  # a toy net needs entries of order 1


def _vectors():
  options = {"window": WINDOW, "negatives": 3, "output_init": large}
  return models.WordVectors(len(COUNTS), 32, vector_init=large), COUNTS, options


def make_skip_gram(norm: str = "batch", axis_name: str | None = None):
  """Skip-gram on 20 words."""
  del norm, axis_name  # a table has no norm
  *parts, options = _vectors()
  return skip_gram(*parts, **options)


def make_cbow(norm: str = "batch", axis_name: str | None = None):
  """CBOW on 20 words."""
  del norm, axis_name
  *parts, options = _vectors()
  return cbow(*parts, **options)


def transformer(ids: int, **options) -> models.Transformer:
  """A transformer of one block and 32 features."""
  sizes = {"width": 32, "depth": 1, "heads": 2, "length": LENGTH, "mlp_ratio": 1}
  xavier = nn.initializers.xavier_uniform()
  return models.Transformer(ids, **{**sizes, "kernel_init": xavier, **options})


def make_simcse(norm: str = "batch", axis_name: str | None = None):
  """SimCSE on sequences of 8 words, with dropout."""
  del norm, axis_name  # transformers have layer norm
  encoder = transformer(WORDS + 1, dropout=0.1, pool=models.mean_pool)
  return simcse(models.Siamese(encoder, models.TanhHead()), temperature=0.5)


def make_bert4rec(norm: str = "batch", axis_name: str | None = None):
  """BERT4Rec on sequences of up to 8 of 20 items."""
  del norm, axis_name
  net = models.ItemModel(transformer(ITEMS + 2, pre_norm=False), models.TokenHead())
  return bert4rec(net, items=ITEMS, share=0.4)


def make_sasrec(norm: str = "batch", axis_name: str | None = None):
  """SASRec on sequences of up to 8 of 20 items."""
  del norm, axis_name
  encoder = transformer(ITEMS + 1, causal=True, pool=models.last_pool)
  return sasrec(models.ItemModel(encoder), items=ITEMS)


@functools.cache
def sequences(seed: int = 5, rows: int = 16) -> dict:
  """Sequences of 4 to 8 ids, then 0."""
  key_ids, key_lengths = jax.random.split(jax.random.key(seed))
  ids = jax.random.randint(key_ids, (rows, LENGTH), 1, ITEMS + 1)
  lengths = jax.random.randint(key_lengths, (rows, 1), 4, LENGTH + 1)
  return _batch(jnp.where(jnp.arange(LENGTH)[None] < lengths, ids, 0))


@functools.cache
def word_windows(seed: int = 5, rows: int = 16) -> dict:
  """Windows of words of which some have no word at an end."""
  key_words, key_ends = jax.random.split(jax.random.key(seed))
  words = jax.random.randint(key_words, (rows, 2 * WINDOW + 1), 1, WORDS + 1)
  ended = jax.random.bernoulli(key_ends, 0.3, (rows,))
  return _batch(words.at[:, -1].set(jnp.where(ended, 0, words[:, -1])))


def _batch(rows):
  index = jnp.arange(len(rows), dtype=jnp.int32)
  return {"input": rows, "index": index, "label": index % 4}


def _nothing(state):
  del state
  return ()


ROWS = (
  ("skip_gram", make_skip_gram, _nothing, word_windows),
  ("cbow", make_cbow, _nothing, word_windows),
  ("simcse", make_simcse, _nothing, sequences),
  ("bert4rec", make_bert4rec, _nothing, sequences),
  ("sasrec", make_sasrec, _nothing, sequences),
)
