"""Images a second on one GPU, and how near to its roofline: needs a GPU.

  python benchmarks/gpu.py

SimCLR and Barlow Twins with ResNet-50 and ViT-S/16 at 224 pixels, bfloat16, a batch of
256, all of the augmentation on the device, from bytes that lie there; and SimCLR with
ResNet-18 at 32 pixels. The share of the roofline is the compiler's FLOPs (or bytes) of
a step over its seconds and the card's peak; the share of augmentation is the time of
the views alone. Needs jax, flax, optax, orbax-checkpoint and numpy, nothing of data
or plots. Writes `benchmarks/results/gpu.md`.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import page
import setups

from jaxssl import feeds, methods, models, plan, runs
from jaxssl.augment import byol_views, simclr_view, two_views
from jaxssl.data.loader import take
from jaxssl.presets import encoder, vit
from jaxssl.registry import Experiment, Run


class Size(NamedTuple):
  """How large all is.

  Attributes:
    batch: images a step, each in two views.
    examples: images on the device.
    side: of the images, in pixels.
    view: side of the views.
    steps: in one dispatch.
    rounds: that are timed.
  """

  batch: int
  examples: int
  side: int
  view: int
  steps: int
  rounds: int


GOALS = {224: 5000, 32: 20_000}  # images/s, by the side of the views
PEERS = {  # published, images/s on one H200: stable-pretraining's, lightly's
  ("barlow_twins", "vit_small"): 870.9,
  ("simclr", "resnet18"): 2013.0,
}
LARGE, SMALL = Size(256, 8192, 256, 224, 10, 5), Size(256, 50_000, 32, 32, 20, 5)
TINY = Size(4, 8, 36, 32, 2, 1)


def barlow_twins(net_encoder, size: Size):
  """Barlow Twins with BYOL's views and the paper's projector; method and views."""
  views = two_views(*byol_views(size.view))
  projector = models.barlow_twins_projector()
  return methods.barlow_twins(models.Siamese(net_encoder, projector), views), views


def simclr(net_encoder, size: Size):
  """SimCLR with its own views; method and views."""
  small = size.view <= 64
  views = two_views((setups.small_view if small else simclr_view)(size.view))
  return setups.simclr(net_encoder, views, temperature=0.1), views


CASES = (  # method, encoder, size
  (simclr, "resnet50", LARGE),
  (simclr, "vit_small", LARGE),
  (barlow_twins, "resnet50", LARGE),
  (barlow_twins, "vit_small", LARGE),
  (simclr, "resnet18", SMALL),
)


def experiment(method: Callable, name: str, size: Size, precision: str) -> Experiment:
  """Returns the experiment of one case."""
  run = Run(
    steps=10**6,
    batch=size.batch,
    precision=precision,
    log_every=1000 * size.steps,  # steps that are logged measure features, too
    eval_every=size.steps,
    checkpoint_every=size.steps,
  )
  find = vit if name.startswith("vit") else encoder
  made, views = method(find(name, run, size=size.view), size)
  data = setups.noise(size.examples, size.side)
  return setups.experiment(f"{method.__name__}, {name}", made, run, data, views)


def whole_step(made: Experiment, size: Size) -> float:
  """Seconds of a step: the feed and the program that `fit` runs."""
  mesh = setups.one_device()
  feed, state = feeds.make_feed(made, mesh), runs.make_init(made, mesh)()
  chunks = feed.chunks(0, made.run.steps)

  def some():
    nonlocal state
    done = 0
    while done < size.steps:
      steps, args = next(chunks)
      state, _ = feed.advance(state, *args)
      done += steps
    jax.block_until_ready(state.params)
    return done

  return timed(some, size.rounds)


def views_alone(made: Experiment, size: Size) -> float:
  """Seconds that a batch of views takes alone."""
  data = jax.device_put(made.data.train.arrays())
  rows = np.arange(size.batch, dtype=np.int32)

  @jax.jit
  def views(data, key):
    keys = jax.random.split(key, size.batch)
    return jax.vmap(made.views)(keys, take(data, rows)["input"])

  def some():
    made_views = [views(data, jax.random.key(i)) for i in range(size.steps)]
    jax.block_until_ready(made_views)
    return size.steps

  return timed(some, size.rounds)


def timed(some: Callable[[], int], rounds: int) -> float:
  """The median of seconds a step; `some` returns how many steps it did."""
  some()
  taken = []
  for _ in range(rounds):
    start = time.perf_counter()
    steps = some()
    taken.append((time.perf_counter() - start) / steps)
  return statistics.median(taken)


def measure(method: Callable, name: str, size: Size, precision: str) -> list[str]:
  """One line of the table."""
  made = experiment(method, name, size, precision)
  planned = plan.plan(made, setups.one_device())
  seconds, alone = whole_step(made, size), views_alone(made, size)
  bounds = (planned.compute_seconds, planned.memory_seconds)
  shares = ["unknown" if b is None else f"{b / seconds:.0%}" for b in bounds]
  found = [
    method.__name__,
    name,
    f"{size.batch / seconds:,.0f}",
    f"{GOALS[size.view]:,}",
    f"{PEERS.get((method.__name__, name), ''):}",
    f"{1e3 * seconds:.1f}",
    *shares,
    f"{alone / seconds:.0%}",
    f"{planned.temporary_bytes / 2**30:.1f}",
  ]
  print(*found, flush=True)
  return found


def parse() -> argparse.Namespace:
  """The options."""
  parser = page.parser(__doc__, "gpu")
  parser.add_argument("--precision", default="bfloat16")
  parser.add_argument("--cases", nargs="+", type=int, default=list(range(len(CASES))))
  return parser.parse_args()


def main() -> None:
  """Measures all cases and writes the page."""
  options, device = parse(), jax.devices()[0]
  if device.platform != "gpu" and not options.quick:
    sys.exit("This needs a GPU that JAX sees; `--quick` tries it without, tiny.")
  rows = []
  for method, name, size in [CASES[i] for i in options.cases]:
    size = TINY if options.quick else size
    rows.append(measure(method, name, size, options.precision))
    jax.clear_caches()
  header = ["method", "encoder", "images/s", "goal", "peers on an H200", "ms a step"]
  header += ["of peak arithmetic", "of peak bandwidth", "augmentation alone"]
  header += ["temporaries GiB"]
  page.write(
    options,
    f"One {device.device_kind}; {options.precision}, a batch of {LARGE.batch} images, "
    f"two views each, from bytes on the device; {LARGE.view} pixels ({SMALL.view} for "
    "resnet18). Shares are of the step's seconds.",
    page.conditions(),
    page.table(header, rows),
  )


if __name__ == "__main__":
  main()
