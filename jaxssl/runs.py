"""A run's folder: made, opened again, restored, read from other programs."""

import dataclasses
import functools
import json
import math
import pathlib
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxssl import core, processes, registry, seeds
from jaxssl.checkpoint import Checkpoints, Restored
from jaxssl.data import DataSet, Source, kept
from jaxssl.data.kinds import IMAGES
from jaxssl.errors import InputError
from jaxssl.log import write_json
from jaxssl.mesh import (
  data_mesh,
  describe_mesh,
  make_mesh,
  parse_mesh,
  put,
  replicated,
  rows_sharded,
  state_shardings,
)
from jaxssl.registry import Experiment

PyTree = Any
REMOTE = re.compile(r"\w{2,}:")  # gs://x as a path is gs:/x; C: is a drive


def create(
  experiment: Experiment, out: str | pathlib.Path | None, mesh: Mesh | None = None
) -> pathlib.Path:
  """Makes the folder of a new run and writes its `config.json`.

  Args:
    experiment: what will run.
    out: the folder; None takes `runs/NAME/N` with the next free N.
    mesh: where it will run, for `mesh_of`.

  Returns:
    The folder.

  Raises:
    InputError: if the folder holds another run, or cannot be made.
  """
  out = _next_free(experiment.name) if out is None else pathlib.Path(out)
  out = pathlib.Path(processes.agreed(str(out)))
  if error := processes.agreed(
    _made(experiment, out, mesh) if processes.first() else ""
  ):
    raise InputError(error)
  return out


def _made(experiment, out, mesh):
  """Makes a run's folder; returns why it cannot, or ""."""
  if (out / "config.json").exists():
    return (
      f"{out} holds a run already. Go on with it by `jaxssl train --resume {out}`, or "
      "choose another --out."
    )
  if REMOTE.fullmatch("".join(out.parts[:1])):
    return (
      f"{out} is no folder of this machine: --out takes a local or a mounted one "
      "(gcsfuse and s3fs mount buckets)."
    )
  config = {"experiment": experiment.source, "settings": experiment.settings}
  if mesh is not None:
    config["mesh"] = describe_mesh(mesh)
  try:
    out.mkdir(parents=True, exist_ok=True)
    for name, text in _kept_files(experiment).items():
      (out / name).write_text(text, encoding="utf-8")
    write_json(out / "config.json", config)
  except OSError as error:
    return f"The folder {out} cannot be made: {error}."
  return ""


def _kept_files(experiment):
  """What a run keeps of its data: name -> text."""
  data = experiment.data
  spec = str(experiment.settings.get("data", data.name))
  return {**data.files, kept.FILE: kept.form_of(data, spec)}


def _next_free(name):
  folder = pathlib.Path("runs") / name
  taken = [int(p.name) for p in folder.glob("*") if p.name.isdigit()]
  return folder / str(max(taken, default=0) + 1)


def read_config(out: str | pathlib.Path) -> dict[str, Any]:
  """Returns `{"experiment": ..., "settings": ...}` of a run's folder.

  A run from before some setting of `Run` existed has its default.
  """
  path = pathlib.Path(out) / "config.json"
  if not path.is_file():
    raise InputError(f"{out} is not a run: there is no {path}.")
  config = json.loads(path.read_text())
  settings = config["settings"].items()
  found = {n: tuple(v) if isinstance(v, list) else v for n, v in settings}
  shared = [f.name for f in dataclasses.fields(registry.Run)]
  new = {n: getattr(registry.Run, n) for n in shared if n not in found}
  return {**config, "settings": found | new}


def mesh_of(out: str | pathlib.Path) -> Mesh:
  """Returns the mesh that a run began with; all devices on "data" if it doesn't fit."""
  spec = read_config(out).get("mesh", "")
  fits = spec and math.prod(parse_mesh(spec).values()) == jax.device_count()
  return make_mesh(spec if fits else "")


def reopen(out: str | pathlib.Path, **asked: Any) -> Experiment:
  """Builds the experiment of a run's folder.

  Args:
    out: the run's folder.
    **asked: settings that the caller believes the run has.

  Returns:
    The experiment.

  Raises:
    InputError: if `out` is no run, a setting differs (the difference is shown), or its
      data are not those that the run began with.
  """
  config = read_config(out)
  had = config["settings"]
  changed = {n: v for n, v in asked.items() if n not in had or had[n] != v}
  if changed:
    lines = [f"  {n}: {had.get(n)} in the run, {v} asked" for n, v in changed.items()]
    raise InputError(
      f"The settings of {out} cannot change when it goes on:\n" + "\n".join(lines)
    )
  experiment = registry.build_exactly(config["experiment"], had)
  _check_data(pathlib.Path(out), experiment)
  return experiment


