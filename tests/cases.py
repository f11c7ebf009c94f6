"""THE TABLE of methods: every contract test runs over its rows."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxssl import methods
from jaxssl.core import Method
from jaxssl.models.siamese import Siamese
from jaxssl.ops import cosine_ema

BATCH, SIDE, DIM = 16, 8, 12


class Encoder(nn.Module):
  """A dense layer, a norm and a ReLU: the smallest net that has everything."""

  norm: str
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    x = x.reshape(x.shape[0], -1)
    self.sow("intermediates", "patches", x.reshape(x.shape[0], SIDE, -1))
    return Layer(32, self.norm, self.axis_name)(x, train=train, keys=keys)


class Layer(nn.Module):
  """Dense, norm, ReLU; the norm is "batch" or "layer"."""

  width: int
  norm: str
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    x = nn.Dense(self.width)(x)
    if self.norm == "layer":
      return nn.relu(nn.LayerNorm()(x))
    norm = nn.BatchNorm(
      use_running_average=not train, momentum=0.9, axis_name=self.axis_name
    )
    return nn.relu(norm(x))


class Head(nn.Module):
  """A `Layer` and a dense layer."""

  norm: str
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    x = Layer(32, self.norm, self.axis_name)(x, train=train, keys=keys)
    return nn.Dense(DIM)(x)


def net(norm: str, axis_name: str | None = None, *, predictor: bool = False):
  """Returns the test net."""
  parts = [Encoder(norm, axis_name), Head(norm, axis_name)]
  return Siamese(*parts, Head(norm, axis_name) if predictor else None)


def views(key, image):
  """Two noisy copies; the image is [0, 1]."""
  first, second = jax.random.split(key)
  noisy = lambda k: image + 0.1 * jax.random.normal(k, image.shape)
  return noisy(first), noisy(second)


class Case(NamedTuple):
  """A row of the table.

  Attributes:
    name: of the method.
    make: (norm, axis_name) -> Method; the norm is "batch" or "layer".
    frozen: (state) -> pytree that no gradient may reach or None.
  """

  name: str
  make: Callable[..., Method]
  frozen: Callable


def _case(name, method, *, predictor=False, frozen=lambda state: (), **options):
  def make(norm="batch", axis_name=None):
    return method(net(norm, axis_name, predictor=predictor), views, **options)

  return Case(name, make, frozen)


CASES = (
  _case("simclr", methods.simclr, temperature=0.2),
  _case(
    "moco_v2",
    methods.moco_v2,
    queue_size=4 * BATCH,
    momentum=0.99,
    frozen=lambda state: (state.extra.target, state.extra.queue),
  ),
  _case(
    "byol",
    methods.byol,
    predictor=True,
    momentum=cosine_ema(0.9, steps=20),
    frozen=lambda state: state.extra.target,
  ),
  _case("simsiam", methods.simsiam, predictor=True),
  _case("barlow_twins", methods.barlow_twins),
  _case(  # a 25th of the weights: gradients of order 1, where 1e-5 means something
    "vicreg",
    methods.vicreg,
    invariance_weight=1.0,
    variance_weight=1.0,
    covariance_weight=0.04,
  ),
)
NAMES = tuple(case.name for case in CASES)


def optimiser() -> optax.GradientTransformation:
  """SGD with momentum: adaptive ones divide rounding noise by itself."""
  return optax.sgd(0.05, momentum=0.9)


@functools.cache
def batch(seed: int = 5, rows: int = BATCH) -> dict:
  """A batch of random images in [0, 1]."""
  images = jax.random.uniform(jax.random.key(seed), (rows, SIDE, SIDE, 1))
  return {"input": images, "index": jnp.arange(rows, dtype=jnp.int32)}


def flat(tree) -> np.ndarray:
  """All leaves of a pytree as one float64 vector, on the host."""
  leaves = jax.tree.leaves(jax.device_get(tree))
  return np.concatenate([np.ravel(np.asarray(x, np.float64)) for x in leaves])
