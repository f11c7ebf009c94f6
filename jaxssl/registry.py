"""Experiments by name: a function with typed keyword defaults is the configuration.

`@experiment` only marks a function. `names` and `build` load the files of the
experiments folder, which lies inside the installed package (`jaxssl.experiments`) or
beside it in a checkout, and collect what is marked.
"""

import dataclasses
import functools
import importlib.util
import inspect
import pathlib
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import optax

from jaxssl.core import Method
from jaxssl.data.kept import is_kept
from jaxssl.data.sources import DataSet
from jaxssl.errors import InputError, nearest
from jaxssl.models.layers import REMAT
from jaxssl.ranges import check_range

CHOICES = {"precision": ("float32", "bfloat16"), "remat": tuple(REMAT)}


@dataclasses.dataclass(frozen=True)
class Run:
  """Settings that every experiment has.

  Attributes:
    steps: Optimiser steps of the whole run.
    batch: Examples a step, over all devices.
    seed: Draws the initial weights, the augmentations and the masks.
    data_seed: Draws the order of the examples.
    log_every: Steps between two lines of metrics.
    eval_every: Steps between two looks at the features (kNN, collapse measures).
    checkpoint_every: Steps between two checkpoints.
    accumulate: Micro-batches that a step is computed in, with the same gradient.
    precision: Compute type of the encoder, float32 or bfloat16.
    remat: What the encoder's blocks compute twice to save memory, none, dots or full.
    seeds: Runs in one program, of the seeds `seed ... seed + seeds - 1`; all of them
      see the same batches.
  """

  steps: int
  batch: int
  seed: int = 0
  data_seed: int = 0
  log_every: int = 20
  eval_every: int = 200
  checkpoint_every: int = 200
  accumulate: int = 1
  precision: str = "float32"
  remat: str = "none"
  seeds: int = 1


class Parts(NamedTuple):
  """What an experiment function returns.

  Attributes:
    method: the method, with its nets and views.
    tx: the optimiser.
    data: the data set.
    views: (key, example) -> tuple of inputs; the report shows some.
    split: exceptions from how a mesh with "fsdp" splits the state, path pattern ->
      axis or None; see `mesh.state_shardings`.
    scores: (experiment, variables of its encoder) -> percent by name: what papers on
      such data report of the test split, beside the usual protocols; None: nothing.
  """

  method: Method
  tx: optax.GradientTransformation
  data: DataSet
  views: Callable
  split: Mapping[str, int | None] = types.MappingProxyType({})
  scores: Callable[..., Mapping[str, float]] | None = None


class Experiment(NamedTuple):
  """An experiment built and ready to run.

  Attributes:
    name: of the experiment function.
    source: what `build` was called with: a registered name or FILE:FUNCTION.
    settings: every setting with its value.
    run: the settings that all experiments share.
    method: the method.
    tx: the optimiser.
    data: the data set.
    views: (key, example) -> tuple of inputs.
    split: see `Parts`.
    scores: see `Parts`.
  """

  name: str
  source: str
  settings: dict[str, Any]
  run: Run
  method: Method
  tx: optax.GradientTransformation
  data: DataSet
  views: Callable
  split: Mapping[str, int | None] = types.MappingProxyType({})
  scores: Callable[..., Mapping[str, float]] | None = None


class Entry(NamedTuple):
  """A marked experiment function, as `jaxssl list` shows it.

  Attributes:
    function: the experiment function.
    method: the method's name as the field writes it.
    data: the data set's name.
    reaches: what the run is known to reach, and by which protocol.
    cost: what it costs, and on what.
    aliases: other names of it.
    slices: topology -> settings to train with on it, and "mesh".
  """

  function: Callable[..., Parts]
  method: str
  data: str
  reaches: str
  cost: str
  aliases: tuple[str, ...]
  slices: Mapping[str, Mapping[str, Any]]


