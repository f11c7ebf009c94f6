"""What a run will take on chips that may not be here, read from the compiler.

The very step of the run is compiled ahead of time, for a slice of TPUs that is only
described or for the devices that are there. Nothing runs. Left out are the measures of
the features, which few steps take: of 256 examples and two views of each.
"""

import math
import os
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxssl import feeds, hlo, runs, seeds
from jaxssl.data.sampler import steps_per_epoch
from jaxssl.errors import InputError, nearest
from jaxssl.mesh import check_rows, rows_sharded
from jaxssl.registry import Entry, Experiment, is_of_the_package, names

GIB = 2**30
BLANK = {
  "tfds:imagenet2012": "1281167x256x256x3",
  "tfds:cifar10": "50000x32x32x3",
  "tfds:fashion_mnist": "60000x28x28x1",
  "tfds:imagenette/160px-v2": "9469x160x160x3",
}
FROZEN = {"teacher": "moco_v2", "tokenizer": "dvae"}


class Chip(NamedTuple):
  """Published figures of one chip, which JAX counts as one device.

  Attributes:
    flops: bfloat16 multiply-adds times two, a second.
    bandwidth: bytes a second between memory and chip.
    memory: bytes.
  """

  flops: float
  bandwidth: float
  memory: float


CHIPS = {
  "v4": Chip(275e12, 1228e9, 32 * GIB),
  "v5e": Chip(197e12, 819e9, 16 * GIB),
  "v5p": Chip(459e12, 2765e9, 95 * GIB),
  "v6e": Chip(918e12, 1640e9, 32 * GIB),
}
LARGEST = {  # slices; of v4 and v5p any shape of no more chips
  "v4": "16x16x16",
  "v5e": "16x16",
  "v5p": "16x20x28",
  "v6e": "16x16",
}
TPUS = {  # what JAX calls them
  "TPU v4": "v4",
  "TPU v5 lite": "v5e",
  "TPU v5e": "v5e",
  "TPU v5": "v5p",
  "TPU v5p": "v5p",
  "TPU v6 lite": "v6e",
  "TPU v6e": "v6e",
}
KNOWN = (
  f"Known are {', '.join(CHIPS)} with a shape: v5e:4x4, v6e:2x4, v4:2x2x4, v5p:4x4x4; "
  f"at most {', '.join(f'{chip}:{shape}' for chip, shape in LARGEST.items())}."
)
GPUS = {
  "A100": Chip(312e12, 2039e9, 80 * GIB),
  "H100": Chip(989e12, 3350e9, 80 * GIB),
  "H200": Chip(989e12, 4800e9, 141e9),
}
COSTS = ("batch", "accumulate", "precision", "remat")  # settings that a plan repeats
MEMORY = ("argument_bytes", "temporary_bytes", "output_bytes")
TIMES = ("compute", "memory", "step", "epoch", "run")


class DoesNotCompile(InputError):
  """The compiler refuses the step, for another reason than memory."""


class Plan(NamedTuple):
  """What one step takes; bytes and FLOPs are per chip.

  Attributes:
    experiment: name.
    topology: what it was compiled for.
    mesh: axes and sizes.
    batch: rows of a step, over all chips.
    accumulate: micro-batches of a step.
    precision: compute type of the encoder.
    remat: what the encoder computes twice.
    fits: whether the compiler could place it in the chip's memory; None if that isn't
      known.
    exceeds_bytes: by how much it doesn't fit; 0 where it does.
    argument_bytes: the state, the batch, and the data set where the run keeps it on
      every device; black images count as data that the host reads.
    temporary_bytes: activations and other intermediate arrays.
    output_bytes: what the step returns beside the state that it overwrites.
    memory_bytes: of a chip; None if not known.
    flops: arithmetic of a step.
    bytes_accessed: traffic between memory and chip in a step.
    compute_seconds: `flops` at the chip's peak; None for an unknown chip.
    memory_seconds: `bytes_accessed` at its bandwidth.
    step_seconds: the larger of the two: no step is faster.
    epoch_seconds: of an epoch at that rate.
    run_seconds: of the whole run at that rate.
    collectives: kind -> {"count": int, "bytes": int}.

  Where the compiler refuses, what it didn't give is 0, and the times are None.
  """

  experiment: str
  topology: str
  mesh: dict[str, int]
  batch: int
  accumulate: int
  precision: str
  remat: str
  fits: bool | None
  exceeds_bytes: int
  argument_bytes: int
  temporary_bytes: int
  output_bytes: int
  memory_bytes: float | None
  flops: float
  bytes_accessed: float
  compute_seconds: float | None
  memory_seconds: float | None
  step_seconds: float | None
  epoch_seconds: float | None
  run_seconds: float | None
  collectives: dict[str, dict[str, int]]


