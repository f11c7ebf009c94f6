"""How a run's costs grow: batch, devices, data, seeds, first step, 10,000 steps.

  python benchmarks/growth.py

SimCLR with a ConvNet on this machine's processor. Seconds of a step against the batch,
the number of examples and the seeds in one program; a step over 1 to 8 devices, forced
here, which share the cores: what it takes of each device is the compiler's figure;
seconds to the first step with the compilation cache empty and full; memory of a run of
10,000 steps. Each part is a process of its own. Writes `benchmarks/results/growth.md`
and `growth.png`.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import page

START = time.perf_counter()
BATCHES = ((32, 64, 128, 256, 512), (8, 16))  # whole, quick
EXAMPLES = ((1024, 8192, 65_536, 262_144), (64, 256))
SEEDS = ((1, 2, 4, 8), (1, 2))
DEVICES = ((1, 2, 4, 8), (1, 2))
MARKS = ((1000, 2000, 5000, 10_000), (20, 40))
SIDE, ROUNDS = 32, (7, 2)


def seconds(step: Callable[[], None], rounds: int) -> float:
  """The median of a few calls, after one to warm up."""
  step()
  taken = []
  for _ in range(rounds):
    start = time.perf_counter()
    step()
    taken.append(time.perf_counter() - start)
  return statistics.median(taken)


def convnet(batch: int, examples: int, *, side: int = SIDE):
  """SimCLR with a ConvNet on images of noise."""
  import setups

  from jaxssl import models

  data = setups.noise(examples, side)
  return setups.small(models.ConvNet(), setups.run_of(batch), data)


def stepper(experiment) -> Callable[[], None]:
  """Returns a function that does one step, as `fit` does it."""
  import jax
  import setups

  from jaxssl import feeds, runs

  mesh = setups.one_device()
  feed = feeds.make_feed(experiment, mesh)
  state = runs.make_init(experiment, mesh)()
  chunks = feed.chunks(0, experiment.run.steps)

  def step():
    nonlocal state
    _, args = next(chunks)
    state, _ = feed.advance(state, *args)
    jax.block_until_ready(state.params)

  return step


def by_batch(quick: bool) -> list[list[float]]:
  """[batch, seconds of a step]."""
  sizes, rounds = BATCHES[quick], ROUNDS[quick]
  return [[n, seconds(stepper(convnet(n, 2 * n)), rounds)] for n in sizes]


def by_examples(quick: bool) -> list[list[float]]:
  """[examples in memory, seconds of a step of a fixed batch]."""
  sizes, rounds, batch = EXAMPLES[quick], ROUNDS[quick], BATCHES[quick][0]
  return [[n, seconds(stepper(convnet(batch, n)), rounds)] for n in sizes]


def by_devices(quick: bool) -> list[dict]:
  """What the compiler plans for a fixed batch a device."""
  import jax

  from jaxssl import plan
  from jaxssl.mesh import data_mesh

  found = []
  for devices in DEVICES[quick]:
    batch = devices * BATCHES[quick][1]
    mesh = data_mesh(jax.devices()[:devices])
    made = plan.plan(convnet(batch, batch), mesh)
    found.append({"devices": devices, "batch": batch, **made._asdict()})
  return found


def by_seeds(quick: bool) -> list[list[float]]:
  """[seeds in one program, seconds of a step of all]."""
  from jaxssl import registry

  batch, rounds = 16 if quick else 128, ROUNDS[quick]
  make = lambda n: registry.build("simclr_digits", batch=batch, seeds=n)
  return [[n, seconds(stepper(make(n)), rounds)] for n in SEEDS[quick]]


def first_step(quick: bool) -> dict[str, float]:
  """Seconds from the start of the program: after its imports, after the first step."""
  import jax  # noqa: F401
  import setups

  from jaxssl import models

  imported = time.perf_counter() - START
  if quick:
    made = convnet(8, 16)
  else:
    net = models.ResNet18(stem=models.CifarStem)
    made = setups.small(net, setups.run_of(8), setups.noise(64, SIDE))
  stepper(made)()
  return {"imported": imported, "stepped": time.perf_counter() - START}


def memory(quick: bool) -> list[list[float]]:
  """[steps done, MiB of the process] of a run by `fit`, logs and checkpoints too."""
  from jaxssl import registry, train

  marks, found = MARKS[quick], []
  settings = {"steps": marks[-1], "log_every": marks[0], "eval_every": marks[-1]}
  saves = {"checkpoint_every": marks[-1] // 4}
  made = registry.build("simclr_digits", batch=16, **settings, **saves)

  def look(step, state, metrics):
    if step in marks:
      found.append([step, resident()])
      print(f"step {step}: {found[-1][1]:,.1f} MiB", flush=True)

  with tempfile.TemporaryDirectory() as folder:
    out = pathlib.Path(folder) / "run"
    train.fit(made, out, callbacks=(look,), say=lambda sentence: None)
  return found


def resident() -> float:
  """MiB of this process in memory."""
  lines = pathlib.Path("/proc/self/status").read_text().splitlines()
  return next(int(x.split()[1]) for x in lines if x.startswith("VmRSS")) / 1024


PARTS = {
  "batch": by_batch,
  "devices": by_devices,
  "examples": by_examples,
  "seeds": by_seeds,
  "first": first_step,
  "memory": memory,
}


def measure(name: str, options: argparse.Namespace, **environment: str):
  """Runs a part in a process of its own; returns what it found."""
  quick = ["--quick"] if options.quick else []
  given = [sys.executable, __file__, "--part", name, *quick]
  environment = {**os.environ, "JAX_PLATFORMS": "cpu", **environment}
  ran = subprocess.run(given, env=environment, stdout=subprocess.PIPE, text=True)
  if ran.returncode:
    sys.exit(f"The part {name} failed.")
  print(f"{name}: {ran.stdout.strip()}", flush=True)
  return json.loads(ran.stdout.splitlines()[-1])


def measure_all(options: argparse.Namespace) -> dict:
  """Runs all parts."""
  flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
  names = ("batch", "examples", "seeds", "memory")
  found = {name: measure(name, options) for name in names}
  found["devices"] = measure("devices", options, XLA_FLAGS=flags)
  with tempfile.TemporaryDirectory() as folder:
    cache = {
      "JAX_COMPILATION_CACHE_DIR": folder,
      "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
      "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    found["cold"] = measure("first", options, **cache)
    found["cached"] = measure("first", options, **cache)
  return found


def rate_table(header: Sequence[str], rows: list[list[float]], batch: int = 0) -> str:
  """A table of seconds a step; with what follows from the size, or a fixed batch."""
  lines = [[f"{n:,}", f"{s:.4f}", f"{(batch or n) / s:,.0f}"] for n, s in rows]
  return page.table(header, lines)


def device_table(rows: list[dict]) -> str:
  """Work and traffic of one device against a single one with as many rows."""
  lines, one = [], rows[0]
  for row in rows:
    kinds = row["collectives"].items()
    moved = ", ".join(f"{x['count']} {kind}" for kind, x in kinds) or "none"
    sent = sum(x["bytes"] for _, x in kinds) / 2**20
    shares = [f"{one[n] / row[n]:.3f}" for n in ("flops", "bytes_accessed")]
    lines.append([row["devices"], row["batch"], *shares, moved, f"{sent:.2f}"])
  header = ["devices", "batch", "efficiency by FLOPs", "by bytes", "collectives", "MiB"]
  return page.table(header, lines)


def seed_table(rows: list[list[float]]) -> str:
  """Seconds of a step of all seeds, and against as many programs, one after another."""
  one = rows[0][1]
  lines = [[n, f"{s:.4f}", f"{s / n:.4f}", f"{n * one / s:.2f}"] for n, s in rows]
  return page.table(["seeds", "seconds a step", "a seed", "gain"], lines)


def first_table(found: dict) -> str:
  """Seconds to the first step."""
  rows = [
    [kind, *[f"{found[name][what]:.1f}" for what in ("imported", "stepped")]]
    for name, kind in (("cold", "cache empty"), ("cached", "cache full"))
  ]
  return page.table(["", "imported after s", "first step done after s"], rows)


def memory_table(rows: list[list[float]]) -> str:
  """MiB against steps."""
  header = ["", *[f"step {step:,}" for step, _ in rows]]
  return page.table(header, [["MiB", *[f"{size:,.1f}" for _, size in rows]]])


def draw(found: dict, path: pathlib.Path) -> None:
  """Draws all that has a size on its axis."""
  import matplotlib

  matplotlib.use("Agg")
  from matplotlib import pyplot

  figure, axes = pyplot.subplots(2, 3, figsize=(12, 6.4), layout="constrained")
  one = found["devices"][0]["bytes_accessed"]
  devices = [[d["devices"], one / d["bytes_accessed"]] for d in found["devices"]]
  bars = [["empty", found["cold"]["stepped"]], ["full", found["cached"]["stepped"]]]
  panels = (
    ("batch", "seconds a step", found["batch"]),
    ("devices (fixed batch a device)", "efficiency by bytes", devices),
    ("examples in memory", "seconds a step", found["examples"]),
    ("seeds in one program", "seconds a step", found["seeds"]),
    ("compilation cache", "seconds to the first step", bars),
    ("steps done", "MiB of the process", found["memory"]),
  )
  for axis, (below, left, points) in zip(axes.flat, panels, strict=True):
    places = [f"{x:,}" if isinstance(x, int) else x for x, _ in points]
    heights = [y for _, y in points]
    if points is bars:
      axis.bar(places, heights, width=0.5)
    else:
      axis.plot(places, heights, "o-")
    axis.set(xlabel=below, ylabel=left, ylim=(0, 1.1 * max(heights)))
    axis.grid(alpha=0.3)
  figure.savefig(path, dpi=110)


def write(options: argparse.Namespace, found: dict) -> None:
  """Writes the page and the picture."""
  picture, batch = page.path_of(options).with_suffix(".png"), BATCHES[options.quick][0]
  draw(found, picture)
  rate = ["seconds a step", "images/s"]
  page.write(
    options,
    f"SimCLR, ConvNet, {SIDE} pixels, float32, from bytes in memory: medians of "
    f"{ROUNDS[options.quick]} steps.",
    page.conditions(),
    f"![how costs grow]({picture.name})",
    "## Batch",
    rate_table(["batch", *rate], found["batch"]),
    "## Devices\n\nA fixed batch a device, as compiled for forced devices: what one "
    "device does alone over what each does of several, and what it sends in a step.",
    device_table(found["devices"]),
    f"## Examples in memory\n\nA batch of {batch}.",
    rate_table(["examples", *rate], found["examples"], batch),
    "## Seeds in one program\n\n`simclr_digits`; gain: over one program after another.",
    seed_table(found["seeds"]),
    "## First step\n\nResNet-18 for small images, fresh processes.",
    first_table(found),
    "## Memory\n\n`fit` on `simclr_digits`, batch 16, with logs and four "
    "checkpoints, the first after a quarter of the steps.",
    memory_table(found["memory"]),
  )


def main() -> None:
  """Measures all parts and writes the page; or measures one part."""
  parser = page.parser(__doc__, "growth")
  parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
  options = parser.parse_args()
  if options.part:
    print(json.dumps(PARTS[options.part](options.quick)))
    return
  write(options, measure_all(options))


if __name__ == "__main__":
  main()
