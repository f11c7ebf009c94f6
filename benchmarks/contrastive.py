"""The contrastive loss against the batch: memory, as compiled, and time where it fits.

  python benchmarks/contrastive.py --python PYTHON

NT-Xent and its gradient of 1,024 to 262,144 pairs of 128 dims, float32: `nt_xent`
dense and in blocks of columns, `ring_nt_xent` over 8 forced CPU devices; beside them
`optax.losses.ntxent` and lightly's `NTXentLoss`, where PYTHON, the interpreter of an
environment with `pip install -e '.[bench]'`, can import it. Ours and optax's memory is
what the compiler plans, so that no machine has to hold it; lightly's is measured. Small
batches are timed. Then the memory of 65,536 pairs over 1 to 8 devices. Writes
`benchmarks/results/contrastive.md` and `contrastive.png`.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

os.environ["XLA_FLAGS"] = (
  os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import optax
import page

from jaxssl import losses
from jaxssl.mesh import data_mesh, rows_sharded

HERE = pathlib.Path(__file__).resolve().parent
DEVICES, DIM, BLOCK, TEMPERATURE, RUNS = (1, 2, 4, 8), 128, 1024, 0.1, 3
MANY = 4096  # pairs above which one run is timed, not several
MOST = 4 * 1024  # MiB of all devices together that are run here, not only planned


def _optax(z_a, z_b, *, temperature):
  """optax's loss takes all rows at once, with the number of its pair for each."""
  pair = jnp.tile(jnp.arange(z_a.shape[0]), 2)
  return optax.losses.ntxent(jnp.concatenate([z_a, z_b]), pair, temperature)


FORMS = {  # loss, its options on a mesh
  "dense": (losses.nt_xent, lambda mesh: {}),
  "blocks": (losses.nt_xent, lambda mesh: {"block_size": BLOCK}),
  "ring": (losses.ring_nt_xent, lambda mesh: {"mesh": mesh}),
  "ring, blocks": (
    losses.ring_nt_xent,
    lambda mesh: {"mesh": mesh, "block_size": BLOCK},
  ),
  "optax": (_optax, lambda mesh: {}),
}
BY_BATCH = {"dense": 1, "optax": 1, "blocks": 1, "ring": 8, "ring, blocks": 8}
PEER = "lightly"


def views_of(pairs, mesh):
  """The shape of the projections of one view, rows split over the mesh."""
  return jax.ShapeDtypeStruct((pairs, DIM), jnp.float32, sharding=rows_sharded(mesh))


def compiled_gradient(form: str, devices: int, pairs: int):
  """The compiled loss and its gradient by both views."""
  mesh = data_mesh(jax.devices()[:devices])
  loss, options = FORMS[form]

  def mean(z_a, z_b):
    return jnp.mean(loss(z_a, z_b, temperature=TEMPERATURE, **options(mesh)))

  rows, view = rows_sharded(mesh), views_of(pairs, mesh)
  step = jax.jit(jax.value_and_grad(mean, (0, 1)), out_shardings=(None, (rows, rows)))
  return step.lower(view, view).compile()


def cost(form: str, devices: int, pairs: int, *, timed: int) -> dict[str, float]:
  """MiB of temporaries of a device, and seconds of up to `timed` pairs that fit."""
  start = time.perf_counter()
  try:
    compiled = compiled_gradient(form, devices, pairs)
  except (jax.errors.JaxRuntimeError, MemoryError) as error:
    print(f"{form}, {pairs:,}: {str(error).splitlines()[0]}", flush=True)
    return {}
  found = {"mebibytes": compiled.memory_analysis().temp_size_in_bytes / 2**20}
  moved = set(re.findall(r" (all-[a-z-]+|collective-permute)", compiled.as_text()))
  if pairs <= timed and devices * found["mebibytes"] <= MOST:
    found["seconds"] = seconds(compiled, devices, pairs)
  took = time.perf_counter() - start
  print(f"{form}, {devices}, {pairs:,}: {found}, {took:.1f} s", *moved, flush=True)
  return found


def seconds(compiled, devices: int, pairs: int) -> float:
  """The median of a few runs, after one to warm up."""
  mesh = data_mesh(jax.devices()[:devices])
  draw = lambda i: jax.random.normal(jax.random.key(i), (pairs, DIM))
  views = [jax.device_put(draw(i), rows_sharded(mesh)) for i in range(2)]
  taken = []
  for _ in range(1 + (RUNS if pairs <= MANY else 1)):
    start = time.perf_counter()
    jax.block_until_ready(compiled(*views))
    taken.append(time.perf_counter() - start)
  return statistics.median(taken[1:])