def devices_of(topology: str) -> Sequence[Any]:
  """Returns the devices that a topology names.

  Args:
    topology: "v5e:4x4", a slice of TPUs that need not be here; or "" for the devices
      of this machine.

  Returns:
    The devices, or descriptions of them to compile for.

  Raises:
    InputError: if it isn't known, or libtpu is missing.
  """
  if not topology:
    return jax.devices()
  kind, _, shape = topology.partition(":")
  if kind not in CHIPS or not _exists(shape, LARGEST[kind]):
    near = "" if kind in CHIPS else nearest(kind, CHIPS)
    raise InputError(f"There is no topology '{topology}'.{near} {KNOWN}")
  os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # there is no TPU to ask
  os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # nor one to share
  from jax.experimental import topologies

  cores = {"chip_config_name": "megacore"} if kind == "v4" else {}  # two are a device
  try:
    return topologies.get_topology_desc(topology, platform="tpu", **cores).devices
  except Exception as error:
    raise InputError(_no_topology(topology, error)) from error


def _exists(shape, largest):
  """Whether there is such a slice; asked for another, libtpu may end the process."""
  if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", shape):
    return False
  sides, most = ([int(side) for side in x.split("x")] for x in (shape, largest))
  if len(sides) != len(most):
    return False
  if len(most) == 3:  # cubes of chips, which switches join in any shape
    return math.prod(sides) <= math.prod(most)
  return max(sides) <= max(most)


def _no_topology(topology, error):
  try:
    import libtpu  # noqa: F401
  except ImportError:
    return (
      "Plans for TPUs need their compiler (Linux, x86-64): pip install libtpu, or "
      "jaxssl's extra [tpu]."
    )
  first = str(error).strip().splitlines()[:1]
  return f"The compiler knows no slice {topology}: {' '.join(first)} {KNOWN}"


def chip_of(device: Any, topology: str) -> Chip | None:
  """Returns the figures of a device; None if they aren't known."""
  if topology:
    return CHIPS[topology.partition(":")[0]]
  kind = getattr(device, "device_kind", "")
  if kind in TPUS:
    return CHIPS[TPUS[kind]]
  words = kind.replace("-", " ").split()
  return next((chip for name, chip in GPUS.items() if name in words), None)


def memory_of(mesh: Mesh, topology: str) -> float | None:
  """Returns the bytes that a step may take on a device of a mesh; None if not known.

  Of devices that are here, what JAX may allocate (three quarters of a GPU, unless told
  otherwise); of a processor its share of this machine's memory.
  """
  device = mesh.devices.flat[0]
  if topology:
    return chip_of(device, topology).memory
  if device.platform == "cpu":
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return whole / len(jax.local_devices())
  return (device.memory_stats() or {}).get("bytes_limit")


def without_data(entry: Entry, settings: dict[str, Any]) -> dict[str, Any]:
  """Returns settings with blanks for what may be missing here and need not be read.

  Blank images stand for downloads, an encoder of zeros for the run of a teacher or a
  tokenizer that isn't named: what a step takes depends on neither.

  Args:
    entry: of the experiment.
    settings: all of its settings.
  """
  made, (_, _, images) = dict(settings), entry.function.__name__.rpartition("_")
  if shape := BLANK.get(str(settings.get("data", ""))):
    made["data"] = f"blank:{shape}"
  for setting, method in FROZEN.items() if is_of_the_package(entry) else ():
    if settings.get(setting) == "" and f"{method}_{images}" in names():
      made[setting] = f"blank:{method}_{images}"
  return made


def plan(
  experiment: Experiment, mesh: Mesh, *, topology: str = "", fast: bool = False
) -> Plan:
  """Compiles the run's step for a mesh and reads what it takes.

  Args:
    experiment: from `registry.build`.
    mesh: of the devices of `devices_of`.
    topology: what these were named by.
    fast: whether the compiler for TPUs tries less: in a fraction of the time, with
      memory within a tenth or so and less traffic (see `benchmarks/plans.py`).

  Returns:
    The plan; where the compiler refuses for lack of memory, `fits` is False.

  Raises:
    InputError: if the batch doesn't divide over the mesh, or `--seeds` doesn't work.
  """
  check_rows(experiment.run.batch, mesh, parts=experiment.run.accumulate)
  seeds.check(experiment, mesh)
  lowered = lower(experiment, mesh)
  try:
    compiled = _compile(lowered, effort=-1.0 if fast else 0.0)
  except jax.errors.JaxRuntimeError as error:
    return _refused(experiment, mesh, topology, str(error))
  memory = _memory(compiled)
  memory["argument_bytes"] += feeds.resident_bytes(experiment)
  found = hlo.work(compiled)._asdict()
  return _plan(experiment, mesh, topology, {**memory, **found})


