"""Against the peers on one machine, in one run, alternating: SimCLR end to end.

  python benchmarks/peers.py --python PYTHON

PYTHON is the interpreter of an environment with `pip install -e '.[bench]'` (PyTorch,
lightly, stable-pretraining; without it, this one); peers that it can't import are left
out. ResNet-18 with the stem for small images, and a ConvNet of four convolutions: uint8
images of 32 pixels in memory, two views each (SimCLR's, without blur), forward,
backward, SGD; a batch of 256, float32. And the augmentation alone, on one core.

Each competitor is a process of its own. They take turns for a few steps; whose turn it
isn't is stopped, its helpers too, so that none works ahead or disturbs the others. The
ratios are medians over the rounds. Ours and lightly's training are compared twice, the
second time with memory in huge pages for both (`GLIBC_TUNABLES`). Writes
`benchmarks/results/peers.md`.
"""

import argparse
import contextlib
import importlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

import page
from workers.setting import setting

ROOT = pathlib.Path(__file__).resolve().parent.parent
OURS = "jaxssl"
MODULES = {OURS: "ours", "lightly": "lightly_torch", "stable": "stable"}
TASKS = {  # competitors, and steps of a turn
  "resnet18": ((OURS, "lightly", "stable"), 1),
  "convnet": ((OURS, "lightly", "stable"), 4),
  "resnet18_huge": ((OURS, "lightly"), 1),
  "convnet_huge": ((OURS, "lightly"), 4),
  "views": ((OURS, "lightly"), 4),
}
HUGE = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # read as a process starts
TITLES = {
  "resnet18": "SimCLR, ResNet-18, end to end",
  "convnet": "SimCLR, ConvNet of four convolutions, end to end",
  "resnet18_huge": "SimCLR, ResNet-18, memory in huge pages",
  "convnet_huge": "SimCLR, ConvNet of four convolutions, memory in huge pages",
  "views": "Augmentation alone, on one core (two views an image)",
}
FLOORS = ("resnet18", "convnet")  # what a sentence on the arithmetic is made for
NAMES = {OURS: OURS, "lightly": "lightly (PyTorch)", "stable": "stable-pretraining"}


class Competitor:
  """A worker process that is stopped unless it's its turn."""

  def __init__(self, name: str, task: str, options: argparse.Namespace):
    python = sys.executable if name == OURS else options.python
    quick = ["--quick"] if options.quick else []
    net, _, huge = task.partition("_")
    given = [__file__, "--worker", name, "--task", net, *quick]
    own = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", **(HUGE if huge else {})}
    self.process = subprocess.Popen(
      [python, *given],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
      env={**os.environ, **own},
      start_new_session=True,  # its helpers are stopped with it
    )
    self.name, self.ready = name, self._answer()
    if "missing" not in self.ready:
      self._signal(signal.SIGSTOP)

  def turn(self, steps: int) -> float:
    """Returns the seconds that it takes for so many steps."""
    self._signal(signal.SIGCONT)
    self._tell(f"go {steps}")
    found = self._answer()
    if "missing" in found:
      raise SystemExit(f"{NAMES[self.name]} ended while it worked; see above.")
    self._signal(signal.SIGSTOP)
    return found["seconds"]

  def close(self) -> None:
    """Ends the process; by force if it doesn't listen."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
      self._signal(signal.SIGCONT)
      self._tell("end")
      self.process.wait(30)
    with contextlib.suppress(ProcessLookupError):
      self._signal(signal.SIGKILL)
    self.process.wait()

  def _answer(self):
    line = self.process.stdout.readline()
    return json.loads(line) if line else {"missing": "its process ended"}

  def _tell(self, words):
    self.process.stdin.write(words + "\n")
    self.process.stdin.flush()

  def _signal(self, number):
    os.killpg(self.process.pid, number)


def compete(task: str, options: argparse.Namespace) -> dict:
  """Returns all competitors' seconds a step by round, versions, and who is missing."""
  names, steps = TASKS[task]
  found = {"seconds": [], "versions": {}, "missing": {}}
  with contextlib.ExitStack() as stack:
    ready = []
    for name in names:
      one = Competitor(name, task, options)
      stack.callback(one.close)
      if "missing" in one.ready:
        found["missing"][name] = one.ready["missing"]
        continue
      found["versions"][name] = one.ready["versions"]
      ready.append(one)
      print(f"{task}: {name} is ready ({one.ready['versions']})", flush=True)
    for round in range(options.rounds):
      found["seconds"].append(one_round(ready, steps, round))
      print(f"{task}, round {round + 1}: {found['seconds'][-1]}", flush=True)
  return found