def _check_data(out, experiment):
  """Raises InputError where the data give other columns, tokens... than the run has."""
  for name, text in _kept_files(experiment).items():
    path = out / name
    had = path.read_text(encoding="utf-8") if path.is_file() else text
    if not kept.same_text(had, text):
      other = "number or form of examples" if name == kept.FILE else name
      raise InputError(
        f"The data of {out} have changed since it began: {experiment.data.name} gives "
        f"another {other}. Bring them back as they were; `jaxssl embed` and "
        "jaxssl.load do without them."
      )


def reopen_encoder(out: str | pathlib.Path) -> Experiment:
  """Builds the experiment of a run's folder without its data, for its encoder.

  Where the data would be are blank examples of their form, and what the run keeps of
  them: tokenizer, columns, moments. An experiment of a file of your own, one without a
  setting `data` and a run from before `data.json` was kept open their data.

  Args:
    out: the run's folder.

  Returns:
    The experiment.

  Raises:
    InputError: if `out` is no run.
  """
  out, config = pathlib.Path(out), read_config(out)
  name, settings = config["experiment"], config["settings"]
  if not (name.isidentifier() and "data" in settings and (out / kept.FILE).is_file()):
    return registry.build_exactly(name, settings)
  blank = {**settings, "data": f"{kept.PREFIX}{out}"}
  return registry.build_exactly(name, blank)._replace(settings=settings)


def example_batch(experiment: Experiment, rows: int) -> dict[str, Any]:
  """Returns the first `rows` training examples as a batch."""
  index = np.arange(rows, dtype=np.int32)
  return {**experiment.data.train[index], "index": index}


def example_shape(source: Source) -> PyTree:
  """Returns the shape of one example of a source, or a pytree of shapes."""
  example = source[np.zeros(1, np.int32)]["input"]
  return jax.tree.map(lambda x: x.shape[1:], example)


def make_init(experiment: Experiment, mesh: Mesh) -> Callable[[], core.TrainState]:
  """Returns a jitted function that makes the run's first state on a mesh."""
  return jax.jit(first_state(experiment), out_shardings=placement(experiment, mesh))


def placement(experiment: Experiment, mesh: Mesh) -> PyTree:
  """Returns the shardings of a run's state: one for all, or a pytree of them.

  Raises:
    InputError: if a pattern of the experiment fits nothing.
  """
  if "fsdp" not in mesh.shape:
    return replicated(mesh)
  shapes = jax.eval_shape(first_state(experiment))
  return state_shardings(mesh, shapes, patterns=experiment.split)


def train_step(experiment: Experiment, *, unroll: bool | None = None) -> core.Step:
  """Returns the run's step, whole or in micro-batches; of all seeds, if several.

  Args:
    experiment: the experiment.
    unroll: whether micro-batches are no loop; None: where the default device is a CPU.
  """
  method, tx, run = experiment.method, experiment.tx, experiment.run
  step = functools.partial(core.train_step, method, tx)
  if run.accumulate > 1:
    step = functools.partial(
      core.accumulated_step, method, tx, run.accumulate, unroll=unroll
    )
  return step if run.seeds == 1 else jax.vmap(step, in_axes=(0, None))


def first_state(experiment: Experiment) -> Callable[[], core.TrainState]:
  """Returns a function that makes the run's first state."""
  batch = example_batch(experiment, min(2, experiment.run.batch))
  return lambda: init_state(experiment, jax.tree.map(jnp.zeros_like, batch))


def init_state(experiment: Experiment, batch: PyTree) -> core.TrainState:
  """Returns the state before the first step, of several seeds [seeds, ...].

  Args:
    experiment: the experiment.
    batch: gives shapes only.
  """
  method, tx = experiment.method, experiment.tx
  keys = [jax.random.key(seed) for seed in seeds.of(experiment.run)]
  if len(keys) == 1:
    return core.init_state(method, tx, keys[0], batch)
  return core.init_runs(method, tx, jnp.stack(keys), batch)


def restore_from(
  checkpoints: Checkpoints, experiment: Experiment, mesh: Mesh
) -> Restored:
  """Restores the newest valid checkpoint of a run onto a mesh."""
  return checkpoints.restore(state_shapes(experiment, mesh))


