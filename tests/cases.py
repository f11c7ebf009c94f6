"""THE TABLE of methods: every contract test runs over its rows."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxssl import methods, models
from jaxssl.core import Method
from jaxssl.models.siamese import Siamese
from jaxssl.ops import cosine_ema
from tests import (
  audio_cases,
  caption_cases,
  generative_cases,
  graph_cases,
  masked_cases,
  predictive_cases,
  restoration_cases,
  sounding_cases,
  speech_cases,
  table_cases,
  targets_cases,
  text_cases,
  token_cases,
  video_cases,
  word_cases,
)

BATCH, SIDE, DIM = 16, 8, 12
EXAMPLES = 2 * BATCH  # of the data set that `index` counts


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
  out: int = DIM

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    x = Layer(32, self.norm, self.axis_name)(x, train=train, keys=keys)
    return nn.Dense(self.out)(x)


def net(norm: str, axis_name: str | None = None, *, predictor=False, out: int = DIM):
  """Returns the test net."""
  parts = [Encoder(norm, axis_name), Head(norm, axis_name, out)]
  return Siamese(*parts, Head(norm, axis_name, out) if predictor else None)


def views(key, image):
  """Two noisy copies; the image is [0, 1]."""
  first, second = jax.random.split(key)
  noisy = lambda k: image + 0.1 * jax.random.normal(k, image.shape)
  return noisy(first), noisy(second)


def nothing(state):
  """What no gradient may reach in a method without frozen state."""
  del state
  return ()


@functools.cache
def batch(seed: int = 5, rows: int = BATCH) -> dict:
  """A batch of random images in [0, 1]."""
  images = jax.random.uniform(jax.random.key(seed), (rows, SIDE, SIDE, 1))
  index = jnp.arange(rows, dtype=jnp.int32)
  return {"input": images, "index": index, "label": index % 4}


class Case(NamedTuple):
  """A row of the table.

  Attributes:
    name: of the method.
    make: (norm, axis_name) -> Method; the norm is "batch" or "layer".
    frozen: (state) -> pytree that no gradient may reach or None.
    batch: (seed, rows) -> what it trains on.
  """

  name: str
  make: Callable[..., Method]
  frozen: Callable
  batch: Callable = batch


def _case(
  name, method, *, predictor=False, out=DIM, frozen=nothing, views=views, **options
):
  def make(norm="batch", axis_name=None):
    made = net(norm, axis_name, predictor=predictor, out=out)
    return method(made, views, **options)

  return Case(name, make, frozen)


def _target(state):
  return state.extra.target


def _target_and_queue(state):
  return state.extra.target, state.extra.queue


def one_view(key, image):
  """The first of `views` alone."""
  return views(key, image)[:1]


def crops(key, image):
  """Two views of the image and the corner of another, which is smaller."""
  key_views, key_corner = jax.random.split(key)
  return *views(key_views, image), views(key_corner, image)[0][SIDE // 2 :, SIDE // 2 :]


class Located(NamedTuple):
  """A view and where its patches lie in the example."""

  image: jax.Array
  positions: jax.Array


def located(key, image):
  """`views` with the row of each patch as its place."""
  rows = jnp.stack([jnp.linspace(0.0, 1.0, SIDE), jnp.zeros(SIDE)], axis=1)
  return tuple(Located(view, rows) for view in views(key, image))


class CornerEncoder(nn.Module):
  """`Encoder` that looks at the first 4 x 4 pixels: takes images of any size."""

  norm: str
  axis_name: str | None = None

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    self.sow("intermediates", "patches", x.reshape(x.shape[0], x.shape[1], -1))
    x = x[:, : SIDE // 2, : SIDE // 2].reshape(x.shape[0], -1)
    return Layer(32, self.norm, self.axis_name)(x, train=train, keys=keys)


def _multicrop(name, method, *, frozen=nothing, **options):
  def make(norm="batch", axis_name=None):
    parts = [CornerEncoder(norm, axis_name), Head(norm, axis_name)]
    return method(Siamese(*parts), crops, **options)

  return Case(name, make, frozen)


def _vicregl(norm="batch", axis_name=None):
  options = {"invariance_weight": 1.0, "variance_weight": 1.0}
  local = Head(norm, axis_name)
  return methods.vicregl(
    net(norm, axis_name), local, located, matches=4, covariance_weight=0.04, **options
  )


def _cpc(norm="batch", axis_name=None):
  del norm, axis_name  # the paper's encoder has no batch norm
  context = models.RowContext(width=8, blocks=1)
  return methods.cpc(
    PatchEncoder(), context, one_view, patch=4, stride=2, steps=1, temperature=16.0
  )


class PatchEncoder(nn.Module):
  """Pixels of a patch -> 32 features, without a norm."""

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    return nn.Dense(32)(x.reshape(x.shape[0], -1))


def _seed(norm="batch", axis_name=None):
  weights = jax.random.normal(jax.random.key(9), (SIDE * SIDE, DIM)) / SIDE

  def encode(variables, x):
    return x.reshape(len(x), -1) @ variables["weights"]

  teacher = methods.Teacher(encode, {"weights": weights})
  return methods.seed(
    net(norm, axis_name),
    one_view,
    teacher,
    queue_size=4 * BATCH,
    teacher_temperature=0.1,
  )


MOMENTUM = cosine_ema(0.9, steps=20)
OTHERS = (
  predictive_cases,
  restoration_cases,
  generative_cases,
  masked_cases,
  targets_cases,
)
KINDS = (  # of examples other than images
  text_cases,
  word_cases,
  caption_cases,
  audio_cases,
  speech_cases,
  video_cases,
  sounding_cases,
  graph_cases,
  table_cases,
)
CASES = (
  _case("simclr", methods.simclr, temperature=0.2),
  _case(
    "moco_v2",
    methods.moco_v2,
    queue_size=4 * BATCH,
    momentum=0.99,
    frozen=_target_and_queue,
  ),
  _case("byol", methods.byol, predictor=True, momentum=MOMENTUM, frozen=_target),
  _case("simsiam", methods.simsiam, predictor=True),
  _case("barlow_twins", methods.barlow_twins),
  _case(  # a 25th of the weights: gradients of order 1, where 1e-5 means something
    "vicreg",
    methods.vicreg,
    invariance_weight=1.0,
    variance_weight=1.0,
    covariance_weight=0.04,
  ),
  _case(
    "moco_v1",
    methods.moco_v1,
    queue_size=4 * BATCH,
    momentum=0.99,
    temperature=0.2,
    frozen=_target_and_queue,
  ),
  _case("moco_v3", methods.moco_v3, predictor=True, momentum=MOMENTUM, frozen=_target),
  _case(
    "npid",
    methods.npid,
    views=one_view,
    examples=EXAMPLES,
    negatives=8,
    temperature=0.5,
    frozen=lambda state: (state.extra.bank, state.extra.normalizer),
  ),
  _case(
    "npid_softmax",
    methods.npid_softmax,
    views=one_view,
    examples=EXAMPLES,
    temperature=0.2,
    frozen=lambda state: state.extra.bank,
  ),
  _case(
    "nnclr",
    methods.nnclr,
    predictor=True,
    queue_size=4 * BATCH,
    temperature=0.2,
    frozen=lambda state: state.extra.queue,
  ),
  _case("dcl", methods.dcl, temperature=0.2),
  _case("dclw", methods.dclw, temperature=0.2),
  _case("supcon", methods.supcon, temperature=0.2),
  _case(
    "ressl",
    methods.ressl,
    queue_size=4 * BATCH,
    momentum=0.99,
    teacher_temperature=0.08,
    frozen=_target_and_queue,
  ),
  Case("cpc", _cpc, nothing),
  Case("vicregl", _vicregl, nothing),
  _case("w_mse", methods.w_mse, out=4, sub_batch=BATCH),
  _case(
    "tico",
    methods.tico,
    momentum=MOMENTUM,
    beta=0.5,  # the covariance starts at 0; the loss rises until it has filled
    rho=2.0,
    frozen=lambda state: (state.extra.target, state.extra.covariance),
  ),
  _multicrop("lejepa", methods.lejepa, slices=16),
  _multicrop(
    "swav",
    methods.swav,
    prototypes=8,
    temperature=0.3,
    epsilon=0.3,  # at 0.05 the codes magnify rounding twentyfold
    queue_size=2 * BATCH,
    queue_start=1,
    freeze_steps=1,
    frozen=lambda state: state.extra.queue,
  ),
  _case(
    "deepcluster", methods.deepcluster, views=one_view, examples=EXAMPLES, clusters=4
  ),
  _multicrop(
    "deepcluster_v2",
    methods.deepcluster_v2,
    examples=EXAMPLES,
    clusters=4,
    heads=2,
    frozen=lambda state: (state.extra.memory, state.extra.prototypes),
  ),
  Case("seed", _seed, lambda state: (state.extra.teacher, state.extra.queue)),
  Case("dino", token_cases.make_dino, token_cases.frozen),
  Case("ibot", token_cases.make_ibot, token_cases.frozen),
  Case("dinov2", token_cases.make_dinov2, token_cases.frozen),
  Case("ijepa", token_cases.make_ijepa, token_cases.frozen),
  Case("distill", token_cases.make_distill, token_cases.frozen),
  *(Case(*row) for module in (*OTHERS, *KINDS) for row in module.ROWS),
)
NAMES = tuple(case.name for case in CASES)
FIRST = NAMES[:6]  # of which the everyday suite runs everything
JOINED = (  # whose rows meet in the loss or in the state
  *("moco_v1", "moco_v3", "nnclr", "ressl", "w_mse", "lejepa", "vicregl", "cpc"),
  *("swav", "deepcluster", "seed", "dino", "ijepa"),
)
FAMILIES = (  # every day the first six, and one of each family and kind
  *JOINED,
  *("rotation", "jigsaw", "inpainting_adversarial", "vae", "bigan"),
  *("dvae", "mae", "beit", "data2vec", "aim"),
  *("bert", "skip_gram", "clip", "wav2vec2", "alignment", "graphcl", "scarf"),
)
EVERYDAY = (*FIRST, *FAMILIES)
JOINT = (*FIRST, *JOINED, "bigan", "clip", "wav2vec2", "graphcl")


def optimiser() -> optax.GradientTransformation:
  """SGD with momentum: adaptive ones divide rounding noise by itself."""
  return optax.sgd(0.05, momentum=0.9)


def flat(tree) -> np.ndarray:
  """All leaves of a pytree as one float64 vector, on the host."""
  leaves = jax.tree.leaves(jax.device_get(tree))
  return np.concatenate([np.ravel(np.asarray(x, np.float64)) for x in leaves])
