"""`fit`: one experiment from its first step to its report."""

import contextlib
import math
import os
import pathlib
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import NamedTuple

import jax
from jax.sharding import Mesh

from jaxssl import (
  core,
  data,
  evals,
  failures,
  measures,
  processes,
  results,
  runs,
  seeds,
)
from jaxssl.checkpoint import Checkpoints
from jaxssl.errors import InputError
from jaxssl.feeds import make_feed
from jaxssl.log import MetricsLog, Progress
from jaxssl.mesh import check_rows, data_mesh
from jaxssl.registry import Experiment

Callback = Callable[[int, core.TrainState, dict[str, float]], None]


class Result(NamedTuple):
  """What `fit` returns.

  Attributes:
    out: the run's folder.
    state: the last state; of several seeds each leaf is [seeds, ...].
    table: the evaluation, accuracies in percent.
  """

  out: pathlib.Path
  state: core.TrainState
  table: evals.Table


class Interrupted(Exception):
  """The run was asked to stop; its state is saved. `signum` is the signal."""

  def __init__(self, message: str, signum: int):
    super().__init__(message)
    self.signum = signum


class NonFiniteLoss(RuntimeError):
  """The loss or the state stopped being finite; the message says where to look."""


def fit(
  experiment: Experiment,
  out: str | os.PathLike | None = None,
  *,
  resume: bool = False,
  callbacks: Sequence[Callback] = (),
  mesh: Mesh | None = None,
  profile: str | os.PathLike = "",
  say: Callable[[str], None] = print,
) -> Result:
  """Trains an experiment, evaluates its features and writes its report.

  Args:
    experiment: from `registry.build`.
    out: the run's folder; None takes `runs/NAME/N`.
    resume: go on with the run that `out` holds, exactly where it stopped.
    callbacks: called as `callback(step, state, metrics)` at every log. The state is
      donated to the next step: copy what you keep.
    mesh: where to run; None takes all devices, of a run that goes on the mesh that
      it began with if it fits them.
    profile: folder for a trace of some warm steps, for xprof or Perfetto; "": none.
    say: where sentences for people go.

  Returns:
    The folder, the last state and the evaluation table.

  Raises:
    InputError: for input that cannot work; nothing has been computed then.
    Interrupted: on SIGINT and SIGTERM, after a checkpoint.
    NonFiniteLoss: after writing the failing step to `failed/`.
  """
  use_compilation_cache()
  if mesh is None:
    mesh = runs.mesh_of(out) if resume else data_mesh()
  check(experiment, mesh)
  say = processes.quiet(say)
  if not resume:
    with processes.leaving_together("", InputError):
      out = runs.create(experiment, out, mesh)
  out = pathlib.Path(out)
  _say_start(experiment, out, mesh, say)
  with processes.leaving_together(out, Interrupted, NonFiniteLoss):
    with Trainer(experiment, out, mesh, callbacks, say, profile) as trainer:
      state = trainer.run(resume=resume)
    return Result(out, state, _finish(experiment, out, state, mesh, say))


def _finish(experiment, out, state, mesh, say):
  """Evaluates and reports; of several processes the first does it, alone."""
  if jax.process_count() == 1:
    return results.finish(experiment, out, state, mesh, say)
  whole = processes.on_this_host(runs.variables_of(state))
  table = evals.Table([], [], "The first process has the table.")
  if processes.first():
    own = data_mesh(jax.local_devices()[:1])
    state = state._replace(params=whole["params"], extra=whole["extra"])
    table = results.finish(experiment, out, state, own, say)
  processes.wait("report")
  return table


def check(experiment: Experiment, mesh: Mesh) -> None:
  """Raises `InputError` for what cannot work, by tracing a step; computes nothing."""
  rows = experiment.run.batch
  check_rows(rows, mesh, parts=experiment.run.accumulate)
  seeds.check(experiment, mesh)
  runs.placement(experiment, mesh)
  experiment.data.kind.check(runs.example_batch(experiment, 1)["input"])
  batch = jax.eval_shape(lambda: runs.example_batch(experiment, rows))

  def step(batch):
    state = runs.init_state(experiment, batch)
    return runs.train_step(experiment)(state, batch)

  jax.eval_shape(step, batch)