def experiment(
  *,
  method: str,
  data: str,
  reaches: str,
  cost: str,
  aliases: tuple[str, ...] = (),
  slices: Mapping[str, Mapping[str, Any]] = types.MappingProxyType({}),
) -> Callable:
  """Marks a function as an experiment.

  The function is called as `function(run=Run(...), setting=value, ...)`; each setting
  has a type and a default, and `run` has a `Run` as default. It returns `Parts`.

  Args:
    method: name of the method.
    data: name of the data set.
    reaches: what it reaches, with the protocol.
    cost: what it costs, and on what.
    aliases: other names that mean the same.
    slices: what `--topology` stands for: "v5e:4x4" -> settings in place of the
      defaults, and "mesh" as `--mesh` takes it.

  Returns:
    A decorator that returns the function as it is.
  """

  def mark(function):
    function.experiment = Entry(function, method, data, reaches, cost, aliases, slices)
    return function

  return mark


def names() -> dict[str, Entry]:
  """Returns all registered experiments, sorted by name, aliases left out."""
  return {n: e for n, e in sorted(_registered().items()) if n not in e.aliases}


def find(source: str) -> Entry:
  """Returns the experiment called `source`: a registered name or FILE.py:FUNCTION.

  Raises:
    InputError: if there is none; the nearest name is shown.
  """
  if ".py:" in source or source.endswith(".py"):
    return _find_in_file(source)
  known = _registered()
  if source not in known:
    raise InputError(
      f"There is no experiment '{source}'.{nearest(source, known)} `jaxssl list` "
      "shows all; your own is FILE.py:FUNCTION."
    )
  return known[source]


def build(source: str, **settings: Any) -> Experiment:
  """Builds an experiment, some settings changed.

  Args:
    source: a registered name such as "simclr_digits", or "mine.py:my_experiment".
    **settings: any of its settings, and of those in `Run`.

  Returns:
    The experiment.

  Raises:
    InputError: for an unknown name or setting (the nearest is shown), a value of the
      wrong type, a number that the setting cannot be (see `jaxssl.ranges`), or settings
      that do not fit each other or the data.
  """
  entry = find(source)
  known = defaults(entry)
  _check_settings(entry, known, settings)
  if is_kept(settings.get("data", "")):
    raise InputError(f"{settings['data']} has no examples to train on, only a form.")
  settings = {n: _absolute(v) for n, v in settings.items()}
  return build_exactly(source, {**known, **settings})


def _absolute(value):
  """Makes the path of something that exists absolute: a run goes on from anywhere."""
  if not isinstance(value, str) or not ("/" in value or value.endswith(".npz")):
    return value
  path = pathlib.Path(value).expanduser()
  return str(path.resolve()) if path.exists() else value


def build_exactly(source: str, settings: dict[str, Any]) -> Experiment:
  """Builds an experiment from all of its settings, as `config.json` holds them."""
  entry = find(source)
  run, own = _checked(entry, settings)
  parts = entry.function(run=run, **own)
  if run.batch > len(parts.data.train):
    raise InputError(
      f"A batch of {run.batch} is larger than the {len(parts.data.train)} examples "
      f"of {parts.data.name}."
    )
  if not source.isidentifier():  # a file: found again from any folder
    file, _, function = source.rpartition(":")
    source = f"{pathlib.Path(file).expanduser().resolve()}:{function}"
  return Experiment(entry.function.__name__, source, settings, run, *parts)


def _checked(entry, settings):
  """Splits settings into those of every run and the experiment's own."""
  shared = [f.name for f in dataclasses.fields(Run)]
  own = {n: v for n, v in settings.items() if n not in shared}
  run = Run(**{n: settings[n] for n in shared})
  check_run(run)
  _check_computed(entry, run, own)
  return run, own


def defaults(entry: Entry) -> dict[str, Any]:
  """Returns every setting of an experiment with its default."""
  parameters = inspect.signature(entry.function).parameters
  own = {n: p.default for n, p in parameters.items() if n != "run"}
  return {**dataclasses.asdict(parameters["run"].default), **own}


def on_slice(entry: Entry, topology: str) -> tuple[dict[str, Any], str]:
  """Returns the defaults of an experiment on a slice of TPUs, and its mesh.

  Args:
    entry: from `find`.
    topology: "v5e:4x4"; one that the experiment isn't registered for changes nothing.

  Raises:
    InputError: if what is registered isn't a setting, or not one of this experiment.
  """
  known, settings = defaults(entry), dict(entry.slices.get(topology, {}))
  mesh = settings.pop("mesh", "")
  _check_settings(entry, known, settings)
  settings = {**known, **settings}
  _checked(entry, settings)
  return settings, mesh


