"""Every experiment on ImageNet, compiled for slices of TPUs that need not be here.

  pip install libtpu
  python benchmarks/plans.py                       v5e:4x4 and v5e:16x16, all of them
  python benchmarks/plans.py --topologies v5e:4x4 simclr_imagenet mae_imagenet
  python benchmarks/plans.py --fast                in a quarter of the time

Each is planned as it is registered for the slice (`jaxssl plan NAME --topology ...`).
A compilation takes minutes on a core; one JSON file a plan goes to `--runs` and is not
made twice, but for a full one in place of a fast one. The tables go to
`benchmarks/results/plans.md`.
"""

import argparse
import functools
import json
import pathlib
import time

import jax
import page

from jaxssl import plan, registry
from jaxssl.mesh import make_mesh

TOPOLOGIES = ("v5e:4x4", "v5e:16x16")
HEADER = (
  *("experiment", "batch", "mesh", "parts", "precision", "remat", "arguments GiB"),
  *("temporaries GiB", "fits", "TFLOPs", "GB", "step at the roofline, ms"),
  *("compiled", "s"),
)
BOTH = (
  *("experiment", "topology", "temporaries GiB, fully", "fast", "GB, fully", "fast"),
  *("s, fully", "fast"),
)
QUICK = {"batch": 8, "size": 32, "encoder": "convnet", "projection": 8}


def measure(name: str, topology: str, options: argparse.Namespace) -> dict:
  """The plan of one experiment, made once; a full one is taken where there is one."""
  full, fast = (path_of(name, topology, options, fast=x) for x in (False, True))
  known = full if full.exists() or not options.fast else fast
  if known.exists():
    return json.loads(known.read_text())
  start = time.perf_counter()
  devices = devices_of(topology)
  entry = registry.find(name)
  settings, axes = registry.on_slice(entry, topology)
  settings = plan.without_data(entry, settings) | (QUICK if options.quick else {})
  experiment = registry.build(name, **settings)
  mesh = make_mesh(axes, devices)
  found = plan.plan(experiment, mesh, topology=topology, fast=options.fast)
  seconds = time.perf_counter() - start
  print(f"{plan.as_text(found)}\n{seconds:.0f} s\n", flush=True)
  made = {**found._asdict(), "fast": options.fast, "seconds": seconds}
  known.write_text(json.dumps(made))
  return made


def path_of(
  name: str, topology: str, options: argparse.Namespace, *, fast: bool
) -> pathlib.Path:
  """The file of a plan."""
  end = "_fast" if fast else ""
  return options.runs / f"{name}_{topology.replace(':', '_')}{end}.json"


@functools.cache
def devices_of(topology: str) -> list:
  """The devices of a slice, described once a process."""
  return plan.devices_of(topology)


def row(found: dict) -> list[str]:
  """One line of the table."""
  gib = lambda name: f"{found[name] / 2**30:.2f}"
  step = found["step_seconds"]
  axes = ",".join(f"{name}={size}" for name, size in found["mesh"].items())
  return [
    *(f"`{found['experiment']}`", f"{found['batch']:,}", axes, found["accumulate"]),
    *(found["precision"], found["remat"], gib("argument_bytes")),
    *(gib("temporary_bytes"), "yes" if found["fits"] else "**no**"),
    *(f"{found['flops'] / 1e12:.2f}", f"{found['bytes_accessed'] / 1e9:.1f}"),
    f"{1e3 * step:.0f}" if step else "",
    *("fast" if found.get("fast") else "fully", f"{found.get('seconds', 0):.0f}"),
  ]


def compared(options: argparse.Namespace) -> list[list[str]]:
  """Rows of what was compiled both ways: memory, traffic and time, fully and fast."""
  rows = []
  for topology in options.topologies:
    for name in options.names:
      paths = [path_of(name, topology, options, fast=x) for x in (False, True)]
      if all(path.exists() for path in paths):
        both = [json.loads(path.read_text()) for path in paths]
        cells = [f"{x['temporary_bytes'] / 2**30:.2f}" for x in both]
        cells += [f"{x['bytes_accessed'] / 1e9:.0f}" for x in both]
        cells += [f"{x['seconds']:.0f}" for x in both]
        rows.append([f"`{name}`", topology, *cells])
  return rows


def parse() -> argparse.Namespace:
  """The options."""
  parser = page.parser(__doc__, "plans")
  known = [name for name in registry.names() if name.endswith("_imagenet")]
  parser.add_argument("names", nargs="*", default=known)
  parser.add_argument("--topologies", nargs="+", default=TOPOLOGIES)
  parser.add_argument("--fast", action="store_true", help="as `jaxssl plan --fast`")
  parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/plans"))
  options = parser.parse_args()
  if options.quick:
    options.runs, options.names = page.QUICK / "plans", ["simclr_imagenet"]
    options.topologies = [""]  # this machine
  options.runs.mkdir(parents=True, exist_ok=True)
  return options


def main() -> None:
  """Compiles and writes the page."""
  options = parse()
  jax.config.update("jax_platforms", "cpu")
  parts = []
  for topology in options.topologies:
    rows = [row(measure(name, topology, options)) for name in options.names]
    parts += [f"## {topology or 'this machine'}", page.table(HEADER, rows)]
  if both := compared(options):
    parts += ["## Compiled fully and fast", page.table(BOTH, both)]
  page.write(
    options,
    "Experiments on ImageNet as they are registered for slices of TPUs; memory, "
    "arithmetic and traffic of one chip and step, as the compiler plans them. Parts: "
    "micro-batches of a step. Compiled: fully, or fast, as by `jaxssl plan --fast`; "
    "the seconds are of this machine, beside other work.",
    *parts,
    page.conditions(page.versions(["libtpu"])),
  )


if __name__ == "__main__":
  main()
