"""A whole run saved and restored: digests, fallback, full disks; exported weights.

A checkpoint is RUN/checkpoints/STEP/state (the arrays, as orbax writes them) beside
STEP/meta (one JSON record: shape, dtype and SHA-256 of every leaf, and the caller's
`meta`). Orbax commits a step by renaming a finished folder, so a killed process leaves
whole checkpoints only; it does not notice flipped bytes, which the digests are for.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils

from jaxssl.errors import InputError

PyTree = Any
FORMAT = 1


class CheckpointError(RuntimeError):
  """A checkpoint could not be written or read, through no fault of the caller."""


class Restored(NamedTuple):
  """What `Checkpoints.restore` found.

  Attributes:
    step: the step of the checkpoint that was used.
    state: the state, with the structure, dtypes and shardings that were asked for.
    meta: the dict that was saved with it.
    skipped: one sentence per newer checkpoint that was damaged and passed over.
  """

  step: int
  state: PyTree
  meta: dict
  skipped: list[str]


class Checkpoints:
  """The checkpoints of one run: a context manager that saves in the background.

  Opening a folder and reading from it changes nothing on disk, so a run may be
  evaluated while it trains. Under several processes every process makes the same calls.
  """

  def __init__(self, folder: str | os.PathLike, *, keep: int = 3):
    """Opens RUN/checkpoints; the folder is created by the first save.

    Args:
      folder: where the steps lie.
      keep: how many of the newest checkpoints stay on disk, at least 1.

    Raises:
      InputError: if `keep` is below 1.
    """
    if keep < 1:
      raise InputError(f"keep={keep} would keep no checkpoint; it is 1 or more")
    self.folder = Path(folder).absolute()
    self._keep = keep
    self._pending: int | None = None
    self._damaged: set[int] = set()
    self._quiet = _Quiet()
    logging.getLogger("absl").addFilter(self._quiet)
    self._manager = self._open()

  def __enter__(self) -> "Checkpoints":
    return self

  def __exit__(self, kind, error, trace):
    try:
      self.close()
    except CheckpointError as problem:
      if error is None:
        raise
      error.add_note(str(problem))  # the error of the body is the one to show

  def steps(self) -> list[int]:
    """Returns the steps of all committed checkpoints, damaged ones too, ascending."""
    if not self.folder.is_dir():
      return []
    names = [path.name for path in self.folder.iterdir() if path.is_dir()]
    return sorted(int(name) for name in names if name.isdecimal())

  def save(self, step: int, state: PyTree, meta: dict) -> bool:
    """Copies `state` to the host and writes it in the background.

    The caller may donate or change `state` as soon as this returns. Waits first for
    the save before it. A step that is saved already with the same content is left
    alone; with other content it is deleted and written anew.

    Args:
      step: the number of steps taken, larger than that of every valid checkpoint.
      state: any pytree of arrays and typed PRNG keys.
      meta: what JSON can hold, restored as it was (tuples as lists).

    Returns:
      True if the step is or will be saved; False, with nothing written, if a float
      leaf holds a value that is not finite.

    Raises:
      InputError: if a newer checkpoint is there that was not restored, if `meta` is
        not JSON, or if two leaves have the same name.
      CheckpointError: if this save, or the one before it, could not be written.
    """
    self.wait()
    arrays = _named(state)
    leaves = _describe_all(arrays)
    if not all(leaf.finite for leaf in leaves.values()):
      return False
    record = _make_record(step, leaves, meta)
    if not self._is_saved(step, record):
      self._make_room(step)
      self._write(step, arrays, record)
    return True

  def restore(self, like: PyTree) -> Restored:
    """Reads the newest checkpoint whose every leaf matches its digest.

    Args:
      like: a state, or an abstract one (`jax.ShapeDtypeStruct` leaves); the result
        has its structure and its shardings, whatever layout it was saved from. Leaves
        without a sharding go to the default device.

    Returns:
      `Restored(step, state, meta, skipped)`.

    Raises:
      InputError: if there is no checkpoint, or if its leaves are not those of `like`.
      CheckpointError: if there are checkpoints and all of them are damaged.
    """
    self.wait()
    problems = {}
    for step in reversed(self.steps()):
      try:
        state, meta = self._read(step, like)
      except InputError:
        raise
      except Exception as error:  # whatever a damaged file makes the readers raise
        problems[step] = _reason(error)
        continue
      self._damaged.update(problems)
      skipped = [f"{_say(*item)}; used {step} instead" for item in problems.items()]
      return Restored(step, state, meta, skipped)
    raise self._none_valid(problems)

  def wait(self) -> None:
    """Blocks until the last save is on disk.

    Raises:
      CheckpointError: if it could not be written.
    """
    with self._surfaced():
      self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits for the last save and lets go of the folder.

    Raises:
      CheckpointError: if the last save could not be written.
    """
    try:
      self.wait()
    finally:
      self._manager.close()
      logging.getLogger("absl").removeFilter(self._quiet)

  def _open(self) -> ocp.CheckpointManager:
    options = ocp.CheckpointManagerOptions(
      max_to_keep=self._keep,
      create=False,
      lightweight_initialize=True,
      async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
    )
    return ocp.CheckpointManager(self.folder, options=options)

  def _is_saved(self, step: int, record: dict) -> bool:
    if step not in self.steps() or step in self._damaged:
      return False
    try:
      return self._read_record(step) == record
    except Exception:  # damaged: it will be written anew
      return False

  def _make_room(self, step: int) -> None:
    """Removes what stands where `step` goes: `step`, damaged steps, leftovers."""
    newest = max((s for s in self.steps() if s not in self._damaged), default=step)
    if newest > step:
      raise InputError(
        f"checkpoint {newest} in {self.folder} is newer than step {step}, which was to"
        " be saved; restore from it, or use another folder"
      )
    for old in {step, *self._damaged}.intersection(self._manager.all_steps()):
      self._manager.delete(old)
    self._damaged.clear()
    self._clear_leftovers()

  def _write(self, step: int, arrays: dict[str, jax.Array], record: dict) -> None:
    items = ocp.args.Composite(
      state=ocp.args.StandardSave(_filled(arrays)), meta=ocp.args.JsonSave(record)
    )
    self._pending = step
    with self._surfaced():
      self.folder.mkdir(parents=True, exist_ok=True)
      self._manager.save(step, args=items, force=True)

  @contextlib.contextmanager
  def _surfaced(self) -> Iterator[None]:
    """Turns a failed write into a CheckpointError and makes the folder usable again."""
    try:
      yield
    except Exception as error:
      self._recover()
      last = max(self.steps(), default=None)
      state = "there is no earlier one" if last is None else f"{last} is still valid"
      raise CheckpointError(
        f"checkpoint {self._pending} could not be written to {self.folder}"
        f" ({_reason(error)}); {state}"
      ) from error

  def _recover(self) -> None:
    with contextlib.suppress(Exception):
      self._manager.close()
    self._clear_leftovers()
    self._manager = self._open()

  def _clear_leftovers(self) -> None:
    """Removes folders of saves that were killed or failed before their commit.

    After a failure orbax may still write for a moment; the next save clears the rest.
    """
    if jax.process_index() == 0:
      for path in self.folder.glob("*.orbax-checkpoint-tmp*"):
        shutil.rmtree(path, ignore_errors=True)

  def _read_record(self, step: int) -> dict:
    folder = self.folder / str(step) / "meta"
    with contextlib.closing(ocp.JsonCheckpointHandler()) as handler:
      return _checked_record(handler.restore(epath.Path(folder)), step)

  def _read_arrays(self, step: int, wanted: dict[str, Any]) -> dict[str, jax.Array]:
    folder, args = self.folder / str(step) / "state", _filled(wanted)
    with contextlib.closing(ocp.StandardCheckpointHandler()) as handler:
      arrays = handler.restore(epath.Path(folder), args=ocp.args.StandardRestore(args))
    return {name: _restored(arrays, name, leaf) for name, leaf in wanted.items()}

  def _read(self, step: int, like: PyTree) -> tuple[PyTree, dict]:
    record = _agreed(lambda: self._read_record(step))
    wanted = {name: _abstract(leaf) for name, leaf in _named(like).items()}
    _check_fit(record["leaves"], wanted, f"checkpoint {step} in {self.folder}")
    arrays = _agreed(lambda: self._read_arrays(step, wanted))
    _agreed(lambda: _check_digests(record["leaves"], arrays))
    state = jax.tree.unflatten(jax.tree.structure(like), list(arrays.values()))
    return state, record["meta"]

  def _none_valid(self, problems: dict[int, str]) -> Exception:
    if not problems:
      return InputError(
        f"no checkpoint in {self.folder}; train first, or give the folder of a run"
      )
    listed = "; ".join(_say(*item) for item in problems.items())
    return CheckpointError(f"no valid checkpoint in {self.folder}: {listed}")