def peer_cost(python: str, pairs: int) -> dict[str, float]:
  """What lightly's loss takes in a process of its own; empty if it isn't there."""
  ran = subprocess.run(
    [python, "-m", "workers.lightly_torch", str(pairs), str(DIM)],
    cwd=HERE,
    capture_output=True,
    text=True,
  )
  if ran.returncode:
    print(f"lightly, {pairs:,}: {ran.stderr.strip().splitlines()[-1:]}", flush=True)
    return {}
  found = json.loads(ran.stdout.splitlines()[-1])
  print(f"lightly, {pairs:,}: {found}", flush=True)
  return found


def by_batch(options: argparse.Namespace) -> dict[str, dict[int, dict]]:
  """form -> pairs -> what it takes."""
  found = {
    form: {n: cost(form, devices, n, timed=options.timed) for n in options.pairs}
    for form, devices in BY_BATCH.items()
  }
  small = [n for n in options.pairs if n <= options.timed]
  peer = {n: peer_cost(options.python, n) for n in small}
  return {**found, PEER: peer} if any(peer.values()) else found


def batch_table(found: dict, what: str, form: str) -> str:
  """A table of one kind of cost, one line for a form."""
  sizes = sorted({n for costs in found.values() for n in costs if what in costs[n]})
  cell = lambda costs, n: f"{costs[n][what]:{form}}" if what in costs.get(n, {}) else ""
  rows = [[title(name), *[cell(found[name], n) for n in sizes]] for name in found]
  return page.table(["form", *[f"{n:,}" for n in sizes]], rows)


def title(form: str) -> str:
  """What a form is called in tables and in the picture."""
  if form == PEER:
    return "lightly `NTXentLoss` (PyTorch)"
  name = "`optax.losses.ntxent`" if form == "optax" else form
  return f"{name}, {BY_BATCH[form]} device{'s' * (BY_BATCH[form] > 1)}"


def device_table(pairs: int) -> str:
  """Memory over 1 to 8 devices."""
  rows = []
  for form in ("dense", "blocks", "ring", "ring, blocks"):
    costs = [cost(form, devices, pairs, timed=0) for devices in DEVICES]
    cells = [f"{c['mebibytes']:,.0f}" if c else "does not compile" for c in costs]
    rows.append([form, *cells])
  header = ["form", *[f"{n} device{'s' * (n > 1)}" for n in DEVICES]]
  return page.table(header, rows)


def draw(found: dict, path: pathlib.Path) -> None:
  """Draws memory and time against the batch, both axes logarithmic."""
  import matplotlib

  matplotlib.use("Agg")
  from matplotlib import pyplot

  figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
  kinds = (("mebibytes", "MiB a device"), ("seconds", "seconds (median)"))
  for axis, (what, label) in zip(axes, kinds, strict=True):
    for form, costs in found.items():
      points = [(n, c[what]) for n, c in costs.items() if c.get(what, 0) > 0]
      axis.plot(*zip(*points, strict=True), "o-", label=title(form).replace("`", ""))
    axis.set(xscale="log", yscale="log", xlabel="pairs", ylabel=label)
    axis.grid(alpha=0.3)
  axes[0].legend(fontsize=8)
  figure.savefig(path, dpi=110)


def parse() -> argparse.Namespace:
  """The options."""
  parser = page.parser(__doc__, "contrastive")
  parser.add_argument("--python", default=sys.executable, help="lightly's interpreter")
  parser.add_argument("--pairs", nargs="+", type=int, help="batches")
  parser.add_argument("--timed", type=int, help="the largest batch that is timed")
  options = parser.parse_args()
  small, large = [256, 1024], [4**k for k in range(5, 10)]
  options.pairs = options.pairs or (small if options.quick else large)
  options.timed = options.timed or (256 if options.quick else 65_536)
  return options


def main() -> None:
  """Measures, draws and writes the page."""
  options = parse()
  found, many = by_batch(options), 2048 if options.quick else 65_536
  picture = page.path_of(options).with_suffix(".png")
  draw(found, picture)
  page.write(
    options,
    f"NT-Xent and its gradient, pairs of {DIM} dims, float32; blocks of {BLOCK:,} "
    "columns. `blocks` takes one block after the other (gathered from all devices); "
    "`ring` passes each device's columns on to the next, as often in a pass as there "
    "are devices.",
    page.conditions(),
    f"![memory and time against the batch]({picture.name})",
    "## Memory against the batch\n\nMiB a device: temporaries, as XLA plans them for "
    "(forced) CPU devices, compiled and not run; lightly's is the growth of its "
    "process at the peak.",
    batch_table(found, "mebibytes", ",.1f"),
    f"## Time against the batch\n\nSeconds, medians of {RUNS} runs (above {MANY:,} "
    "pairs one run); all devices share this machine's cores. Not run are batches of "
    f"more than {options.timed:,} pairs and those that need more than {MOST:,} MiB.",
    batch_table(found, "seconds", ".4f"),
    f"## Memory against the devices\n\nMiB a device, {many:,} pairs, as planned.",
    device_table(many),
  )


if __name__ == "__main__":
  main()