def _compile(lowered, *, effort=0.0):
  """Compiles; a program for a slice that isn't here is kept, but can't be read back."""
  usual = jax.config.jax_exec_time_optimization_effort
  jax.config.update("jax_exec_time_optimization_effort", effort or usual)
  try:
    with warnings.catch_warnings():
      unread = "Error reading persistent compilation cache entry"
      warnings.filterwarnings("ignore", message=unread)
      return lowered.compile()
  finally:
    jax.config.update("jax_exec_time_optimization_effort", usual)


def lower(
  experiment: Experiment, mesh: Mesh, *, unroll: bool | None = None
) -> jax.stages.Lowered:
  """Returns the run's step, lowered for a mesh with shapes alone.

  Args:
    experiment: the experiment.
    mesh: what it is for.
    unroll: whether micro-batches are one after the other and no loop; None: where the
      mesh is of CPUs.
  """
  unroll = _on_cpu(mesh) if unroll is None else unroll
  state, rows = runs.state_shapes(experiment, mesh), rows_sharded(mesh)
  whole = lambda x: jax.ShapeDtypeStruct(
    (experiment.run.batch, *np.shape(x)[1:]), x.dtype, sharding=rows
  )
  batch = jax.tree.map(whole, runs.example_batch(experiment, 1))
  step = feeds.host_step(experiment, mesh, measures=False, unroll=unroll)
  return step.lower(state, batch)


def _on_cpu(mesh):
  return mesh.devices.flat[0].platform == "cpu"


def _memory(compiled):
  memory = compiled.memory_analysis()
  output = memory.output_size_in_bytes - memory.alias_size_in_bytes
  return {
    "argument_bytes": memory.argument_size_in_bytes,
    "temporary_bytes": memory.temp_size_in_bytes,
    "output_bytes": max(output, 0),
  }


def _plan(experiment, mesh, topology, found):
  needed = sum(found[name] for name in MEMORY)
  memory = memory_of(mesh, topology)
  exceeds = int(max(0, needed - memory)) if memory else 0
  return Plan(
    experiment=experiment.name,
    topology=topology or _here(mesh),
    mesh=dict(mesh.shape),
    **{n: getattr(experiment.run, n) for n in COSTS},
    fits=not exceeds if memory else None,
    exceeds_bytes=exceeds,
    memory_bytes=memory,
    **_roofline(experiment, chip_of(mesh.devices.flat[0], topology), found),
    **found,
  )


def _here(mesh):
  return f"{mesh.size} x {mesh.devices.flat[0].device_kind}"


def _roofline(experiment, chip, found):
  if chip is None:
    return {f"{name}_seconds": None for name in TIMES}
  compute = found["flops"] / chip.flops
  memory = found["bytes_accessed"] / chip.bandwidth
  step, run = max(compute, memory), experiment.run
  epoch = steps_per_epoch(examples=len(experiment.data.train), batch=run.batch)
  values = (compute, memory, step, step * epoch, step * run.steps)
  return {f"{n}_seconds": x for n, x in zip(TIMES, values, strict=True)}


REFUSED = ("RESOURCE_EXHAUSTED", "Ran out of memory", "out of memory")
SIZES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def _refused(experiment, mesh, topology, message):
  """The plan of a step that the compiler can't place; raises for other errors."""
  if not any(word in message for word in REFUSED):
    raise DoesNotCompile(f"The step does not compile: {message.splitlines()[0]}")
  empty = {**dict.fromkeys(MEMORY, 0), "flops": 0.0, "bytes_accessed": 0.0}
  made = _plan(experiment, mesh, topology, {**empty, "collectives": {}})
  used = _size_in(r"(?:Used |temporaries \()SIZE", message)
  room = _size_in(r"(?: of |available HBM \()SIZE", message) or made.memory_bytes
  over = _size_in(r"Exceeded hbm capacity by SIZE", message)
  if over is None and used and room:
    over = used - room
  return made._replace(
    fits=False,
    exceeds_bytes=int(max(over or 1, 1)) + feeds.resident_bytes(experiment),
    temporary_bytes=int(used or 0),
    **{f"{name}_seconds": None for name in TIMES},
  )


def _size_in(pattern, message):
  found = re.search(pattern.replace("SIZE", r"([0-9.]+)([KMGT]?)\b"), message)
  return None if found is None else float(found[1]) * SIZES[found[2]]


