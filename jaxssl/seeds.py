"""Several runs of one experiment, of different seeds, as one program.

Each array of their state is [seeds, ...], each metric of a step [seeds]. All of them
see the same batches, and each is the run that it would be alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxssl.errors import InputError
from jaxssl.registry import Experiment, Run

PyTree = Any


def of(run: Run) -> range:
  """Returns the seeds of the runs that are one program."""
  return range(run.seed, run.seed + run.seeds)


def named(run: Run) -> str:
  """Returns how a sentence calls them: "seeds 0 to 7"."""
  return f"seeds {run.seed} to {run.seed + run.seeds - 1}"


def of_the_first(run: Run, what: str) -> str:
  """Returns that `what` is of the first of several seeds; "" if there is one."""
  return (
    f"{what} of seed {run.seed}, the first of {named(run)}." if run.seeds > 1 else ""
  )


def check(experiment: Experiment, mesh: Mesh) -> None:
  """Raises `InputError` where the runs of several seeds cannot be one program."""
  if experiment.run.seeds == 1:
    return
  if experiment.method.refresh is not None:
    raise InputError(
      f"{experiment.name} makes its targets between epochs, outside the step, which is "
      "not available with --seeds; train one --seed after the other."
    )
  if mesh.shape.get("fsdp", 1) > 1:
    raise InputError(
      f"--seeds is not available with fsdp={mesh.shape['fsdp']}: each device holds the "
      f"whole state of all runs; use --mesh data={mesh.size}."
    )


def number(run: Run, seed: int | None) -> int:
  """Returns which of the runs has a seed; None means the first.

  Raises:
    InputError: if none has it.
  """
  if seed is None:
    return 0
  if seed not in of(run):
    known = named(run) if run.seeds > 1 else f"seed {run.seed}"
    raise InputError(f"The run has no seed {seed}; it has {known}.")
  return seed - run.seed


def pick(run: Run, tree: PyTree, number: int = 0) -> PyTree:
  """Returns one run's part of what all runs have: [seeds, ...] -> [...]."""
  return tree if run.seeds == 1 else _picked(tree, number)


@jax.jit
def _picked(tree, number):
  return jax.tree.map(lambda x: x[number], tree)


def each(run: Run, tree: PyTree) -> Iterator[PyTree]:
  """Yields each run's part of what all runs have, in the order of the seeds."""
  return (pick(run, tree, i) for i in range(run.seeds))


def by_run(run: Run, metrics: Mapping[str, np.ndarray]) -> list[dict[str, float]]:
  """Returns the metrics of one step, each a number or [seeds], as a dict a run."""
  flat = {name: np.reshape(x, run.seeds) for name, x in metrics.items()}
  return [{n: float(x[i]) for n, x in flat.items()} for i in range(run.seeds)]


def mean(found: Sequence[Mapping[str, float]], *, deviation: str) -> dict[str, float]:
  """Returns means over the runs; of one run what it found, as it is.

  Args:
    found: numbers of each run; what isn't in all of them is left out.
    deviation: the name whose sample deviation is added as `NAME_std`.

  Returns:
    Names to means.
  """
  first, *others = found
  if not others:
    return dict(first)
  names = [name for name in first if all(name in other for other in others)]
  values = {name: np.array([run[name] for run in found], np.float64) for name in names}
  with np.errstate(invalid="ignore"):  # of infinities
    means = {name: float(np.mean(x)) for name, x in values.items()}
  if deviation in values:
    means[f"{deviation}_std"] = float(np.std(values[deviation], ddof=1))
  return means


def warning(run: Run, found: Sequence[str | None]) -> str | None:
  """Returns the first warning of some run, and the seeds that have one; or None."""
  warned = {s: text for s, text in zip(of(run), found, strict=True) if text is not None}
  if not warned:
    return None
  text = next(iter(warned.values()))
  return text if run.seeds == 1 else f"Seed {', '.join(map(str, warned))}: {text}"
