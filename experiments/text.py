"""Language models on text: Python's documentation, which ships with it, or your own.

`--data` is "docs", a .txt file, a folder of .txt files or a .tsv of labels and texts
(see `jaxssl.data.text`); `--probe` and `--probe-test` are two .tsv files on which the
features are scored.
"""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import optax

from jaxssl import augment, methods, models, optim
from jaxssl.data import text_data, tokenizer_from
from jaxssl.data.text_sets import check_packing
from jaxssl.errors import InputError
from jaxssl.presets import share
from jaxssl.registry import Parts, Run, experiment

GPT_PACKINGS = ("windows", "rows", "sentences")  # pairs of segments are BERT's
GPT_RUN = Run(
  steps=2000, batch=12, log_every=100, eval_every=1000, checkpoint_every=1000
)
RUN = Run(steps=2000, batch=32, log_every=100, eval_every=1000, checkpoint_every=1000)


def hidden_text(mask: Callable, key, ids):
  """The text as the net sees it."""
  return (mask(key, ids).ids,)


def hidden_pair(mask: Callable, key, pair):
  """The pair of segments as the net sees it."""
  return (pair._replace(ids=mask(key, pair.ids).ids),)


def linear_decay(run: Run, peak: float, *, warmup: float) -> optax.Schedule:
  """BERT's learning rate: linear to the peak, then linear to 0.

  Args:
    run: its steps.
    peak: the highest rate.
    warmup: share of the steps that it rises in, below 1.

  Raises:
    InputError: for another share.
  """
  if not warmup < 1:
    raise InputError(f"warmup is {warmup}; a share below 1 leaves steps to fall in.")
  rise = share(run, warmup, of=1)
  parts = [
    optax.linear_schedule(0.0, peak, max(rise, 1)),
    optax.linear_schedule(peak, 0.0, run.steps - rise),
  ]
  return optax.join_schedules(parts, [rise])