def batches(experiment: Experiment, mesh: Mesh, *, most: int) -> list[int]:
  """Returns the batches that a run could have on a mesh, ascending.

  They split evenly over devices and micro-batches, and divide the method's queues (see
  `ops.queues.enqueue`); none is larger than the data.

  Args:
    experiment: the experiment, with any batch.
    mesh: of the devices.
    most: the largest batch asked for.

  Raises:
    InputError: if `most` is less than an example for each device and micro-batch.
  """
  unit = mesh.size * experiment.run.accumulate
  if most < unit:
    raise InputError(
      f"The largest batch is looked for from {unit} on, an example for each of "
      f"{mesh.size} devices in {experiment.run.accumulate} micro-batches; {most} is "
      "less."
    )
  extra = runs.state_shapes(experiment, mesh).extra
  queues = [
    x.shape[-2]
    for path, x in jax.tree_util.tree_leaves_with_path(extra)
    if jax.tree_util.keystr(path, simple=True, separator="/").endswith("queue")
  ]
  known = range(unit, min(most, len(experiment.data.train)) + 1, unit)
  return [rows for rows in known if not any(size % rows for size in queues)]


def largest_batch(
  make: Callable[[int], Plan], batches: Sequence[int]
) -> tuple[int, Plan | None]:
  """Finds the largest batch that fits, by bisection.

  Args:
    make: batch -> plan. A batch that it refuses by an `InputError` is left out: there
      are rules of methods that only their step knows.
    batches: those that may be tried, ascending.

  Returns:
    The batch and its plan; 0 and None if none fits.
  """
  left, found = list(batches), (0, None)
  while left:
    middle = len(left) // 2
    try:
      tried = make(left[middle])
    except DoesNotCompile:
      raise
    except InputError:
      del left[middle]
      continue
    if tried.fits:
      found, left = (left[middle], tried), left[middle + 1 :]
    else:
      left = left[:middle]
  return found


def as_text(plan: Plan) -> str:
  """The plan as a few lines for people."""
  axes = ", ".join(f"{name}={size}" for name, size in plan.mesh.items())
  chips = int(np.prod(list(plan.mesh.values())))
  rows = plan.batch // chips
  parts = f" in {plan.accumulate} parts" if plan.accumulate > 1 else ""
  lines = [
    f"{plan.experiment} on {plan.topology} ({axes}): batch {plan.batch:,}, "
    f"{rows:,} a chip{parts}, {plan.precision}, remat {plan.remat}",
    _verdict(plan),
  ]
  if not plan.flops:  # the compiler refused it
    return "\n".join(lines)
  lines += [
    f"memory a chip: {_size(plan.argument_bytes)} arguments, "
    f"{_size(plan.temporary_bytes)} temporaries, {_size(plan.output_bytes)} output",
    f"work a chip: {plan.flops:.3g} FLOPs, {plan.bytes_accessed:.3g} bytes a step; "
    f"{plan.flops / rows:.3g} and {plan.bytes_accessed / rows:.3g} an example",
  ]
  moved = [
    f"{found['count']} {kind} of {_size(found['bytes'])}"
    for kind, found in plan.collectives.items()
  ]
  lines.append(f"collectives a step: {', '.join(moved) or 'none'}")
  return "\n".join([*lines, *_times(plan)])


def _verdict(plan):
  if plan.fits is None:
    return "memory of this device: not known"
  if not plan.fits:
    return f"does NOT fit: {_size(plan.exceeds_bytes)} too many"
  used = plan.argument_bytes + plan.temporary_bytes + plan.output_bytes
  return f"fits: {_size(used)} of {_size(plan.memory_bytes)}"


def _times(plan):
  if plan.step_seconds is None or plan.fits is False:
    return []
  bound = "memory" if plan.memory_seconds >= plan.compute_seconds else "arithmetic"
  return [
    f"at the roofline: {1e3 * plan.compute_seconds:.1f} ms of arithmetic, "
    f"{1e3 * plan.memory_seconds:.1f} ms of memory traffic a step (bound by {bound})",
    f"an epoch {_duration(plan.epoch_seconds)}, the run "
    f"{_duration(plan.run_seconds)}: no run is faster than this",
  ]


def _size(count):
  for unit in ("bytes", "KiB", "MiB"):
    if abs(count) < 1024:
      return f"{count:.4g} {unit}"
    count /= 1024
  return f"{count:.1f} GiB"


def _duration(seconds):
  for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
    if seconds >= 2 * size:
      return f"{seconds / size:.1f} {unit}"
  return f"{seconds:.1f} s"
