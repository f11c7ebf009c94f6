"""Tables: scikit-learn's breast-cancer data, or a csv or parquet file of your own.

Protocol: a fifth of the rows is held out; the columns' moments, categories and
marginals are those of the other rows.
"""

from functools import partial

import optax

from jaxssl import augment, methods, models, optim
from jaxssl.data import DataSet, columns_from_json, marginals, open_table
from jaxssl.registry import Parts, Run, experiment

RUN = Run(steps=2000, batch=128, log_every=100, eval_every=500, checkpoint_every=500)
AS_IT_IS = augment.many_views(augment.as_it_is)


def _encoder(source: DataSet, width: int) -> models.TableEncoder:
  """SCARF's encoder: four layers."""
  return models.TableEncoder(_columns(source).sizes, (width,) * 4)


def _columns(source):
  return columns_from_json(source.files["columns.json"])


def _decoder(source):
  columns = _columns(source)
  return models.RowDecoder(len(columns.numeric), columns.sizes)


@experiment(
  method="SCARF",
  data="breast_cancer, or your own table",
  reaches="Adult, 1 % of labels: 82.2 %, from scratch 81.0",
  cost="1 min on 2 CPU cores",
  aliases=("scarf",),
)
def scarf_table(
  run: Run = RUN,
  *,
  data: str = "breast_cancer",
  label: str = "",
  share: float = 0.6,
  temperature: float = 1.0,
  width: int = 256,
  learning_rate: float = 1e-3,
) -> Parts:
  """SCARF: a row against itself with other values in most of its columns.

  Args:
    run: Settings of every run.
    data: "breast_cancer", or a .csv, .tsv (also .gz) or .parquet file.
    label: Column of the labels, by name or position (-1 is the last); empty for none.
    share: Of the columns that are replaced.
    temperature: Divides the cosines in the softmax.
    width: Of the four layers of the encoder and the two of the head.
    learning_rate: Of Adam, constant as in the paper.
  """
  source = open_table(data, label=label)
  views = augment.scarf_views(marginals(source), share=share)
  head = models.moco_head(hidden=width, out=width)
  net = models.Siamese(_encoder(source, width), head)
  method = methods.scarf(net, views, temperature=temperature)
  return Parts(method, optax.adam(learning_rate), source, views)


@experiment(
  method="VIME",
  data="breast_cancer, or your own table",
  reaches="Adult, 1 % of labels: 81.5 %, from scratch 80.9",
  cost="1 min on 2 CPU cores",
  aliases=("vime",),
)
def vime_table(
  run: Run = RUN,
  *,
  data: str = "breast_cancer",
  label: str = "",
  share: float = 0.3,
  alpha: float = 2.0,
  width: int = 256,
  learning_rate: float = 1e-3,
) -> Parts:
  """VIME: which values of a row were replaced, and what were they?

  Args:
    run: Settings of every run.
    data: "breast_cancer", or a .csv, .tsv (also .gz) or .parquet file.
    label: Column of the labels, by name or position (-1 is the last); empty for none.
    share: Probability that a value is replaced.
    alpha: Weight of the reconstruction beside the mask.
    width: Of the four layers of the encoder; the paper has one layer.
    learning_rate: Of RMSprop with Keras' decay of 0.9, constant.
  """
  source = open_table(data, label=label)
  corruption = partial(augment.corrupt_cells, marginals=marginals(source), share=share)
  net = models.Vime(_encoder(source, width), _decoder(source))
  method = methods.vime(net, AS_IT_IS, corruption=corruption, alpha=alpha)
  tx = optax.rmsprop(learning_rate, decay=0.9, eps=1e-7)
  return Parts(method, tx, source, AS_IT_IS)


@experiment(
  method="Denoising autoencoder",
  data="breast_cancer, or your own table",
  reaches="Adult, 1 % of labels: 81.4 %, from scratch 80.9",
  cost="1 min on 2 CPU cores",
)
def denoising_table(
  run: Run = RUN,
  *,
  data: str = "breast_cancer",
  label: str = "",
  share: float = 0.3,
  width: int = 256,
  learning_rate: float = 1e-3,
) -> Parts:
  """Denoising on tables: a row from itself with other values in some columns.

  Args:
    run: Settings of every run.
    data: "breast_cancer", or a .csv, .tsv (also .gz) or .parquet file.
    label: Column of the labels, by name or position (-1 is the last); empty for none.
    share: Of the columns that are replaced.
    width: Of the four layers of the encoder.
    learning_rate: Of Adam, constant.
  """
  source = open_table(data, label=label)
  draw = partial(augment.corrupt_columns, marginals=marginals(source), share=share)
  net = models.AutoEncoder(_encoder(source, width), _decoder(source))
  method = methods.table_denoising(net, AS_IT_IS, corruption=draw)
  return Parts(method, optax.adam(learning_rate), source, AS_IT_IS)


@experiment(
  method="DeepCluster",
  data="breast_cancer, or your own table",
  reaches="Adult, 1 % of labels: 81.1 %, from scratch 80.3",
  cost="1 min on 2 CPU cores",
)
def deepcluster_table(
  run: Run = RUN,
  *,
  data: str = "breast_cancer",
  label: str = "",
  clusters: int = 20,
  components: int = 16,
  share: float = 0.3,
  width: int = 256,
  learning_rate: float = 1e-3,
  top_learning_rate: float = 0.05,
) -> Parts:
  """DeepCluster on tables: corrupted rows are told by the cluster of the clean ones.

  Args:
    run: Settings of every run.
    data: "breast_cancer", or a .csv, .tsv (also .gz) or .parquet file.
    label: Column of the labels, by name or position (-1 is the last); empty for none.
    clusters: Of k-means over the training rows, new in every epoch.
    components: Kept by PCA before.
    share: Of the columns that are replaced.
    width: Of the four layers of the encoder, and of the projector.
    learning_rate: Of Adam, constant.
    top_learning_rate: Of the layer on top, by SGD without momentum.
  """
  source = open_table(data, label=label)
  draw = partial(augment.corrupt_columns, marginals=marginals(source), share=share)
  views = augment.many_views(draw)
  net = models.Siamese(
    _encoder(source, width), models.moco_head(hidden=width, out=width)
  )
  method = methods.deepcluster(
    net,
    views,
    examples=len(source.train),
    clusters=clusters,
    components=components,
  )
  tx = optim.by_part({"top": optax.sgd(top_learning_rate)}, optax.adam(learning_rate))
  return Parts(method, tx, source, views)
