"""jaxssl as a competitor of `peers.py`: its own feed and step, as `fit` runs them."""

import itertools
import time
from collections.abc import Callable

import jax
import numpy as np
import setups
from workers import setting
from workers.setting import Setting

from jaxssl import models, plan, runs
from jaxssl.augment import two_views
from jaxssl.feeds import make_feed

PACKAGES = ("jax",)
SIDE = 4096  # of the matrices


def make(given: Setting) -> Callable[[int], None]:
  """Returns a function that does so many steps (or batches of views)."""
  return _views(given) if given.task == "views" else _training(given)


def _encoder(task):
  if task == "convnet":
    return models.ConvNet(widths=setting.WIDTHS, pools=setting.POOLS)
  return models.ResNet18(stem=models.CifarStem)


def work_and_rate(given: Setting) -> tuple[float, float]:
  """Returns FLOPs of a step, by the compiler, and of a second of float32 products."""
  work = plan.plan(_experiment(given), setups.one_device()).flops
  square = jax.numpy.ones((SIDE, SIDE))
  multiply, taken = jax.jit(lambda x: x @ x), []
  for _ in range(6):
    start = time.perf_counter()
    jax.block_until_ready(multiply(square))
    taken.append(time.perf_counter() - start)
  return work, 2 * SIDE**3 / min(taken)


def _experiment(given):
  run, data = setups.run_of(given.batch), setups.noise(given.examples, given.side)
  return setups.small(_encoder(given.task), run, data)


def _training(given):
  experiment = _experiment(given)
  mesh = setups.one_device()
  feed, state = make_feed(experiment, mesh), runs.make_init(experiment, mesh)()
  chunks = feed.chunks(0, experiment.run.steps)

  def advance(steps):
    nonlocal state
    for _, args in itertools.islice(chunks, steps):
      state, _ = feed.advance(state, *args)
    jax.block_until_ready(state.params)

  return advance


def _views(given):
  make = jax.jit(jax.vmap(two_views(setups.small_view(given.side))))
  images = setting.images(given)[: given.batch]
  keys = jax.random.split(jax.random.key(0), given.batch)

  def advance(batches):
    for _ in range(batches):
      jax.tree.map(np.asarray, make(keys, images))

  return advance