def check_run(run: Run) -> None:
  """Raises `InputError` for shared settings outside their range."""
  for field in dataclasses.fields(Run):
    value = getattr(run, field.name)
    if field.name in CHOICES:
      _check_choice(field.name, value, CHOICES[field.name])
      continue
    least = 0 if field.name in ("seed", "data_seed") else 1
    if value < least:
      raise InputError(f"{field.name} is {value}; it must be {least} or more.")
  if run.batch % run.accumulate:
    raise InputError(
      f"A batch of {run.batch} does not split into accumulate={run.accumulate} "
      "micro-batches."
    )


def _check_choice(name, value, known):
  if value not in known:
    raise InputError(
      f"{name} is {value!r}.{nearest(str(value), known)} It can be: {', '.join(known)}."
    )


def _check_computed(entry, run, settings):
  """Refuses what the experiment would not see: `Run` has it, or the net doesn't."""
  taken = [f.name for f in dataclasses.fields(Run)]
  parameters = inspect.signature(entry.function).parameters
  if clash := [n for n in parameters if n in taken]:
    raise InputError(
      f"{entry.function.__name__} has a setting '{clash[0]}' of its own, which every "
      "run has already: read it from `run`, or rename it."
    )
  changed = [n for n in CHOICES if getattr(run, n) != getattr(Run, n)]
  if changed and "encoder" not in settings:
    raise InputError(
      f"{entry.function.__name__} has a net of its own, in float32: {changed[0]} is "
      "for experiments with the setting `encoder`."
    )


def _check_settings(entry, known, settings):
  name, shared = entry.function.__name__, [f.name for f in dataclasses.fields(Run)]
  ranged = is_of_the_package(entry)
  for setting, value in settings.items():
    if setting not in known:
      raise InputError(
        f"{name} has no setting '{setting}'.{nearest(setting, known)} It has: "
        f"{', '.join(known)}."
      )
    _check_type(name, setting, value, known[setting])
    if ranged and setting not in shared:  # those of `Run` have `check_run`
      check_range(setting, value, known[setting])


def is_of_the_package(entry: Entry) -> bool:
  """Whether settings mean what the package's do: not in a file of the user's."""
  file = pathlib.Path(entry.function.__code__.co_filename).resolve()
  return file.parent == experiments_folder()


def _check_type(name, setting, value, default):
  right = type(default)
  fits = isinstance(value, right) or (right is float and isinstance(value, int))
  if not fits or (isinstance(value, bool) and right is not bool):
    raise InputError(
      f"{setting} of {name} must be {right.__name__} (default {default!r}), not "
      f"{value!r}, which is {type(value).__name__}."
    )


def _registered():
  found = {}
  for path in sorted(experiments_folder().glob("*.py")):
    for entry in _marked(_load(path.stem, path)):
      for name in (entry.function.__name__, *entry.aliases):
        if name in found and found[name] is not entry:
          raise InputError(f"Two experiments are called '{name}'; rename one.")
        found[name] = entry
  return found


def experiments_folder() -> pathlib.Path:
  """Returns the folder of the registered experiments."""
  package = pathlib.Path(__file__).resolve().parent
  for folder in (package / "experiments", package.parent / "experiments"):
    if folder.is_dir():
      return folder
  raise InputError(f"There is no folder 'experiments' in or beside {package}.")


@functools.cache
def _load(stem: str, path: pathlib.Path) -> types.ModuleType:
  name = f"jaxssl.experiments.{stem}"
  spec = importlib.util.spec_from_file_location(name, path)
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module
  spec.loader.exec_module(module)
  return module


def _marked(module):
  functions = [v for v in vars(module).values() if isinstance(v, types.FunctionType)]
  return [f.experiment for f in functions if hasattr(f, "experiment")]


def _find_in_file(source):
  file, _, function = source.rpartition(":") if ".py:" in source else (source, "", "")
  path = pathlib.Path(file).expanduser().resolve()
  if not path.is_file():
    raise InputError(f"There is no file {file} (asked for as '{source}').")
  marked = {e.function.__name__: e for e in _marked(_load(f"user_{path.stem}", path))}
  if function not in marked:
    raise InputError(
      f"{file} has no experiment '{function}'.{nearest(function, marked)} It marks: "
      f"{', '.join(marked) or 'none; use @jaxssl.experiment(...)'}."
    )
  return marked[function]