def one_round(ready: list[Competitor], steps: int, number: int) -> dict[str, float]:
  """Lets each take its turn, another one first in every round; seconds a step."""
  first = number % len(ready)
  order = ready[first:] + ready[:first]
  return {one.name: one.turn(steps) / steps for one in order}


def section(task: str, found: dict, options: argparse.Namespace) -> str:
  """The part of the page on one task."""
  batch, rounds = setting(task, quick=options.quick).batch, found["seconds"]
  rows = []
  for name in found["versions"]:
    seconds = statistics.median(r[name] for r in rounds)
    ratios = [r[name] / r[OURS] for r in rounds]
    spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
    rate = f"{batch / seconds:,.0f}"
    rows.append([NAMES[name], rate, f"{seconds:.3f}", "" if name == OURS else spread])
  header = ["", "images/s", f"seconds for {batch}", "time against ours (least–most)"]
  missing = [
    f"{NAMES[name]} is left out: {why}." for name, why in found["missing"].items()
  ]
  after = [*missing, *([floor(task, options)] if task in FLOORS else [])]
  return "\n\n".join([f"## {TITLES[task]}", page.table(header, rows), *after])


def floor(task: str, options: argparse.Namespace) -> str:
  """A sentence on what the arithmetic of a step takes at least."""
  from workers import ours

  work, rate = ours.work_and_rate(setting(task, quick=options.quick))
  return (
    f"Our step has {work:.3g} FLOPs as it is compiled: {work / rate:.3f} s at the "
    f"{rate / 1e9:.0f} GFLOP/s of XLA's product of two matrices."
  )


def serve(name: str, task: str, *, quick: bool) -> None:
  """A worker: answers each "go STEPS" on the input by the seconds that they took."""
  answers = os.fdopen(os.dup(1), "w")
  os.dup2(2, 1)  # what libraries print is no answer
  say = lambda **answer: print(json.dumps(answer), file=answers, flush=True)
  if task == "views" and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
  try:
    module = importlib.import_module(f"workers.{MODULES[name]}")
    advance = module.make(setting(task, quick=quick))
  except ImportError as error:
    say(missing=str(error))
    return
  advance(2)  # compiles, and starts what starts once
  say(versions=page.versions(module.PACKAGES))
  for line in sys.stdin:
    word, *steps = line.split()
    if word != "go":
      break
    start = time.perf_counter()
    advance(int(steps[0]))
    say(seconds=time.perf_counter() - start)


def parse() -> argparse.Namespace:
  """The options."""
  parser = page.parser(__doc__, "peers")
  parser.add_argument("--python", default=sys.executable, help="the peers' interpreter")
  parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
  parser.add_argument("--rounds", type=int)
  parser.add_argument("--worker", choices=MODULES, help=argparse.SUPPRESS)
  parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
  options = parser.parse_args()
  options.rounds = options.rounds or (2 if options.quick else 7)
  return options


def main() -> None:
  """Competes in all tasks and writes the page; or is a worker."""
  options = parse()
  if options.worker:
    serve(options.worker, options.task, quick=options.quick)
    return
  signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and ends the workers
  found = {task: compete(task, options) for task in options.tasks}
  sizes = setting("", quick=options.quick)
  versions = {v for f in found.values() for v in f["versions"].values()}
  page.write(
    options,
    "SimCLR of jaxssl and of its peers on one machine, in one run, in turns: a batch "
    f"of {sizes.batch} uint8 images of {sizes.side} pixels in memory, two views each "
    f"without blur, float32, SGD; medians of {options.rounds} rounds. "
    "lightly's two `DataLoader` workers share the cores with its net, which is "
    "channels-last; stable-pretraining gets our views (its own augmentation is another "
    "one), and its head has no batch norm.",
    page.conditions(*sorted(versions)),
    *[section(task, found[task], options) for task in options.tasks],
    keep=len(options.tasks) < len(TASKS),
  )


if __name__ == "__main__":
  main()
