"""Sequences of items: walks made on the spot, or the user's csv of user, item, time."""

from jaxssl import methods, optim
from jaxssl.augment import as_it_is, many_views
from jaxssl.data.items import open_items
from jaxssl.presets.sequences import bert4rec_net, next_items, sasrec_net
from jaxssl.registry import Parts, Run, experiment

RUN = Run(steps=1500, batch=128, log_every=50, eval_every=500, checkpoint_every=500)
AS_IT_IS = many_views(as_it_is)


@experiment(
  method="BERT4Rec",
  data="walks",
  reaches="walks, hit@10 of the held-out item: 46 %, popularity 4",
  cost="3 min on 2 CPU cores",
  aliases=("bert4rec",),
)
def bert4rec_items(
  run: Run = RUN,
  *,
  data: str = "walks",
  length: int = 50,
  width: int = 64,
  depth: int = 2,
  heads: int = 2,
  dropout: float = 0.2,
  share: float = 0.2,
  learning_rate: float = 1e-3,
) -> Parts:
  """BERT4Rec: masked items told from both sides; `evals.next_item_scores` ranks.

  Args:
    run: Settings of every run.
    data: "walks", made on the spot, or a csv with the columns user, item and time.
    length: Items of a row; of longer histories the latest.
    width: Channels.
    depth: Blocks.
    heads: Of each attention.
    dropout: Of embedding and branches.
    share: Of the items that are masked.
    learning_rate: Peak of AdamW's schedule, after a tenth of warm-up.
  """
  opened = open_items(data, length=length)
  items = len(opened.names)
  sizes = {"width": width, "depth": depth, "heads": heads, "dropout": dropout}
  net = bert4rec_net(items, length=length, **sizes)
  method = methods.bert4rec(net, items=items, share=share)
  rate = optim.warmup_cosine(learning_rate, steps=run.steps, warmup=run.steps // 10)
  tx = optim.adamw(rate, weight_decay=0.01)
  scores = next_items(methods.bert4rec_scores, net, items=items)
  return Parts(method, tx, opened.data, AS_IT_IS, scores=scores)


@experiment(
  method="SASRec",
  data="walks",
  reaches="walks, hit@10 of the held-out item: 78 %, popularity 4",
  cost="2 min on 2 CPU cores",
  aliases=("sasrec",),
)
def sasrec_items(
  run: Run = RUN,
  *,
  data: str = "walks",
  length: int = 50,
  width: int = 50,
  depth: int = 2,
  heads: int = 1,
  dropout: float = 0.2,
  learning_rate: float = 1e-3,
) -> Parts:
  """SASRec: the next item of each place; `evals.next_item_scores` ranks.

  Args:
    run: Settings of every run.
    data: "walks", made on the spot, or a csv with the columns user, item and time.
    length: Items of a row; of longer histories the latest.
    width: Channels.
    depth: Blocks.
    heads: Of each attention.
    dropout: Of embedding and branches.
    learning_rate: Of Adam, constant, with the paper's 0.98 for the squares.
  """
  opened = open_items(data, length=length)
  items = len(opened.names)
  sizes = {"width": width, "depth": depth, "heads": heads, "dropout": dropout}
  net = sasrec_net(items, length=length, **sizes)
  method = methods.sasrec(net, items=items)
  tx = optim.adamw(learning_rate, weight_decay=0.0, b2=0.98)
  scores = next_items(methods.sasrec_scores, net, items=items)
  return Parts(method, tx, opened.data, AS_IT_IS, scores=scores)
