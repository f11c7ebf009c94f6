"""Methods on graphs: the digits' neighbour graph, their pixels as graphs, Cora."""

import flax.linen as nn
import optax

from jaxssl import methods, models, optim
from jaxssl.augment import (
  as_it_is,
  grace_view,
  graphcl_view,
  many_views,
  two_views,
)
from jaxssl.data.graphs import open_graphs
from jaxssl.registry import Parts, Run, experiment

ONE = {"batch": 1, "log_every": 20, "eval_every": 100, "checkpoint_every": 100}
MANY = Run(steps=400, batch=128, log_every=20, eval_every=200, checkpoint_every=200)
AS_IT_IS = many_views(as_it_is)
CORA, CITESEER = "cora.npz", "citeseer.npz"


def head(out: int, *, activation=nn.elu) -> models.MLP:
  """Returns the two-layer head of GRACE (ELU) and GraphCL (ReLU), `out` wide."""
  return models.MLP((out, out), (True, True), (None, None), activation=activation)


def adam(rate: optax.ScalarOrSchedule, weight_decay: float = 0.0):
  """Returns torch's Adam, whose weight decay is part of the gradient."""
  return optax.chain(optax.add_decayed_weights(weight_decay), optax.adam(rate))


def grace_parts(
  data, *, width, activation, temperature, edges, features, learning_rate
) -> Parts:
  """Returns GRACE with two layers, of 2 * width and width, and one view by each rate.

  Args:
    data: the data set.
    width: of features and projections.
    activation: "relu" or "prelu".
    temperature: of the softmax.
    edges: share of edges left out, of each view.
    features: share of features left out, of each view.
    learning_rate: of Adam, constant.
  """
  views = two_views(
    *(grace_view(edges=e, features=f) for e, f in zip(edges, features, strict=True))
  )
  encoder = models.GCN((2 * width, width), activation)
  net = models.NodeProjector(encoder, head(width))
  method = methods.grace(net, views, temperature=temperature)
  return Parts(method, adam(learning_rate, 1e-5), data, views)


def dgi_parts(data, *, width: int, learning_rate: float) -> Parts:
  """Returns DGI with one graph convolution.

  Args:
    data: the data set.
    width: of the features.
    learning_rate: of Adam, constant.
  """
  method = methods.dgi(models.InfoMax(models.GCN((width,))), AS_IT_IS)
  return Parts(method, adam(learning_rate), data, AS_IT_IS)


def graphmae_parts(
  run, data, *, width, heads, ratio, replaced, gamma, learning_rate, weight_decay
) -> Parts:
  """Returns GraphMAE with two layers of attention and a decoder of one.

  Args:
    run: its steps.
    data: the data set.
    width: of both layers, all heads together.
    heads: of the encoder.
    ratio: share of nodes to hide.
    replaced: share of these that get another node's features.
    gamma: power of the scaled cosine error.
    learning_rate: of Adam, falling to 0 by a cosine.
    weight_decay: of all parameters.
  """
  drops = {"feature_dropout": 0.2, "attention_dropout": 0.1}
  encoder = models.GAT((width, width), heads, **drops)
  out = data.train.data["input"].nodes.shape[-1]
  decoder = models.GAT((out,), 1, "none", **drops)
  net = models.GraphMAE(encoder, decoder)
  options = {"ratio": ratio, "replaced": replaced, "gamma": gamma}
  method = methods.graphmae(net, AS_IT_IS, **options)
  rate = optim.warmup_cosine(learning_rate, steps=run.steps)
  return Parts(method, adam(rate, weight_decay), data, AS_IT_IS)


@experiment(
  method="GRACE",
  data="digits as a graph",
  reaches="not measured yet",
  cost="2 min on 2 CPU cores",
  aliases=("grace",),
)
def grace_graph(
  run: Run = Run(steps=200, **ONE),
  *,
  data: str = "digits_graph",
  width: int = 64,
  temperature: float = 0.4,
  edges: float = 0.3,
  features: float = 0.3,
  learning_rate: float = 1e-3,
) -> Parts:
  """GRACE on the nodes of one graph.

  Args:
    run: Settings of every run.
    data: "digits_graph", or your own: an .npz, or a folder with edges.csv.
    width: Features of a node.
    temperature: Of the softmax.
    edges: Share of the edges that a view leaves out.
    features: Share of the features that a view leaves out.
    learning_rate: Of Adam, constant.
  """
  rates = {"edges": (edges, edges), "features": (features, features)}
  own = {"width": width, "temperature": temperature, "learning_rate": learning_rate}
  return grace_parts(open_graphs(data), activation="relu", **rates, **own)