class Weights(NamedTuple):
  """What `load_weights` found: nested dicts of arrays, and the file's metadata."""

  params: dict
  stats: dict
  metadata: dict[str, str]


def save_weights(
  path: str | os.PathLike, params: PyTree, stats: PyTree, *, metadata: dict[str, str]
) -> None:
  """Writes weights as one safetensors file that any framework reads.

  Args:
    path: the file; it is replaced whole or not at all.
    params: a pytree of arrays, in the file as "params/encoder/Conv_0/kernel".
    stats: a pytree of arrays (batch statistics), in the file as "stats/...".
    metadata: text for the file's header, str to str.

  Raises:
    InputError: if `metadata` holds anything but strings, or if a leaf is a PRNG key.
  """
  from safetensors.flax import save_file

  path, tree = Path(path), {"params": params, "stats": stats}
  arrays = {name: _weight(name, x) for name, x in _named(tree).items()}
  if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
    raise InputError(f"metadata {metadata} must map str to str")
  path.parent.mkdir(parents=True, exist_ok=True)
  part = path.with_name(path.name + ".tmp")
  save_file(arrays, part, metadata=metadata)
  os.replace(part, path)


def load_weights(path: str | os.PathLike) -> Weights:
  """Reads what `save_weights` wrote.

  Args:
    path: the safetensors file.

  Returns:
    `Weights(params, stats, metadata)`; every container is a dict.

  Raises:
    InputError: if the file is absent, damaged, or not of this kind.
  """
  from safetensors import SafetensorError, safe_open

  try:
    with safe_open(path, framework="flax") as file:
      arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
      metadata = dict(file.metadata() or {})
  except (OSError, SafetensorError) as error:
    raise InputError(f"cannot read weights from {path}: {error}") from error
  tree = _nested(arrays)
  if not tree.keys() <= {"params", "stats"}:
    raise InputError(f"{path} has no params/ and stats/; jaxssl did not export it")
  return Weights(tree.get("params", {}), tree.get("stats", {}), metadata)


