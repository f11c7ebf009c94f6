"""What MAE saves by showing the encoder a quarter of the patches: FLOPs and time.

  python benchmarks/mae_cost.py

FLOPs of a whole training step as the compiler counts them before it compiles, at 75 %
masking against (nearly) none, for the registered ImageNet and Imagenette experiments;
and, of the small one, seconds a step on this machine: the two steps take turns, the
ratio is the median of the rounds. The output goes to `benchmarks/results/mae_cost.md`.
"""

import functools
import pathlib
import platform
import statistics
import time

import jax
import numpy as np

from jaxssl import core, registry
from jaxssl.data.sources import blank

RESULTS = pathlib.Path(__file__).parent / "results"
MASKED, ROUNDS = 0.75, 5


def step_of(name: str, ratio: float, batch: int):
  """The jitted step of an experiment and the shapes of its state and batch."""
  made = registry.build(
    name, ratio=ratio, batch=batch, data=f"blank:{9 * batch}x64x64x3"
  )
  step = functools.partial(core.train_step, made.method, made.tx)
  images = blank(f"{batch}x64x64x3").train[np.arange(batch)]
  example = {**images, "index": np.arange(batch, dtype=np.int32)}
  init = functools.partial(core.init_state, made.method, made.tx)
  return jax.jit(step), init, example


def flops(name: str, ratio: float, batch: int) -> float:
  """FLOPs of a step, before it is compiled."""
  step, init, batch = step_of(name, ratio, batch)
  state = jax.eval_shape(init, jax.random.key(0), batch)
  return step.lower(state, batch).cost_analysis()["flops"]


def seconds(name: str, ratios: tuple[float, ...], batch: int) -> list[list[float]]:
  """Seconds of a step for each ratio, round after round."""
  ready = []
  for ratio in ratios:
    step, init, example = step_of(name, ratio, batch)
    state = jax.jit(init)(jax.random.key(0), example)
    jax.block_until_ready(step(state, example))  # compiles
    ready.append((step, state, example))
  rounds = []
  for _ in range(ROUNDS):
    taken = []
    for step, state, example in ready:
      start = time.perf_counter()
      jax.block_until_ready(step(state, example))
      taken.append(time.perf_counter() - start)
    rounds.append(taken)
  return rounds


def main() -> None:
  """Measures and writes the table."""
  whole = 1 / 196 / 2  # leaves out one patch: the method refuses none
  big = [flops("mae_imagenet", ratio, 8) for ratio in (MASKED, whole)]
  small = [flops("mae_imagenette", ratio, 64) for ratio in (MASKED, whole)]
  rounds = seconds("mae_imagenette", (MASKED, whole), 64)
  ratio = statistics.median(a / b for a, b in rounds)
  fast, slow = (statistics.median(column) for column in zip(*rounds, strict=True))
  text = (
    "A training step of MAE at 75 % masking against the step on all patches but one "
    f"({platform.machine()} CPU, jax {jax.__version__}).\n\n"
    "| experiment | FLOPs | seconds a step of 64 |\n|---|---|---|\n"
    f"| `mae_imagenet` (ViT-B/16, 224 px, the paper's decoder) | {big[0] / big[1]:.3f} "
    "of the whole | |\n"
    f"| `mae_imagenette` (small ViT, 64 px, light decoder) | {small[0] / small[1]:.3f} "
    f"of the whole | {fast:.2f} / {slow:.2f} = {ratio:.2f} |\n"
  )
  (RESULTS / "mae_cost.md").write_text(text)
  print(text)


if __name__ == "__main__":
  main()