@experiment(
  method="DGI",
  data="digits as a graph",
  reaches="not measured yet",
  cost="1 min on 2 CPU cores",
  aliases=("dgi",),
)
def dgi_graph(
  run: Run = Run(steps=300, **ONE),
  *,
  data: str = "digits_graph",
  width: int = 256,
  learning_rate: float = 1e-3,
) -> Parts:
  """DGI on the nodes of one graph.

  Args:
    run: Settings of every run.
    data: "digits_graph", or your own: an .npz, or a folder with edges.csv.
    width: Features of a node.
    learning_rate: Of Adam, constant.
  """
  return dgi_parts(open_graphs(data), width=width, learning_rate=learning_rate)


@experiment(
  method="GraphMAE",
  data="digits as a graph",
  reaches="not measured yet",
  cost="2 min on 2 CPU cores",
  aliases=("graphmae",),
)
def graphmae_graph(
  run: Run = Run(steps=400, **ONE),
  *,
  data: str = "digits_graph",
  width: int = 128,
  heads: int = 4,
  ratio: float = 0.5,
  replaced: float = 0.05,
  gamma: float = 2.0,
  learning_rate: float = 1e-3,
  weight_decay: float = 2e-4,
) -> Parts:
  """GraphMAE on the nodes of one graph.

  Args:
    run: Settings of every run.
    data: "digits_graph", or your own: an .npz, or a folder with edges.csv.
    width: Features of a node, all heads together.
    heads: Of the attention; divides the width.
    ratio: Share of the nodes to hide.
    replaced: Share of the hidden nodes that get another node's features.
    gamma: Power of the scaled cosine error.
    learning_rate: Peak of Adam's cosine schedule.
    weight_decay: Of all parameters, inside the gradient.
  """
  own = {"width": width, "heads": heads, "ratio": ratio, "replaced": replaced}
  rates = {"learning_rate": learning_rate, "weight_decay": weight_decay}
  return graphmae_parts(run, open_graphs(data), gamma=gamma, **own, **rates)


@experiment(
  method="GraphCL",
  data="digits, a graph each",
  reaches="5 labels 66 % (5 seeds), untrained 42",
  cost="18 s of steps on 1 CPU core",
  aliases=("graphcl",),
)
def graphcl_graph(
  run: Run = MANY,
  *,
  data: str = "digit_graphs",
  width: int = 32,
  layers: int = 3,
  temperature: float = 0.2,
  rate: float = 0.1,
  share: float = 0.2,
  learning_rate: float = 1e-3,
) -> Parts:
  """GraphCL on many small graphs.

  Args:
    run: Settings of every run.
    data: "digit_graphs", or your own: an .npz, or a folder as TUDataset has them.
    width: Of each layer; a graph's features are those of all layers.
    layers: Of the encoder.
    temperature: Of the softmax.
    rate: Share of nodes or edges left out, or of nodes that get noise.
    share: Of the nodes that a subgraph keeps.
    learning_rate: Of Adam, constant; 0.01 in the paper's code.
  """
  views = two_views(as_it_is, graphcl_view(rate=rate, share=share))
  projector = head(width * layers, activation=nn.relu)
  net = models.Siamese(models.GIN((width,) * layers), projector)
  method = methods.graphcl(net, views, temperature=temperature)
  return Parts(method, adam(learning_rate), open_graphs(data), views)


@experiment(
  method="GRACE",
  data="Cora",
  reaches="random 10/90 split 82.2 % (1 seed), untrained 67.5; published 83.3",
  cost="6 min on 1 CPU core",
)
def grace_cora(
  run: Run = Run(steps=200, **ONE), *, data: str = CORA, learning_rate: float = 5e-4
) -> Parts:
  """GRACE on Cora as in the official code.

  Args:
    run: Settings of every run.
    data: The .npz of Cora.
    learning_rate: Of Adam, constant.
  """
  own = {"width": 128, "activation": "relu", "temperature": 0.4}
  rates = {"edges": (0.2, 0.4), "features": (0.3, 0.4), "learning_rate": learning_rate}
  return grace_parts(open_graphs(data, normalize=True), **own, **rates)


