"""Runs over several processes: how they find each other, agree, and give up.

Every process runs the same program on its own devices; the arrays span all of them.
The first process alone writes the log, the pictures and the report.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import jax
import numpy as np

from jaxssl import lifeline
from jaxssl.errors import InputError

HEARTBEAT = 30  # seconds after which a silent process counts as lost
TEXT = 4096  # bytes of a text that processes agree on
GRACE = 1  # seconds that the first process stays longer when all leave


def start(
  coordinator: str = "",
  *,
  processes: int | None = None,
  process: int | None = None,
  timeout: int = 300,
) -> None:
  """Joins this process to the others of the run; before anything touches a device.

  Args:
    coordinator: host:port of the first process; "" takes all from the environment
      (TPU VMs, SLURM, Open MPI, Kubernetes).
    processes: number of processes, with a coordinator.
    process: this one's number, from 0, with a coordinator.
    timeout: seconds to wait for the others.

  Ends this process with a message if the others don't come in time: JAX would end it
  anyway, with a stack trace.

  Raises:
    InputError: if something is missing, or the environment doesn't say where they are.
  """
  given = (processes, process)
  if coordinator and None in given:
    raise InputError("--coordinator needs --num-processes and --process-id.")
  if not coordinator and given != (None, None):
    raise InputError("--num-processes and --process-id need --coordinator host:port.")
  if coordinator and not 0 <= process < processes:
    raise InputError(f"--process-id {process} is not in 0 ... {processes - 1}.")
  jax.config.update("jax_cpu_collectives_implementation", "gloo")
  with _giving_up(coordinator, timeout):
    try:
      jax.distributed.initialize(
        coordinator or None,
        processes,
        process,
        initialization_timeout=timeout + 60,
        heartbeat_timeout_seconds=HEARTBEAT,
      )
    except (ValueError, RuntimeError) as error:
      raise InputError(_why(coordinator, error)) from error
    jax.process_index()  # makes the devices known to all while all are here


@contextlib.contextmanager
def _giving_up(coordinator, timeout):
  """Ends this process with a message if what runs inside takes too long."""
  at = f" at {coordinator}" if coordinator else ""
  text = (
    f"The processes did not find each other{at} within {timeout} s: are all of them "
    "started, with the same settings, and may they reach the first one?"
  )
  timer = threading.Timer(timeout, _end, (text, 2))
  timer.daemon = True
  timer.start()
  try:
    yield
  finally:
    timer.cancel()


def _end(text, code):
  print(f"jaxssl: {text}", file=sys.stderr, flush=True)
  os._exit(code)


def _why(coordinator, error):
  if coordinator:
    return f"The processes did not find each other at {coordinator}: {error}"
  return (
    "The environment does not say where the other processes are (TPU VM, SLURM, Open "
    "MPI and Kubernetes do): pass --coordinator HOST:PORT --num-processes N "
    f"--process-id I. ({error})"
  )


def joined() -> bool:
  """Returns whether this process belongs to a run over several."""
  return jax.distributed.is_initialized()


def leave(code: int) -> NoReturn:
  """Ends this process at once; those that wait for it notice by its closed sockets.

  The first process goes last, so that the others can say why they end: they are ended
  by JAX as soon as it is gone.
  """
  if first():
    time.sleep(GRACE)
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(code)


def first() -> bool:
  """Returns whether this process writes the log and the report."""
  return jax.process_index() == 0


def agreed(text: str) -> str:
  """Returns the first process's text in all processes."""
  if jax.process_count() == 1:
    return text
  from jax.experimental import multihost_utils

  raw = text.encode()
  if len(raw) > TEXT:
    raise InputError(f"'{text}' is longer than {TEXT} bytes.")
  padded = np.frombuffer(raw.ljust(TEXT, b"\0"), np.uint8)
  return bytes(multihost_utils.broadcast_one_to_all(padded)).rstrip(b"\0").decode()


def any_of(flag: int) -> int:
  """Returns the largest of the processes' numbers, in all of them."""
  if jax.process_count() == 1:
    return flag
  from jax.experimental import multihost_utils

  return int(multihost_utils.process_allgather(np.int32(flag)).max())


def on_this_host(tree: Any) -> Any:
  """Returns arrays that span processes as numpy arrays, whole, in every process."""
  if jax.process_count() == 1:
    return jax.device_get(tree)
  from jax.experimental import multihost_utils

  def whole(x):
    if x.is_fully_replicated:
      return np.asarray(x.addressable_data(0))
    return multihost_utils.process_allgather(x, tiled=True)

  return jax.tree.map(whole, tree)


def wait(name: str) -> None:
  """Waits for all processes; `name` says for what."""
  if jax.process_count() == 1:
    return
  from jax.experimental import multihost_utils

  multihost_utils.sync_global_devices(name)


def quiet(say: Callable[[str], None]) -> Callable[[str], None]:
  """Returns `say` in the first process, and silence in the others."""
  return say if first() else lambda sentence: None


def resumed_by(out: str | os.PathLike) -> str:
  """Returns how a user goes on with a run."""
  if jax.process_count() == 1:
    return f"jaxssl train --resume {out}"
  return f"in all processes the same command, --resume {out} in place of name and --out"


@contextlib.contextmanager
def leaving_together(
  out: str | os.PathLike = "", *together: type[BaseException]
) -> Iterator[None]:
  """Ends this process at once, with a message, when another one is lost.

  The last checkpoint is valid; a clean shutdown would wait for the lost one.

  Args:
    out: the run's folder; "": there is none yet.
    *together: exceptions that all processes raise alike.
  """
  if jax.process_count() == 1:
    yield
    return
  who = f"process {jax.process_index()} of {jax.process_count()} lost another one"
  how = f"Go on by: {resumed_by(out)}" if out else "Start all of them again."

  def lost(why="its connection is closed"):
    _end(f"{who} ({why}). {how}", 1)

  try:
    with lifeline.held(first(), agreed, lost, together):
      yield
  except jax.errors.JaxRuntimeError as error:
    lost(str(error).splitlines()[0])
