"""What the step takes on TPUs, from their compiler: no TPU is needed, nothing runs.

  pip install libtpu
  python benchmarks/compiled.py

SimCLR with ResNet-50 at 224 pixels, bfloat16, 128 images a chip on v5e:4x4: memory,
memory traffic, FLOPs and collectives of a chip, beside published figures and bounds;
then temporaries for each precision, rematerialisation and number of micro-batches, of
ResNet-50 and ViT-B/16. A compilation takes a minute or two on two cores. Given
`--topology ""` it compiles for one device of this machine. Writes
`benchmarks/results/compiled.md`.
"""

import argparse
import itertools
import time

import jax
import jax.numpy as jnp
import page
import setups
from jax.sharding import Mesh

from jaxssl import plan, presets, registry
from jaxssl.augment import random_flip, two_views
from jaxssl.data.sources import blank
from jaxssl.errors import InputError
from jaxssl.mesh import data_mesh
from jaxssl.registry import Experiment, Run

HEADER = ("", "temporaries GiB", "bytes", "FLOPs", "collectives")
MICRO = (1, 4)


def given_views(
  encoder: str, run: Run, options: argparse.Namespace, **contrast
) -> Experiment:
  """SimCLR on images that come as large as the views and are only flipped.

  Args:
    encoder: of `presets`.
    run: settings.
    options: of the command.
    **contrast: another loss.
  """
  find = presets.vit if encoder.startswith("vit") else presets.encoder
  net = find(encoder, run, size=options.size)
  views = two_views(random_flip)
  method = setups.simclr(net, views, temperature=0.1, **contrast)
  data = blank(f"1281167x{options.size}x{options.size}x3")
  return setups.experiment(f"{encoder}, given views", method, run, data, views)


def whole(run: Run, options: argparse.Namespace) -> Experiment:
  """The registered experiment: augmentation on the chip and LARS."""
  side = options.size * 8 // 7
  return registry.build(
    "simclr_imagenet",
    data=f"blank:1281167x{side}x{side}x3",
    size=options.size,
    encoder=options.encoder,
    batch=run.batch,
    precision=run.precision,
    remat=run.remat,
  )


def own_rows(z_a: jax.Array, z_b: jax.Array, **_) -> jax.Array:
  """A contrast in which rows don't meet: gradients and norms are all that is sent."""
  return -jnp.sum(z_a * z_b, axis=1)


def compiled(
  made: Experiment, mesh: Mesh, options: argparse.Namespace
) -> plan.Plan | None:
  """The plan of a step; None if it doesn't compile."""
  start, run = time.perf_counter(), made.run
  try:
    found = plan.plan(made, mesh, topology=options.topology)
  except InputError as error:
    print(f"{made.name}: {error}", flush=True)
    return None
  took = time.perf_counter() - start
  choice = f"{run.precision}, remat {run.remat}, accumulate {run.accumulate}"
  print(f"{choice}, compiled in {took:.0f} s: {plan.as_text(found)}\n", flush=True)
  return found


def line(title: str, found: plan.Plan | None) -> list[str]:
  """One line of the first table."""
  if found is None:
    return [title, "does not compile", "", "", ""]
  kinds = found.collectives.items()
  moved = ", ".join(f"{x['count']} {kind}" for kind, x in kinds) or "none"
  if not found.flops:  # the compiler refused it
    return [title, memory(found), "", "", ""]
  work = f"{found.bytes_accessed:.3g}", f"{found.flops:.3g}"
  return [title, memory(found), *work, moved]


def memory(found: plan.Plan | None) -> str:
  """Temporaries in GiB, and whether the chip has the room."""
  if found is None:
    return "does not compile"
  return f"{found.temporary_bytes / 2**30:.2f}" + ("" if found.fits else " (too large)")


def first_table(mesh: Mesh, options: argparse.Namespace) -> str:
  """The step with and without augmentation and contrast."""
  run = run_of(mesh, options, options.precision, options.remat)
  steps = (
    ("ours, given views", given_views(options.encoder, run, options)),
    ("ours, the registered experiment with its augmentation", whole(run, options)),
    (
      "ours, given views, rows don't meet (gradients and norms alone)",
      given_views(options.encoder, run, options, contrast=own_rows),
    ),
  )
  rows = [line(title, compiled(made, mesh, options)) for title, made in steps]
  return page.table(HEADER, rows)


def run_of(
  mesh: Mesh, options: argparse.Namespace, precision: str, remat: str, micro: int = 1
) -> Run:
  """The settings of a run."""
  return setups.run_of(
    options.images * mesh.size, precision=precision, remat=remat, accumulate=micro
  )


def choices(options: argparse.Namespace) -> list[tuple[str, str, int]]:
  """The choices that are compiled: micro-batches, which take long, not with all."""
  every = itertools.product(options.precisions, options.remats, options.accumulate)
  plain = (options.precisions[-1], options.remats[0])
  return [x for x in every if options.all or x[2] == 1 or x[:2] == plain]


def second_table(mesh: Mesh, options: argparse.Namespace) -> str:
  """Temporaries by precision, rematerialisation and micro-batches."""
  rows = []
  for precision, remat, micro in choices(options):
    run = run_of(mesh, options, precision, remat, micro)
    steps = [given_views(name, run, options) for name in options.encoders]
    cells = [memory(compiled(made, mesh, options)) for made in steps]
    rows.append([precision, remat, micro, *cells])
  header = ["precision", "remat", "accumulate", *options.encoders]
  return page.table(header, rows)


def parse() -> argparse.Namespace:
  """The options."""
  parser = page.parser(__doc__, "compiled")
  parser.add_argument("--topology", default="v5e:4x4", help='"": this machine')
  parser.add_argument("--images", type=int, help="a chip")
  parser.add_argument("--size", type=int, help="side of the views")
  parser.add_argument("--encoder", help="of the first table")
  parser.add_argument("--precision", default="bfloat16", help="of the first table")
  parser.add_argument("--remat", default="none", help="of the first table")
  parser.add_argument("--encoders", nargs="*", help="of the second table, or none")
  known = registry.CHOICES
  parser.add_argument("--precisions", nargs="+", default=known["precision"])
  parser.add_argument("--remats", nargs="+", default=known["remat"])
  parser.add_argument("--accumulate", nargs="+", type=int, default=MICRO)
  parser.add_argument("--all", action="store_true", help="micro-batches with all")
  options = parser.parse_args()
  quick = options.quick
  options.images = options.images or (4 if quick else 128)
  options.size = options.size or (32 if quick else 224)
  options.encoder = options.encoder or ("resnet18" if quick else "resnet50")
  if options.encoders is None:
    options.encoders = ["vit_mini"] if quick else ["resnet50", "vit_base"]
  return options


def main() -> None:
  """Compiles and writes the page."""
  options = parse()
  jax.config.update("jax_platforms", "cpu")
  devices = plan.devices_of(options.topology)
  mesh = data_mesh(devices if options.topology else devices[:1])
  place = options.topology or "this machine's processor"
  parts = [
    f"The step of SimCLR, {options.encoder} at {options.size} pixels, "
    f"{options.precision}, remat {options.remat}, {options.images} images a chip on "
    f"{place}; per chip, as the compiler plans it.",
    page.conditions(page.versions(["libtpu"])),
    first_table(mesh, options),
  ]
  if options.encoders:
    parts.append(
      f"GiB of temporaries a chip, {options.images} images a chip, given views; "
      "accumulate: micro-batches of a step."
    )
    parts.append(second_table(mesh, options))
  page.write(options, *parts)


if __name__ == "__main__":
  main()
