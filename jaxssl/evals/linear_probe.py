"""Softmax regression on frozen features.

The protocol, the same for every encoder: features are computed once, without
augmentation, and standardised by the mean and variance of the training features
(the batch norm without affine before MAE's linear layer, arXiv 2111.06377, epsilon
1e-6). Weights start at zero; SGD with Nesterov momentum 0.9, batches of 256, learning
rate 0.05 decayed to zero by a cosine, no weight decay, 30 epochs but at least 1,000
steps. The accuracy is that of the last step, never the best one.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxssl.evals.features import check_labelled


class Probe(NamedTuple):
  """A trained linear classifier: `(features - mean) / std @ weights + bias`.

  Attributes:
    mean: of the training features, [1, dim].
    std: of the training features, [1, dim].
    weights: [dim, classes].
    bias: [1, classes].
  """

  mean: jax.Array
  std: jax.Array
  weights: jax.Array
  bias: jax.Array


def fit_probe(
  features: jax.Array,
  labels: jax.Array,
  *,
  classes: int,
  epochs: int = 30,
  minimum_steps: int = 1000,
  batch: int = 256,
  learning_rate: float = 0.05,
  seed: int = 0,
) -> Probe:
  """Trains a probe; one compiled scan over all steps, the same for the same seed.

  Args:
    features: of the training set, [n, dim].
    labels: integers in [0, classes), [n].
    classes: the number of classes.
    epochs: passes over the data; the last incomplete batch of each is dropped.
    minimum_steps: small data sets get more epochs, until there are this many steps.
    batch: rows a step; n where there are fewer.
    learning_rate: at the first step.
    seed: of the order of the rows.

  Returns:
    The probe after the last step.

  Raises:
    InputError: if features and labels do not fit.
  """
  check_labelled(features, labels, classes=classes)
  order = _order(
    len(labels), batch=batch, epochs=epochs, minimum_steps=minimum_steps, seed=seed
  )
  x, y = jnp.asarray(features, jnp.float32), jnp.asarray(labels, jnp.int32)
  return _fit(x, y, order, jnp.float32(learning_rate), classes=classes)


def probe_predict(probe: Probe, features: jax.Array) -> np.ndarray:
  """Most likely classes, int32 [n], of features [n, dim]."""
  return np.asarray(_predict(probe, jnp.asarray(features, jnp.float32)))


def linear_accuracy(
  train: jax.Array,
  labels: jax.Array,
  test: jax.Array,
  test_labels: jax.Array,
  *,
  classes: int,
  seed: int = 0,
) -> float:
  """Percent of `test` that a probe trained on `train` classifies as `test_labels`."""
  check_labelled(test, test_labels, classes=classes)
  probe = fit_probe(train, labels, classes=classes, seed=seed)
  return 100.0 * float(np.mean(probe_predict(probe, test) == np.asarray(test_labels)))


def _order(rows, *, batch, epochs, minimum_steps, seed):
  """Row numbers of every step, int32 [steps, batch]."""
  batch = min(batch, rows)
  steps = rows // batch
  epochs = max(epochs, -(-minimum_steps // steps))
  rng = np.random.default_rng(seed)
  passes = [rng.permutation(rows)[: steps * batch] for _ in range(epochs)]
  return np.concatenate(passes).astype(np.int32).reshape(-1, batch)


@functools.partial(jax.jit, static_argnames="classes")
def _fit(x, y, order, learning_rate, *, classes):
  mean = x.mean(0, keepdims=True)
  std = jnp.sqrt(x.var(0, keepdims=True) + 1e-6)
  x = (x - mean) / std
  momentum = optax.trace(decay=0.9, nesterov=True)
  progress = jnp.arange(len(order), dtype=jnp.float32) / len(order)
  rates = learning_rate * (1 + jnp.cos(jnp.pi * progress)) / 2

  def loss(params, rows):
    logits = _linear(*params, x[rows])
    return optax.softmax_cross_entropy_with_integer_labels(logits, y[rows]).mean()

  def step(carry, inputs):
    (params, state), (rows, rate) = carry, inputs
    updates, state = momentum.update(jax.grad(loss)(params, rows), state)
    return (jax.tree.map(lambda p, u: p - rate * u, params, updates), state), None

  params = (jnp.zeros((x.shape[1], classes)), jnp.zeros((1, classes)))
  start = (params, momentum.init(params))
  (params, _), _ = jax.lax.scan(step, start, (order, rates))
  return Probe(mean, std, *params)


@jax.jit
def _predict(probe, x):
  logits = _linear(probe.weights, probe.bias, (x - probe.mean) / probe.std)
  return jnp.argmax(logits, axis=1).astype(jnp.int32)


def _linear(weights, bias, x):
  return jnp.matmul(x, weights, precision="highest") + bias