def _weight(name: str, x: jax.Array) -> np.ndarray:
  if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
    raise InputError(f"{name} is a PRNG key; safetensors hold numbers only")
  return np.asarray(_to_host(x), order="C")


def _nested(arrays: dict[str, jax.Array]) -> dict:
  tree: dict = {}
  for name, x in arrays.items():
    *folders, leaf = name.split("/")
    node = tree
    for folder in folders:
      node = node.setdefault(folder, {})
    node[leaf] = x
  return tree


class _Damaged(Exception):
  """A checkpoint that read without an error and is not what was saved."""


class _Quiet(logging.Filter):
  """Drops what orbax logs: its failures reach the caller as CheckpointError."""

  def filter(self, record: logging.LogRecord) -> bool:
    return not record.pathname.startswith(os.path.dirname(ocp.__file__))


def _agreed(read: Callable[[], Any]) -> Any:
  """Calls `read`; if it fails in one process it fails in all, so that none waits."""
  try:
    result, error = read(), None
  except Exception as problem:
    result, error = None, problem
  failed = error is not None
  if jax.process_count() > 1:
    failed = multihost_utils.process_allgather(np.asarray(failed)).any()
  if failed:
    raise error or _Damaged("another process could not read it")
  return result


class _Leaf(NamedTuple):
  shape: list[int]
  dtype: str
  sha256: str
  finite: bool


def _named(tree: PyTree) -> dict[str, Any]:
  """Maps "params/encoder/kernel" to its leaf; numbers and numpy arrays become JAX's."""
  paths = jax.tree_util.tree_flatten_with_path(tree)[0]
  names = [jax.tree_util.keystr(p, simple=True, separator="/") for p, _ in paths]
  twice = [name for name, count in Counter(names).items() if count > 1]
  if twice:
    raise InputError(f"two leaves are called {twice[0]!r}; a leaf needs its own name")
  return {name: _as_array(x) for name, (_, x) in zip(names, paths, strict=True)}


def _as_array(leaf):
  known = isinstance(leaf, jax.Array | jax.ShapeDtypeStruct)
  return leaf if known else jnp.asarray(leaf)


