"""Toy forms of the language models."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxssl import augment, models
from jaxssl.data.packing import TextPair
from jaxssl.data.tokenizers import END, FIRST
from jaxssl.methods.bert import bert
from jaxssl.methods.gpt import gpt
from jaxssl.methods.roberta import roberta

WORDS, LENGTH = 16, 12
VOCABULARY = 5 + WORDS


def transformer(**options) -> models.Transformer:
  """A transformer of one block and 32 features, with entries of order 1."""
  sizes = {"width": 32, "depth": 1, "heads": 2, "length": LENGTH, "mlp_ratio": 1}
  xavier = nn.initializers.xavier_uniform()
  return models.Transformer(VOCABULARY, **{**sizes, "kernel_init": xavier, **options})


def make_gpt(norm: str = "batch", axis_name: str | None = None):
  """GPT on 12 tokens."""
  del norm, axis_name  # transformers have layer norm
  return gpt(models.CausalNet(transformer(causal=True)))


def make_roberta(norm: str = "batch", axis_name: str | None = None):
  """RoBERTa on 12 tokens, with dropout."""
  del norm, axis_name
  net = models.MaskedNet(transformer(pre_norm=False, dropout=0.1), models.TokenHead())
  return roberta(net, augment.roberta_mask(VOCABULARY, ratio=0.3))


def make_bert(norm: str = "batch", axis_name: str | None = None):
  """BERT on two segments of 4 tokens."""
  del norm, axis_name
  net = models.BertNet(transformer(pre_norm=False, segments=2), models.TokenHead())
  return bert(net, augment.bert_mask(VOCABULARY, ratio=0.3))


def counted(seed: int, rows: int, length: int) -> jax.Array:
  """Rows that count up from a random word, and begin anew after the last."""
  start = jax.random.randint(jax.random.key(seed), (rows, 1), 0, WORDS, jnp.int32)
  return 5 + (start + jnp.arange(length, dtype=jnp.int32)[None]) % WORDS


def _batch(inputs, rows):
  index = jnp.arange(rows, dtype=jnp.int32)
  return {"input": inputs, "index": index, "label": index % 4}


@functools.cache
def texts(seed: int = 5, rows: int = 16) -> dict:
  """[CLS], 9 words in order, [SEP] and padding."""
  ids = counted(seed, rows, LENGTH).at[:, 0].set(FIRST).at[:, -2].set(END)
  return _batch(ids.at[:, -1].set(0), rows)


@functools.cache
def pairs(seed: int = 5, rows: int = 16) -> dict:
  """Two segments of 4 words; in odd rows the second one begins elsewhere."""
  random = jnp.arange(rows, dtype=jnp.int32) % 2
  ids = counted(seed, rows, LENGTH)
  other = jnp.where(random[:, None] > 0, counted(seed + 1, rows, LENGTH), ids)
  ids = jnp.concatenate([ids[:, :6], other[:, 6:]], axis=1)
  ids = ids.at[:, 0].set(FIRST).at[:, 5].set(END).at[:, 10].set(END).at[:, 11].set(0)
  segments = jnp.zeros_like(ids).at[:, 6:11].set(1)
  return _batch(TextPair(ids, segments, random), rows)


def _nothing(state):
  del state
  return ()


ROWS = (
  ("gpt", make_gpt, _nothing, texts),
  ("bert", make_bert, _nothing, pairs),
  ("roberta", make_roberta, _nothing, texts),
)