class Trainer:
  """One run in progress: a context manager that holds what the loop touches."""

  def __init__(self, experiment, out, mesh, callbacks, say, profile=""):
    self.experiment, self.out, self.mesh = experiment, out, mesh
    self.callbacks, self.say = callbacks, say
    self.feed = make_feed(experiment, mesh)
    self.look = results.make_look(experiment, mesh)
    self.init = runs.make_init(experiment, mesh)
    self.batch = experiment.run.batch * experiment.run.seeds
    self.profile = Profile(profile, say)
    self.warned = False
    self.stack = contextlib.ExitStack()

  def __enter__(self):
    self.checkpoints = Checkpoints(self.out / "checkpoints")
    self.stack.enter_context(self.checkpoints)
    return self

  def __exit__(self, *exception):
    return self.stack.__exit__(*exception)

  def run(self, *, resume: bool) -> core.TrainState:
    """Steps from the first or the restored state to the end of the run."""
    state, seconds = self._restored() if resume else (self._fresh(), 0.0)
    step, stop = int(core.steps_done(state)), self.experiment.run.steps
    resumed = step if resume else None
    self._open(resumed, Progress(stop, start=step, batch=self.batch))
    self.watch = Stopwatch(step, self.batch, seconds)
    chunked = closing(self.feed.chunks(step, stop))
    with stop_signals() as stopped, chunked as chunks, self.profile:
      for steps, args in chunks:
        self.profile.before(step, state)
        with jax.profiler.StepTraceAnnotation("train", step_num=step):
          state, metrics = self.feed.advance(self._refreshed(state, step), *args)
        step += steps
        self._after(step, state, metrics)
        if step < stop and (signum := self._asked_to_stop(step, stopped)):
          self._interrupt(step, state, metrics, signum)
      jax.block_until_ready(state.params)
    self.checkpoints.wait()
    return state

  def _open(self, resumed, progress):
    """Opens what the first process alone writes: the log and the bar."""
    self.log = self.progress = None
    if processes.first():
      self.log = self.stack.enter_context(MetricsLog(self.out, resume_step=resumed))
      self.progress = self.stack.enter_context(progress)

  def _fresh(self):
    state = self.init()
    self.checkpoints.save(0, state, {"seconds": 0.0})
    return state

  def _restored(self):
    restored = runs.restore_from(self.checkpoints, self.experiment, self.mesh)
    for sentence in restored.skipped:
      self.say(sentence)
    self.say(f"Going on from step {restored.step}.")
    return restored.state, restored.meta["seconds"]

  def _refreshed(self, state, step):
    method, epoch = self.experiment.method, self.feed.epoch
    if method.refresh is None or step % epoch:
      return state
    key = jax.random.fold_in(state.key, step // epoch)
    return method.refresh(state, self.feed.in_order(), key)

  def _after(self, step, state, metrics):
    run, last = self.experiment.run, step == self.experiment.run.steps
    if last or step % run.log_every == 0:
      self._write(step, state, metrics)
    if last or step % run.eval_every == 0:
      self._look(step, state)
    if last or step % run.checkpoint_every == 0:
      self._save(step, state, metrics)

  def _asked_to_stop(self, step, stopped):
    """The signal that some process got, or 0; several agree where they log."""
    if jax.process_count() > 1 and step % self.experiment.run.log_every:
      return 0
    return processes.any_of(stopped[0] if stopped else 0)

  def _record(self, step, values):
    if self.log is not None:
      self.log.write(step, values)

  def _write(self, step, state, metrics):
    found = self._finite(step, metrics)
    values = seeds.mean(found, deviation="loss") | self.watch.lap(step)
    warning = seeds.warning(self.experiment.run, [*map(measures.warning, found)])
    self._record(step, values if warning is None else {**values, "warning": warning})
    self._warn(step, warning)
    if self.progress is not None:
      self.progress.update(step, values["loss"])
    for callback in self.callbacks:
      callback(step, state, values)

  def _look(self, step, state):
    with self.watch.paused():
      found = self.look(state)
    self._record(step, found)
    self._warn(step, found.get("warning"))

  def _warn(self, step, warning):
    """Says a warning where it begins; the log holds it wherever it lasts."""
    if warning is not None and not self.warned:
      self.say(f"Step {step}: {warning}")
    self.warned = warning is not None

  def _save(self, step, state, metrics):
    self._finite(step, metrics)
    if not self.checkpoints.save(step, state, {"seconds": self.watch.seconds()}):
      self._fail(step, "the state")

  def _finite(self, step, metrics):
    """Returns the last step's metrics of each run; fails if a loss is not finite."""
    last = {n: x[-1] for n, x in jax.device_get(metrics).items()}
    found = seeds.by_run(self.experiment.run, last)
    for values in found:
      if not math.isfinite(values["loss"]):
        self._fail(step, f"the loss ({values['loss']})")
    return found

  def _interrupt(self, step, state, metrics, signum):
    self.checkpoints.wait()
    if step not in self.checkpoints.steps():
      self._save(step, state, metrics)
      self.checkpoints.wait()
    raise Interrupted(
      f"Stopped by {signal.Signals(signum).name} at step {step}; the state is saved. "
      f"Go on by: {processes.resumed_by(self.out)}",
      signum,
    )

  def _fail(self, step, what):
    self.checkpoints.wait()
    found = failures.replay(
      self.experiment, self.feed, self._last_good_state(), step, self.out
    )
    raise NonFiniteLoss(f"By step {step} {what} was not finite. {found}")

  def _last_good_state(self):
    if not self.checkpoints.steps():
      return self.init()
    return runs.restore_from(self.checkpoints, self.experiment, self.mesh).state


class Profile:
  """A trace of a few dispatches, after those that compile and warm up."""

  WARM, TRACED = 3, 5  # dispatches

  def __init__(self, folder: str | os.PathLike, say: Callable[[str], None]):
    self.folder, self.say = folder, say
    self.done, self.tracing = 0, False

  def __enter__(self):
    return self

  def __exit__(self, *exception):
    if self.folder and self.done <= self.WARM:
      self.say(f"No trace: the run ended within its {self.WARM} warm-up dispatches.")
    self._stop()

  def before(self, step: int, state: core.TrainState) -> None:
    """Starts or ends the trace before a dispatch; `step` is the next step."""
    if self.folder and self.done == self.WARM:
      jax.profiler.start_trace(self.folder)
      self.tracing = True
      self.say(f"Tracing from step {step} into {self.folder}.")
    if self.tracing and self.done == self.WARM + self.TRACED:
      jax.block_until_ready(state.params)
      self._stop()
    self.done += 1

  def _stop(self):
    if self.tracing:
      self.tracing = False
      jax.profiler.stop_trace()


class Stopwatch:
  """Seconds and examples per second of a run, evaluations left out of the rate."""

  def __init__(self, step: int, batch: int, before: float):
    self.start = self.mark = time.perf_counter()
    self.step, self.batch, self.before = step, batch, before

  def seconds(self) -> float:
    """Seconds of the run so far, those before a resume included."""
    return self.before + time.perf_counter() - self.start

  def lap(self, step: int) -> dict[str, float]:
    """Returns the rate since the last lap, and the seconds so far."""
    now = time.perf_counter()
    rate = (step - self.step) * self.batch / max(now - self.mark, 1e-9)
    self.mark, self.step = now, step
    return {"examples_per_second": rate, "seconds": self.seconds()}

  @contextlib.contextmanager
  def paused(self):
    """Leaves what runs inside out of the rate."""
    start = time.perf_counter()
    yield
    self.mark += time.perf_counter() - start


@contextlib.contextmanager
def stop_signals():
  """Collects SIGINT and SIGTERM in a list instead of dying; the loop looks at it."""
  received: list[int] = []
  if threading.current_thread() is not threading.main_thread():
    yield received
    return
  catch = lambda signum, frame: received.append(signum)
  before = {s: signal.signal(s, catch) for s in (signal.SIGINT, signal.SIGTERM)}
  try:
    yield received
  finally:
    for signum, handler in before.items():
      signal.signal(signum, handler)


def use_compilation_cache() -> None:
  """Keeps compiled programs in a user cache folder, unless one is set already."""
  if jax.config.jax_compilation_cache_dir is not None:
    return
  base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
  jax.config.update("jax_compilation_cache_dir", os.path.join(base, "jaxssl", "xla"))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
  jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _say_start(experiment, out, mesh, say):
  found, run, device = experiment.data, experiment.run, mesh.devices.flat[0]
  if skipped := data.skipped_message(found):
    say(skipped)
  which = f", {seeds.named(run)} in one program," if run.seeds > 1 else ""
  say(
    f"{experiment.name}: {len(found.train):,} examples of {found.name}, {run.steps:,} "
    f"steps of {run.batch}{which} on {mesh.size} {device.platform.upper()} device(s), "
    f"into {out}"
  )