@experiment(
  method="GPT",
  data="docs",
  reaches="Tiny Shakespeare, 2,000 steps: 1.76 nats",
  cost="3 min on 2 CPU cores",
  aliases=("gpt",),
)
def gpt_text(
  run: Run = GPT_RUN,
  *,
  data: str = "docs",
  probe: str = "",
  probe_test: str = "",
  holdout: float = 0.1,
  tokenizer: str = "characters",
  vocabulary: int = 2048,
  packing: str = "windows",
  block: int = 64,
  width: int = 128,
  depth: int = 4,
  heads: int = 4,
  dropout: float = 0.0,
  learning_rate: float = 3e-3,
  last_rate: float = 1e-4,
  warmup: int = 100,
  weight_decay: float = 0.1,
) -> Parts:
  """GPT on the characters of a text, as nanoGPT's configuration for a CPU.

  nanoGPT's learning rate is 1e-3, with which this ends at 1.91 on Tiny Shakespeare.

  Args:
    run: Settings of every run.
    data: "docs", a .txt or .tsv file, or a folder of .txt files.
    probe: A .tsv of labelled texts to learn from, for the table.
    probe_test: A .tsv of labelled texts to test.
    holdout: Share of the text, its end, that is kept for the test split.
    tokenizer: characters, byte-pairs or word-pieces.
    vocabulary: Most ids of the last two.
    packing: windows (every place of the text begins a row), rows (cut one after the
      other) or sentences (whole ones, as many as fit).
    block: Tokens that a row predicts; it is one longer.
    width: Channels.
    depth: Blocks.
    heads: Of each attention.
    dropout: Of the embedding and of each branch.
    learning_rate: Peak of AdamW's cosine schedule.
    last_rate: Its end.
    warmup: Steps in which the rate rises; at most a tenth of the run.
    weight_decay: Of weights and embeddings; biases and norms have none.
  """
  check_packing(packing, GPT_PACKINGS)
  opened = text_data(
    data,
    tokenizer=tokenizer,
    vocabulary=vocabulary,
    packing=packing,
    length=block + 1,
    holdout=holdout,
    probe=probe,
    probe_test=probe_test,
  )
  encoder = models.Transformer(
    _vocabulary(opened),
    width=width,
    depth=depth,
    heads=heads,
    length=block + 1,
    causal=True,
    dropout=dropout,
    residual_init=nn.initializers.normal(0.02 / (2 * depth) ** 0.5),
  )
  rate = optim.warmup_cosine(
    learning_rate, steps=run.steps, warmup=min(warmup, run.steps // 10), end=last_rate
  )
  adam = optim.adamw(rate, weight_decay=weight_decay, b2=0.99)
  tx = optax.chain(optax.clip_by_global_norm(1.0), adam)
  views = augment.many_views(augment.as_it_is)
  return Parts(methods.gpt(models.CausalNet(encoder)), tx, opened, views)


@experiment(
  method="BERT",
  data="docs",
  reaches="Brown, 10,000 steps: 4.27 nats (unigrams 6.56), NSP 64 %",
  cost="3 min on 2 CPU cores",
  aliases=("bert",),
)
def bert_text(
  run: Run = RUN,
  *,
  data: str = "docs",
  probe: str = "",
  probe_test: str = "",
  holdout: float = 0.1,
  tokenizer: str = "word-pieces",
  vocabulary: int = 2048,
  duplicates: int = 10,
  ratio: float = 0.15,
  length: int = 64,
  width: int = 128,
  depth: int = 2,
  heads: int = 4,
  dropout: float = 0.1,
  learning_rate: float = 1e-3,
  warmup: float = 0.1,
  weight_decay: float = 0.01,
) -> Parts:
  """BERT, small: hidden tokens, and whether the second segment follows the first.

  Args:
    run: Settings of every run.
    data: "docs", or a folder of .txt files, one document each.
    probe: A .tsv of labelled texts to learn from, for the table.
    probe_test: A .tsv of labelled texts to test.
    holdout: Share of the documents that is kept for the test split.
    tokenizer: word-pieces, byte-pairs or characters.
    vocabulary: Most ids of the first two.
    duplicates: Times that the pairs of segments are drawn.
    ratio: Share of the tokens that is hidden.
    length: Tokens of a row.
    width: Channels.
    depth: Blocks.
    heads: Of each attention.
    dropout: Of the embedding and of each branch.
    learning_rate: Peak of AdamW's schedule, linear to 0.
    warmup: Share of the run in which the rate rises.
    weight_decay: Of weights and embeddings; biases and norms have none.
  """
  opened = text_data(
    data,
    tokenizer=tokenizer,
    vocabulary=vocabulary,
    packing="pairs",
    length=length,
    holdout=holdout,
    probe=probe,
    probe_test=probe_test,
    duplicates=duplicates,
  )
  size = {"width": width, "depth": depth, "heads": heads, "length": length}
  encoder = models.Transformer(
    _vocabulary(opened),
    **size,
    pre_norm=False,
    segments=2,
    dropout=dropout,
    epsilon=1e-12,
  )
  mask = augment.bert_mask(_vocabulary(opened), ratio=ratio)
  method = methods.bert(models.BertNet(encoder, models.TokenHead()), mask)
  adam = _adamw(linear_decay(run, learning_rate, warmup=warmup), weight_decay, b2=0.999)
  tx = optax.chain(optax.clip_by_global_norm(1.0), adam)
  return Parts(method, tx, opened, partial(hidden_pair, mask))


@experiment(
  method="RoBERTa",
  data="docs",
  reaches="Brown: 5.29 nats (unigrams 6.80); TREC 57 %, untrained 54",
  cost="3 min on 2 CPU cores",
  aliases=("roberta",),
)
def roberta_text(
  run: Run = RUN,
  *,
  data: str = "docs",
  probe: str = "",
  probe_test: str = "",
  holdout: float = 0.1,
  tokenizer: str = "byte-pairs",
  vocabulary: int = 2048,
  ratio: float = 0.15,
  length: int = 64,
  width: int = 128,
  depth: int = 2,
  heads: int = 4,
  dropout: float = 0.1,
  learning_rate: float = 1e-3,
  warmup: float = 0.1,
  weight_decay: float = 0.01,
) -> Parts:
  """RoBERTa, small: hidden tokens of full sentences, others each time.

  Args:
    run: Settings of every run.
    data: "docs", a .txt or .tsv file, or a folder of .txt files.
    probe: A .tsv of labelled texts to learn from, for the table.
    probe_test: A .tsv of labelled texts to test.
    holdout: Share of the text that is kept for the test split.
    tokenizer: byte-pairs, word-pieces or characters.
    vocabulary: Most ids of the first two.
    ratio: Share of the tokens that is hidden.
    length: Tokens of a row.
    width: Channels.
    depth: Blocks.
    heads: Of each attention.
    dropout: Of the embedding and of each branch.
    learning_rate: Peak of AdamW's schedule, linear to 0.
    warmup: Share of the run in which the rate rises.
    weight_decay: Of weights and embeddings; biases and norms have none.
  """
  opened = text_data(
    data,
    tokenizer=tokenizer,
    vocabulary=vocabulary,
    packing="sentences",
    length=length,
    holdout=holdout,
    probe=probe,
    probe_test=probe_test,
  )
  size = {"width": width, "depth": depth, "heads": heads, "length": length}
  encoder = models.Transformer(
    _vocabulary(opened), **size, pre_norm=False, dropout=dropout
  )
  mask = augment.roberta_mask(_vocabulary(opened), ratio=ratio)
  net = models.MaskedNet(encoder, models.TokenHead(epsilon=1e-5))
  tx = _adamw(linear_decay(run, learning_rate, warmup=warmup), weight_decay, b2=0.98)
  return Parts(methods.roberta(net, mask), tx, opened, partial(hidden_text, mask))


def _vocabulary(opened):
  return tokenizer_from(opened.files["tokenizer.json"]).vocabulary


def _adamw(rate, weight_decay, *, b2):
  return optax.adamw(
    rate, 0.9, b2, eps=1e-6, weight_decay=weight_decay, mask=optim.weights_only
  )
