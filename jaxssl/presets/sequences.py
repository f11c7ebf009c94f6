"""Nets for sentences and sequences of items, as papers or small data have them."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax

from jaxssl import evals, models

# A normal of 0.02 is made for a width of 768; on 128 blocks would hardly mix tokens.
_LARGER = nn.initializers.normal(0.05)


def sentence_net(
  vocabulary: int,
  *,
  width: int = 128,
  depth: int = 2,
  heads: int = 4,
  length: int = 32,
  dropout: float = 0.1,
) -> models.Siamese:
  """Returns SimCSE's net: a BERT whose first token is the sentence, and its head.

  Args:
    vocabulary: number of ids.
    width: channels.
    depth: blocks.
    heads: of each attention.
    length: most tokens.
    dropout: what makes two readings of a sentence differ; 0.1 in the paper.
  """
  encoder = models.Transformer(
    vocabulary,
    width,
    depth,
    heads,
    length,
    pre_norm=False,
    dropout=dropout,
    pool=models.first_pool,
    epsilon=1e-12,
    kernel_init=_LARGER,
  )
  return models.Siamese(encoder, models.TanhHead())


def bert4rec_net(
  items: int,
  *,
  length: int,
  width: int = 64,
  depth: int = 2,
  heads: int = 2,
  dropout: float = 0.2,
) -> models.ItemModel:
  """Returns BERT4Rec's net (arXiv 1904.06690, section 4.1.4): 64 wide, 2 blocks.

  Args:
    items: number of items.
    length: most items of a row.
    width: channels.
    depth: blocks.
    heads: of each attention.
    dropout: of embedding and branches.
  """
  options = {"pre_norm": False, "dropout": dropout, "pool": models.mean_pool}
  encoder = models.Transformer(items + 2, width, depth, heads, length, **options)
  return models.ItemModel(encoder, models.TokenHead())


def sasrec_net(
  items: int,
  *,
  length: int,
  width: int = 50,
  depth: int = 2,
  heads: int = 1,
  dropout: float = 0.2,
) -> models.ItemModel:
  """Returns SASRec's net (arXiv 1808.09781, section 4.2): 50 wide, 2 causal blocks.

  Args:
    items: number of items.
    length: most items of a row.
    width: channels; also of the MLPs, whose activation is ReLU.
    depth: blocks.
    heads: of each attention.
    dropout: of embedding and branches; 0.2 for MovieLens, 0.5 for sparse data.
  """
  options = {"causal": True, "dropout": dropout, "pool": models.last_pool}
  options |= {"mlp_ratio": 1, "activation": nn.relu}
  encoder = models.Transformer(items + 1, width, depth, heads, length, **options)
  return models.ItemModel(encoder)


def next_items(score: Callable, net: nn.Module, *, items: int, k: int = 10) -> Callable:
  """Returns the `scores` of an experiment on sequences: the held-out last item.

  Args:
    score: `methods.bert4rec_scores` or `methods.sasrec_scores`.
    net: the net that it takes.
    items: number of items.
    k: how many of the best count.

  Returns:
    (experiment, variables) -> hit rate and NDCG of all items, and the hit rate of the
    most popular ones.
  """

  def scores(experiment, variables):
    made = jax.jit(lambda params, rows: score(net, params, rows, items=items))
    rank = functools.partial(made, variables["params"])
    found = evals.next_item_scores(rank, experiment.data, k=k)
    names = {"hit": f"hit@{k}", "ndcg": f"NDCG@{k}"}
    names["popularity_hit"] = f"hit@{k} of the most popular items"
    return {said: found[name] for name, said in names.items()}

  return scores
