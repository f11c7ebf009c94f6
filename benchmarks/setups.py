"""What the benchmarks train: SimCLR with any encoder, on images of noise."""

from collections.abc import Callable

import flax.linen as nn
import jax
import numpy as np

from jaxssl import methods, models, optim
from jaxssl.augment import simclr_view, two_views
from jaxssl.core import Method
from jaxssl.data import DataSet
from jaxssl.data.sources import ArraySource
from jaxssl.mesh import data_mesh
from jaxssl.registry import Experiment, Run


def noise(examples: int, side: int, *, channels: int = 3) -> DataSet:
  """Returns a data set of random bytes, in memory, without labels."""
  draw = np.random.default_rng(0)
  shape = (examples, side, side, channels)
  images = draw.integers(0, 256, shape, np.uint8)
  return DataSet("noise", ArraySource({"input": images}), None, ())


def small_view(side: int) -> Callable:
  """SimCLR's view of small images: half the jitter, no blur."""
  return simclr_view(side, strength=0.5, blur_probability=0.0)


def simclr(
  encoder: nn.Module, views: Callable, *, temperature: float = 0.5, **options
) -> Method:
  """SimCLR with a head of two layers."""
  head = models.simclr_head()
  return methods.simclr(
    models.Siamese(encoder, head), views, temperature=temperature, **options
  )


def experiment(
  name: str, method: Method, run: Run, data: DataSet, views: Callable
) -> Experiment:
  """Returns an experiment that steps with SGD."""
  tx = optim.sgd(0.03, momentum=0.9, weight_decay=5e-4)
  return Experiment(name, name, {}, run, method, tx, data, views)


def small(encoder: nn.Module, run: Run, data: DataSet) -> Experiment:
  """Returns SimCLR on small images, views as large as these."""
  side = data.train[np.zeros(1, np.int32)]["input"].shape[1]
  views = two_views(small_view(side))
  return experiment("simclr", simclr(encoder, views), run, data, views)


def run_of(batch: int, **settings) -> Run:
  """Returns the settings of a run that is never run to its end."""
  return Run(steps=1_000_000, batch=batch, **settings)


def one_device() -> jax.sharding.Mesh:
  """Returns the mesh of the first device."""
  return data_mesh(jax.devices()[:1])