def state_shapes(experiment: Experiment, mesh: Mesh) -> core.TrainState:
  """Returns shapes, dtypes and shardings of a run's state on a mesh."""
  shapes, placed = jax.eval_shape(first_state(experiment)), placement(experiment, mesh)
  if isinstance(placed, jax.sharding.Sharding):
    placed = jax.tree.map(lambda _: placed, shapes)
  place = lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s)
  return jax.tree.map(place, shapes, placed)


def restore(out: str | pathlib.Path, experiment: Experiment, mesh: Mesh) -> Restored:
  """Restores the newest valid checkpoint of the run in the folder `out`."""
  with Checkpoints(pathlib.Path(out) / "checkpoints") as checkpoints:
    return restore_from(checkpoints, experiment, mesh)


def restore_variables(
  out: str | pathlib.Path, experiment: Experiment, mesh: Mesh, seed: int | None = None
) -> PyTree:
  """Restores what `encode` needs; of several seeds that of one, by default the first.

  Raises:
    InputError: if the run has no such seed.
  """
  number = seeds.number(experiment.run, seed)
  state = restore(out, experiment, mesh).state
  return seeds.pick(experiment.run, variables_of(state), number)


def make_encode(experiment: Experiment, mesh: Mesh) -> Callable:
  """Returns jitted `encode(variables, inputs, patches=False)` -> features.

  `variables` is `{"params": ..., "extra": ...}` of a state, `inputs` [batch, ...] in
  the training examples' form (images: uint8, or floats in [0, 1]). Inside another
  jitted function it runs where that one does.
  """
  method = experiment.method

  def encode(variables, inputs, patches=False):
    params, extra = variables["params"], variables["extra"]
    return method.encode(params, extra, {"input": inputs}, patches=patches)

  jitted = jax.jit(encode, static_argnames="patches", out_shardings=_readable(mesh))
  data = experiment.data
  form = data.train[np.zeros(1, np.int32)]["input"]

  def placed(variables, inputs, patches=False):
    if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(inputs)):
      return encode(variables, inputs, patches)  # a part of another program
    _check_inputs(inputs, form, data)
    even = len(jax.tree.leaves(inputs)[0]) % mesh.size == 0
    sharding = rows_sharded(mesh) if even else replicated(mesh)
    return jitted(variables, put(inputs, sharding), patches=patches)

  return placed


def _readable(mesh):
  """Features that each process can read: whole in all of them if there are several."""
  return replicated(mesh) if jax.process_count() > 1 else None


def _check_inputs(inputs, form: PyTree, data: DataSet):
  """Raises `InputError` unless these inputs are like those of the training data."""
  if jax.tree.structure(inputs) != jax.tree.structure(form):
    raise InputError(
      f"The inputs are {type(inputs).__name__}; this run's encoder was trained on "
      f"{data.kind.name}: {type(form).__name__} with {_shapes(form)} an example."
    )
  data.kind.check(inputs)
  if data.kind is IMAGES and np.shape(inputs)[-1] != form.shape[-1]:
    raise InputError(
      f"The images have {np.shape(inputs)[-1]} channels; this run's encoder was "
      f"trained on images of {form.shape[-1]}."
    )


def _shapes(form):
  return " and ".join(str(x.shape[1:]) for x in jax.tree.leaves(form))


def variables_of(state: core.TrainState) -> PyTree:
  """Returns what `encode` needs of a state."""
  return {"params": state.params, "extra": state.extra}


def load(out: str | pathlib.Path, seed: int | None = None) -> tuple[Callable, PyTree]:
  """Loads a trained encoder for use in other programs.

  ```
  encode, variables = jaxssl.load("runs/x")
  features = encode(variables, images)                # [batch, dim]
  patches = encode(variables, images, patches=True)   # [batch, patches, dim]
  ```

  Args:
    out: a run's folder.
    seed: which of the runs that `--seeds` made; None takes the first.

  Returns:
    A jitted `encode(variables, inputs, patches=False)` and its variables.

  Raises:
    InputError: if `out` is no run, has no valid checkpoint or no such seed.
  """
  experiment, variables = open_encoder(out, seed)
  return make_encode(experiment, data_mesh(jax.devices()[:1])), variables


def open_encoder(
  out: str | pathlib.Path, seed: int | None = None
) -> tuple[Experiment, PyTree]:
  """Returns a run's experiment, without its data, and its variables on one device.

  Args:
    out: a run's folder.
    seed: as of `load`.

  Raises:
    InputError: as `load`.
  """
  experiment = reopen_encoder(out)
  mesh = data_mesh(jax.devices()[:1])
  return experiment, restore_variables(out, experiment, mesh, seed)
