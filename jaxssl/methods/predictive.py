"""Predict what was done to an example: pretext tasks as one method.

A pretext is a function that makes a question of one example: what the net sees, and
the answer. Everything else is here. A new one is that function and a registered
experiment that passes it on; this one asks whether an image was turned upside down:

```python
def upside_down(key, image):
  turned = jax.random.bernoulli(key)
  return jnp.where(turned, image[::-1], image), turned.astype(jnp.int32)


net = Asking(encoder, models.linear_head(out=2))  # net(x, *, train, keys) -> logits
method = predictive(net, upside_down, cross_entropy, measures=accuracy)
```

`rotation.py`, `context.py`, `jigsaw.py` and `patch_order.py` are such pretexts.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxssl.core import Method
from jaxssl.errors import InputError
from jaxssl.methods.common import Extra
from jaxssl.models.siamese import (
  apply,
  apply_still,
  draw_views,
  encode_alone,
  init_on_views,
)
from jaxssl.ops import to_float

PyTree = Any


class Asking(nn.Module):
  """An encoder and a head that answers from the pooled features.

  Attributes:
    encoder: inputs -> features [batch, dim].
    head: features -> prediction.
  """

  encoder: nn.Module
  head: nn.Module

  @nn.compact
  def __call__(self, x: PyTree, *, train: bool, keys: jax.Array | None = None):
    """Maps inputs to predictions [batch, ...]."""
    features = self.encoder(x, train=train, keys=keys)
    return self.head(features, train=train, keys=keys)


def nothing_measured(prediction: PyTree, target: PyTree) -> dict:
  """No measures."""
  del prediction, target
  return {}


def predictive(
  net: nn.Module,
  pretext: Callable,
  error: Callable,
  *,
  measures: Callable = nothing_measured,
  show: Callable | None = None,
) -> Method:
  """Asks one question about each example, and learns from the answer's error.

  Args:
    net: called as `net(inputs, *, train, keys) -> prediction`; its part `encoder` is
      what is kept, and must take whole examples as well.
    pretext: (key, example) -> (inputs, target) of one example; `draw_question` makes
      one of a view and a question.
    error: (prediction, target) -> [batch], such as `cross_entropy`.
    measures: (prediction, target) -> {name: [batch]} for the log, such as `accuracy`.
    show: (inputs, target, prediction) -> {columns: pictures} for the report, as
      `Method.show`; the prediction is that of running statistics.

  Returns:
    The method; `encode` is the net's encoder on the whole example.
  """

  def init(key, batch):
    params, stats = init_on_views(net, key, pretext, batch)
    return params, Extra(stats)

  def forward(params, extra, batch, keys, step):
    del step
    (inputs, target), net_keys = draw_views(pretext, keys, batch["input"])
    prediction, stats = apply(net, params, extra.stats, inputs, net_keys)
    rows = {"loss": error(prediction, target), **measures(prediction, target)}
    return rows, Extra(stats)

  def objective(params, extra, rows, step):
    del params, step
    means = {name: values.mean() for name, values in rows.items()}
    return means.pop("loss"), (extra, means)

  def pictures(params, extra, batch, keys):
    (inputs, target), _ = draw_views(pretext, keys, batch["input"])
    prediction = apply_still(net, params, extra.stats, inputs)
    return show(to_float(inputs), target, prediction)

  encode = encode_alone(net.encoder)
  return Method(init, forward, objective, encode, show=show and pictures)


def draw_question(views: Callable, question: Callable) -> Callable:
  """Builds a pretext: a question about the first view of an example.

  Args:
    views: (key, example) -> inputs, of which the first is used.
    question: (key, image) -> (inputs, target), image float32 in [0, 1].

  Returns:
    The pretext (key, example) -> (inputs, target).
  """

  def pretext(key, example):
    key_view, key_question = jax.random.split(key)
    return question(key_question, to_float(views(key_view, example)[0]))

  return pretext


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Cross entropy of classes, a row's questions averaged: ln(classes) at chance.

  Args:
    logits: [batch, ..., classes].
    labels: int [batch, ...].

  Returns:
    [batch], float32.

  Raises:
    InputError: if there isn't one row of logits for each label.
  """
  if logits.shape[:-1] != labels.shape:
    raise InputError(
      f"Logits {logits.shape} for labels {labels.shape}; pass one row of logits for "
      "each label."
    )
  logits = logits.astype(jnp.float32)
  errors = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return _row_means(errors)


def accuracy(logits: jax.Array, labels: jax.Array) -> dict[str, jax.Array]:
  """Share of a row's questions whose answer is right.

  Args:
    logits: [batch, ..., classes].
    labels: int [batch, ...].

  Returns:
    {"pretext_accuracy": [batch]}.
  """
  right = jnp.argmax(logits, axis=-1) == labels
  return {"pretext_accuracy": _row_means(right.astype(jnp.float32))}


def classification(
  net: nn.Module, pretext: Callable, *, classes: int, show: Callable | None = None
) -> Method:
  """`predictive` with classes: cross entropy, and the accuracy in the log.

  Args:
    net: called as `net(inputs, *, train, keys) -> logits [batch, ..., classes]`.
    pretext: (key, example) -> (inputs, labels [...]).
    classes: the net's logits must be as many.
    show: as in `predictive`.

  Returns:
    The method.

  Raises:
    InputError: when it is traced, if the net has another number of logits.
  """

  def error(logits, labels):
    if logits.shape[-1] != classes:
      raise InputError(
        f"The head has {logits.shape[-1]} logits for {classes} classes; pass one "
        f"that ends in {classes}."
      )
    return cross_entropy(logits, labels)

  return predictive(net, pretext, error, measures=accuracy, show=show)


def on_board(tiles: jax.Array, grid: tuple[int, int]) -> jax.Array:
  """Lays tiles out as one picture, a grey line between them.

  Args:
    tiles: [batch, rows * columns, height, width, channels], row by row.
    grid: rows and columns.

  Returns:
    [batch, rows * (height + 1) - 1, columns * (width + 1) - 1, channels].
  """
  edges = ((0, 0), (0, 0), (0, 1), (0, 1), (0, 0))
  batch, _, height, width, channels = tiles.shape
  framed = jnp.pad(tiles, edges, constant_values=0.5)
  board = framed.reshape(batch, *grid, height + 1, width + 1, channels)
  board = board.swapaxes(2, 3)
  board = board.reshape(batch, grid[0] * (height + 1), -1, channels)
  return board[:, :-1, :-1]


def _row_means(x):
  return x.reshape(x.shape[0], -1).mean(axis=1)