@experiment(
  method="GRACE",
  data="Citeseer",
  reaches="random 10/90 split 71.7 % (1 seed), untrained 64.4; published 72.1",
  cost="6 min on 1 CPU core",
)
def grace_citeseer(
  run: Run = Run(steps=200, **ONE), *, data: str = CITESEER, learning_rate: float = 1e-3
) -> Parts:
  """GRACE on Citeseer as in the official code.

  Args:
    run: Settings of every run.
    data: The .npz of Citeseer.
    learning_rate: Of Adam, constant.
  """
  own = {"width": 256, "activation": "prelu", "temperature": 0.9}
  rates = {"edges": (0.2, 0.0), "features": (0.3, 0.2), "learning_rate": learning_rate}
  return grace_parts(open_graphs(data, normalize=True), **own, **rates)


@experiment(
  method="DGI",
  data="Cora",
  reaches="public split 81.1 % (5 seeds), untrained 69.6",
  cost="4 min on 1 CPU core",
)
def dgi_cora(
  run: Run = Run(steps=250, **ONE), *, data: str = CORA, learning_rate: float = 1e-3
) -> Parts:
  """DGI on Cora as in the paper, for a fixed number of steps.

  Args:
    run: Settings of every run.
    data: The .npz of Cora.
    learning_rate: Of Adam, constant.
  """
  own = {"width": 512, "learning_rate": learning_rate}
  return dgi_parts(open_graphs(data, normalize=True), **own)


@experiment(
  method="DGI",
  data="Citeseer",
  reaches="public split 71.4 % (3 seeds), untrained 62.7",
  cost="7 min on 1 CPU core",
)
def dgi_citeseer(
  run: Run = Run(steps=250, **ONE), *, data: str = CITESEER, learning_rate: float = 1e-3
) -> Parts:
  """DGI on Citeseer as in the paper, for a fixed number of steps.

  Args:
    run: Settings of every run.
    data: The .npz of Citeseer.
    learning_rate: Of Adam, constant.
  """
  own = {"width": 512, "learning_rate": learning_rate}
  return dgi_parts(open_graphs(data, normalize=True), **own)


@experiment(
  method="GraphMAE",
  data="Cora",
  reaches="public split 79.1 % (1 seed), untrained 73.8; published 84.2",
  cost="20 min on 1 CPU core",
)
def graphmae_cora(
  run: Run = Run(steps=1500, **ONE),
  *,
  data: str = CORA,
  learning_rate: float = 1e-3,
  weight_decay: float = 2e-4,
) -> Parts:
  """GraphMAE on Cora as in the official code.

  Args:
    run: Settings of every run.
    data: The .npz of Cora.
    learning_rate: Peak of Adam's cosine schedule.
    weight_decay: Of all parameters, inside the gradient.
  """
  own = {"width": 512, "heads": 4, "ratio": 0.5, "replaced": 0.05, "gamma": 3.0}
  rates = {"learning_rate": learning_rate, "weight_decay": weight_decay}
  return graphmae_parts(run, open_graphs(data, normalize=True), **own, **rates)


@experiment(
  method="GraphMAE",
  data="Citeseer",
  reaches="public split 72.0 % (1 seed), untrained 66.7; published 73.4",
  cost="13 min on 1 CPU core",
)
def graphmae_citeseer(
  run: Run = Run(steps=300, **ONE),
  *,
  data: str = CITESEER,
  learning_rate: float = 1e-3,
  weight_decay: float = 2e-5,
) -> Parts:
  """GraphMAE on Citeseer as in the official code.

  Args:
    run: Settings of every run.
    data: The .npz of Citeseer.
    learning_rate: Peak of Adam's cosine schedule.
    weight_decay: Of all parameters, inside the gradient.
  """
  own = {"width": 512, "heads": 2, "ratio": 0.5, "replaced": 0.1, "gamma": 1.0}
  rates = {"learning_rate": learning_rate, "weight_decay": weight_decay}
  return graphmae_parts(run, open_graphs(data, normalize=True), **own, **rates)
