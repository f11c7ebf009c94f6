"""Temporary memory of NT-Xent and its gradient, per device, as the compiler plans it.

    python benchmarks/contrastive_memory.py

65,536 pairs of 128 dims over 1 to 8 forced CPU devices: compiled, never run, so that
no machine has to hold them. Writes benchmarks/results/contrastive_memory.md, or what
`--out` says.
"""

import argparse
import os
import pathlib
import re
import time

os.environ["XLA_FLAGS"] = (
  os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp

from jaxssl import losses
from jaxssl.losses.ring import ring_nt_xent
from jaxssl.mesh import data_mesh, rows_sharded

OUT = pathlib.Path(__file__).parent / "results" / "contrastive_memory.md"
DEVICES, DIM, BLOCK = (1, 2, 4, 8), 128, 1024

FORMS = {
  "dense": lambda mesh: {},
  "blocks": lambda mesh: {"block_size": BLOCK},
  "ring": lambda mesh: {"mesh": mesh},
  "ring, blocks": lambda mesh: {"mesh": mesh, "block_size": BLOCK},
}


def compiled_gradient(name, mesh, pairs):
  """The compiled loss and gradient by both views, rows split over the mesh."""
  rows = rows_sharded(mesh)
  loss = ring_nt_xent if name.startswith("ring") else losses.nt_xent
  options = FORMS[name](mesh)

  def mean(z_a, z_b):
    return jnp.mean(loss(z_a, z_b, temperature=0.1, **options))

  view = jax.ShapeDtypeStruct((pairs, DIM), jnp.float32, sharding=rows)
  step = jax.jit(jax.value_and_grad(mean, (0, 1)), out_shardings=(None, (rows, rows)))
  return step.lower(view, view).compile()


def measure(name, devices, pairs):
  """MiB of temporaries of a device; prints which collectives the program has."""
  start = time.perf_counter()
  compiled = compiled_gradient(name, data_mesh(jax.devices()[:devices]), pairs)
  mebibytes = compiled.memory_analysis().temp_size_in_bytes / 2**20
  seconds = time.perf_counter() - start
  found = set(re.findall(r" (all-[a-z-]+|collective-permute)", compiled.as_text()))
  print(f"{name}, {devices}: {mebibytes:,.0f} MiB, {seconds:.1f} s", *sorted(found))
  return mebibytes


def cell(name, devices, pairs):
  try:
    return f"{measure(name, devices, pairs):,.0f}"
  except jax.errors.JaxRuntimeError as error:
    print(f"{name}, {devices}: {error}")
    return "does not compile"


def table(pairs):
  """The results as Markdown."""
  lines = [
    f"MiB of temporaries per device: NT-Xent and its gradient of {pairs:,} pairs of "
    f"{DIM} dims, float32; blocks of {BLOCK:,} columns; as XLA plans them for forced "
    f"CPU devices, compiled and not run; jax {jax.__version__}. `blocks` gathers one "
    "block after the other from all devices; `ring` passes each device's columns on to "
    "the next, as often in a pass as there are devices.",
    "",
    "| form | " + " | ".join(f"{n} device{'s' * (n > 1)}" for n in DEVICES) + " |",
    "|---|" + "---:|" * len(DEVICES),
  ]
  for name in FORMS:
    cells = " | ".join(cell(name, devices, pairs) for devices in DEVICES)
    lines.append(f"| {name} | {cells} |")
  return "\n".join(lines) + "\n"


def main():
  parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
  parser.add_argument("--pairs", type=int, default=65_536)
  parser.add_argument("--out", type=pathlib.Path, default=OUT)
  options = parser.parse_args()
  text = table(options.pairs)
  print(f"\n{text}", end="")
  options.out.write_text(text)


if __name__ == "__main__":
  main()
