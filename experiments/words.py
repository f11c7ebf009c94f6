"""Word vectors and sentences, on Python's own documentation or the user's texts."""

from collections.abc import Callable

import optax

from jaxssl import methods, models, optim
from jaxssl.augment import as_it_is, many_views
from jaxssl.data.sentences import sentence_data
from jaxssl.data.tokenizers import tokenizer_from
from jaxssl.data.words import open_words
from jaxssl.methods.simcse import twice
from jaxssl.presets.sequences import sentence_net
from jaxssl.registry import Parts, Run, experiment

WORDS = Run(steps=1500, batch=1024, log_every=100, eval_every=500, checkpoint_every=500)
SENTENCES = Run(
  steps=1000, batch=64, log_every=50, eval_every=250, checkpoint_every=250
)


def word_optimiser(run: Run, rate: float) -> optax.GradientTransformation:
  """Returns Adagrad with a rate that falls to 1e-4 of itself, as word2vec.c's does.

  Each entry's steps shrink with its own gradients: frequent words, of which a batch
  holds many, don't overshoot, and words that a batch doesn't hold stay where they are.
  """
  falling = optax.linear_schedule(rate, 1e-4 * rate, run.steps)
  return optax.adagrad(falling, initial_accumulator_value=0.0, eps=1e-16)


def word_parts(
  run: Run,
  method: Callable,
  *,
  data: str,
  probe: str,
  probe_test: str,
  width: int,
  window: int,
  negatives: int,
  min_count: int,
  threshold: float,
  learning_rate: float,
) -> Parts:
  """Returns the parts of word2vec on texts; see `skip_gram_text`."""
  opened = open_words(
    data,
    probe=probe,
    probe_test=probe_test,
    window=window,
    min_count=min_count,
    threshold=threshold,
  )
  vocabulary = opened.vocabulary
  encoder = models.WordVectors(len(vocabulary.words), width)
  sizes = {"window": window, "negatives": negatives}
  made = method(encoder, tuple(map(int, vocabulary.counts)), **sizes)
  tx = word_optimiser(run, learning_rate)
  return Parts(made, tx, opened.data, many_views(as_it_is))


@experiment(
  method="word2vec (skip-gram)",
  data="docs",
  reaches="rank correlation with held-out PMI 0.27, untrained 0",
  cost="1 min on 2 CPU cores",
  aliases=("skip_gram",),
)
def skip_gram_text(
  run: Run = WORDS,
  *,
  data: str = "docs",
  probe: str = "",
  probe_test: str = "",
  width: int = 100,
  window: int = 5,
  negatives: int = 5,
  min_count: int = 5,
  threshold: float = 1e-3,
  learning_rate: float = 0.1,
) -> Parts:
  """Skip-gram with negative sampling; a text's features are the mean of its words.

  Args:
    run: Settings of every run.
    data: "docs", a .txt or .tsv file, or a folder of .txt files.
    probe: A .tsv of labelled texts to score features on.
    probe_test: A .tsv of labelled texts to test; with `probe` only.
    width: Of the vectors.
    window: Words on each side, at most.
    negatives: Words drawn as noise for each place.
    min_count: Words that occur less often are left out.
    threshold: Of the subsampling of frequent words.
    learning_rate: Of Adagrad, falling to 1e-4 of it.
  """
  return word_parts(
    run,
    methods.skip_gram,
    data=data,
    probe=probe,
    probe_test=probe_test,
    width=width,
    window=window,
    negatives=negatives,
    min_count=min_count,
    threshold=threshold,
    learning_rate=learning_rate,
  )


@experiment(
  method="word2vec (CBOW)",
  data="docs",
  reaches="rank correlation with held-out PMI 0.35, untrained 0",
  cost="1 min on 2 CPU cores",
  aliases=("cbow",),
)
def cbow_text(
  run: Run = WORDS,
  *,
  data: str = "docs",
  probe: str = "",
  probe_test: str = "",
  width: int = 100,
  window: int = 5,
  negatives: int = 5,
  min_count: int = 5,
  threshold: float = 1e-3,
  learning_rate: float = 0.1,
) -> Parts:
  """Continuous bag of words; a text's features are the mean of its words.

  Args:
    run: Settings of every run.
    data: "docs", a .txt or .tsv file, or a folder of .txt files.
    probe: A .tsv of labelled texts to score features on.
    probe_test: A .tsv of labelled texts to test; with `probe` only.
    width: Of the vectors.
    window: Words on each side, at most.
    negatives: Words drawn as noise for each place.
    min_count: Words that occur less often are left out.
    threshold: Of the subsampling of frequent words.
    learning_rate: Of Adagrad, falling to 1e-4 of it.
  """
  return word_parts(
    run,
    methods.cbow,
    data=data,
    probe=probe,
    probe_test=probe_test,
    width=width,
    window=window,
    negatives=negatives,
    min_count=min_count,
    threshold=threshold,
    learning_rate=learning_rate,
  )


@experiment(
  method="SimCSE",
  data="docs",
  reaches="Brown: TREC, 100 labels 32 %, untrained 35",
  cost="2 min on 2 CPU cores",
  aliases=("simcse",),
)
def simcse_text(
  run: Run = SENTENCES,
  *,
  data: str = "docs",
  probe: str = "",
  probe_test: str = "",
  vocabulary: int = 4096,
  length: int = 64,
  width: int = 128,
  depth: int = 2,
  dropout: float = 0.1,
  temperature: float = 0.05,
  learning_rate: float = 5e-4,
) -> Parts:
  """SimCSE from scratch: a sentence read with two dropout masks is its own positive.

  The paper starts from BERT and trains for one epoch at 3e-5; here there is no BERT to
  start from.

  Args:
    run: Settings of every run.
    data: "docs", a .txt or .tsv file, or a folder of .txt files.
    probe: A .tsv of labelled texts to score features on.
    probe_test: A .tsv of labelled texts to test; with `probe` only.
    vocabulary: Word pieces, at most.
    length: Tokens of a sentence; longer ones are cut.
    width: Channels.
    depth: Blocks.
    dropout: What makes the two readings differ.
    temperature: Divides the cosine.
    learning_rate: Peak of AdamW's cosine schedule, after a tenth of warm-up.
  """
  texts = sentence_data(
    data, vocabulary=vocabulary, length=length, probe=probe, probe_test=probe_test
  )
  ids = tokenizer_from(texts.files["tokenizer.json"]).vocabulary
  sizes = {"width": width, "depth": depth, "length": length}
  net = sentence_net(ids, dropout=dropout, **sizes)
  method = methods.simcse(net, temperature=temperature)
  rate = optim.warmup_cosine(learning_rate, steps=run.steps, warmup=run.steps // 10)
  tx = optim.adamw(rate, weight_decay=0.01)
  return Parts(method, tx, texts, twice)