def _abstract(leaf) -> jax.ShapeDtypeStruct:
  here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
  sharding = leaf.sharding or here
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _filled(arrays: dict[str, Any]) -> dict[str, Any]:
  """Leaves with at least one value: orbax refuses the others."""
  return {name: x for name, x in arrays.items() if x.size}


def _restored(arrays: dict, name: str, leaf: jax.ShapeDtypeStruct) -> jax.Array:
  if leaf.size:
    return arrays[name]
  return jnp.zeros(leaf.shape, leaf.dtype, device=leaf.sharding)


def _to_host(x: jax.Array) -> np.ndarray:
  """The whole leaf in host memory; keys as their data. Collective where split."""
  if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
    x = jax.random.key_data(x)
  if x.is_fully_replicated:
    return np.asarray(x.addressable_data(0))  # not cached on x, unlike np.asarray(x)
  if x.is_fully_addressable:
    return np.asarray(x)
  return multihost_utils.process_allgather(x, tiled=True)


def _describe(x: jax.Array) -> _Leaf:
  host = np.asarray(_to_host(x), order="C")
  digest = hashlib.sha256(host.reshape(-1).view(np.uint8))
  finite = not jnp.issubdtype(host.dtype, jnp.inexact) or np.isfinite(host).all()
  return _Leaf(list(x.shape), str(x.dtype), digest.hexdigest(), bool(finite))


def _describe_all(arrays: dict[str, jax.Array]) -> dict[str, _Leaf]:
  """Digests of all leaves; few leaves are on the host at a time."""
  if jax.process_count() > 1:  # gathers must come in the same order everywhere
    return {name: _describe(x) for name, x in arrays.items()}
  with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
    return dict(zip(arrays, pool.map(_describe, arrays.values()), strict=True))


def _make_record(step: int, leaves: dict[str, _Leaf], meta: dict) -> dict:
  try:
    meta = json.loads(json.dumps(meta))
  except (TypeError, ValueError) as error:
    raise InputError(f"meta is not JSON: {error}; give numbers and strings") from error
  entries = {name: _entry(leaf) for name, leaf in leaves.items()}
  record = {"format": FORMAT, "step": step, "leaves": entries, "meta": meta}
  return {**record, "sha256": _record_digest(record)}


def _entry(leaf: _Leaf) -> dict:
  return {"shape": leaf.shape, "dtype": leaf.dtype, "sha256": leaf.sha256}


def _record_digest(record: dict) -> str:
  text = json.dumps({k: v for k, v in record.items() if k != "sha256"}, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _checked_record(record: dict, step: int) -> dict:
  if record["sha256"] != _record_digest(record):
    raise _Damaged("its record of digests does not match its own digest")
  if record["step"] != step:
    raise _Damaged(f"it holds step {record['step']}")
  if record["format"] > FORMAT:
    raise InputError(f"checkpoint {step} is of a newer jaxssl; update it to read this")
  return record


def _check_digests(saved: dict[str, dict], arrays: dict[str, jax.Array]) -> None:
  for name, leaf in _describe_all(arrays).items():
    if _entry(leaf) != saved[name]:
      raise _Damaged(f"leaf {name} does not match its digest")


def _check_fit(saved: dict[str, dict], wanted: dict[str, Any], where: str) -> None:
  """Raises InputError with the first leaves whose shape or dtype differ."""
  theirs = {name: _spell(leaf["dtype"], leaf["shape"]) for name, leaf in saved.items()}
  ours = {name: _spell(x.dtype, x.shape) for name, x in wanted.items()}
  differ = [n for n in ours | theirs if ours.get(n) != theirs.get(n)]
  if differ:
    lines = [
      f"{n} is {theirs.get(n, 'absent')} there and {ours.get(n, 'absent')} here"
      for n in differ[:3]
    ]
    more = f"; and {len(differ) - 3} more" if len(differ) > 3 else ""
    raise InputError(
      f"{where} holds another model: {'; '.join(lines)}{more}. Build the run with the"
      " settings that it was saved with, or use another folder"
    )


def _spell(dtype, shape) -> str:
  return f"{dtype}[{','.join(map(str, shape))}]"


def _reason(error: Exception) -> str:
  if isinstance(error, _Damaged):
    return str(error)
  text = str(error)
  code = re.search(r"os_error_code='(\d+)'", text)  # how tensorstore passes errno on
  return os.strerror(int(code[1])) if code else f"{type(error).__name__}: {text[:80]}"


def _say(step: int, reason: str) -> str:
  return f"checkpoint {step}: {reason}"
