"""The command line: `jaxssl list | train | eval | embed | report`."""

import argparse
import ctypes
import functools
import inspect
import logging
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from jaxssl.errors import InputError, nearest

USAGE = """\
jaxssl: self-supervised learning in JAX

  jaxssl list                               the experiments: method, data, result, cost
  jaxssl train NAME [--steps N] [--out RUN] pretrain, evaluate, report
  jaxssl train FILE.py:FUNCTION             the same for your own experiment
  jaxssl train --resume RUN                 go on exactly where a run stopped
  jaxssl eval RUN [knn|linear|few-label]    evaluate a run's features
  jaxssl embed RUN --data DATA --out F.npz  features of your own files
  jaxssl report RUN                         write the run's page again

`jaxssl train NAME --help` shows the settings of an experiment."""


def main(argv: Sequence[str] | None = None) -> int:
  """Runs one command; returns the exit code."""
  argv = list(sys.argv[1:] if argv is None else argv)
  if not argv or argv[0] in ("-h", "--help", "help"):
    print(USAGE)
    return 0 if argv else 2
  if argv[0] not in COMMANDS:
    hint = nearest(argv[0], COMMANDS)
    return _error(f"There is no command '{argv[0]}'.{hint}\n\n{USAGE}")
  logging.getLogger("absl").setLevel(logging.ERROR)
  return _guarded(COMMANDS[argv[0]], argv[1:])


def _guarded(command: Callable, argv: Sequence[str]) -> int:
  from jaxssl.checkpoint import CheckpointError
  from jaxssl.train import Interrupted, NonFiniteLoss

  try:
    command(argv)
  except (InputError, CheckpointError, NonFiniteLoss) as error:
    return _error(str(error))
  except Interrupted as stop:
    print(stop)
    return 128 + stop.signum
  return 0


def _error(message: str) -> int:
  print(f"jaxssl: {message}", file=sys.stderr)
  return 2


FEW = 12  # experiments that `list` shows in full


def list_command(argv: Sequence[str]) -> None:
  """Prints the table of experiments; of many, a line each."""
  import rich
  from rich.table import Table

  from jaxssl import registry
  from jaxssl.errors import InputError, nearest

  parser = _parser("list", "Show the registered experiments.")
  parser.add_argument("word", nargs="?", default="", help="part of the name or data")
  word, known = parser.parse_args(argv).word, registry.names()
  shown = {n: e for n, e in known.items() if word in n or word in e.data}
  if not shown:
    raise InputError(f"No experiment matches '{word}'.{nearest(word, known)}")
  brief = len(shown) > FEW
  table = Table(box=None, header_style="bold", caption_justify="left")
  rows = [_list_row(name, entry, brief) for name, entry in shown.items()]
  for title in rows[0]:
    table.add_column(title, no_wrap=brief or title == "experiment")
  table.columns[0].min_width = max(len(row["experiment"]) for row in rows)
  for row in rows:
    table.add_row(*row.values())
  rich.print(table)
  if brief:
    print(f"{len(shown)} experiments; `jaxssl list WORD` shows some in full.")


def _list_row(name, entry, brief):
  if brief:
    return {"experiment": name, "reaches": entry.reaches}
  also = "".join(f"\n({alias})" for alias in entry.aliases)
  rest = {"data": entry.data, "reaches": entry.reaches, "cost": entry.cost}
  return {"experiment": name + also, "method": entry.method, **rest}


def train_command(argv: Sequence[str]) -> None:
  """Trains a registered experiment, a user's own, or goes on with a run."""
  from jaxssl import registry, runs, train

  keep_freed_memory()
  if "--resume" in argv:
    out, rest = _take_resume(argv)
    config = runs.read_config(out)
    entry = registry.find(config["experiment"])
    asked = parse_settings(entry, config["settings"], rest, resume=True)
    train.fit(runs.reopen(out, **asked), out, resume=True)
    return
  if not argv or argv[0].startswith("-"):
    raise InputError("Name an experiment (`jaxssl list` shows them), or --resume RUN.")
  entry = registry.find(argv[0])
  settings = parse_settings(entry, registry.defaults(entry), argv[1:])
  out = settings.pop("out")
  train.fit(registry.build(argv[0], **settings), out)


def keep_freed_memory() -> None:
  """Tells glibc to keep memory that XLA frees, for the next step to use again.

  Giving it back to the system costs a quarter of a CPU step in page faults. Does
  nothing where the C library is another.
  """
  mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
  if sys.platform != "linux" or mallopt is None:
    return
  trim_threshold, top_pad, mmap_threshold = -1, -2, -3
  mallopt(trim_threshold, 2**31 - 1)
  mallopt(top_pad, 2**26)
  mallopt(mmap_threshold, 2**30)


def _take_resume(argv):
  at = argv.index("--resume")
  if at + 1 == len(argv) or argv[at + 1].startswith("-"):
    raise InputError("--resume needs the folder of a run, as in --resume runs/x.")
  rest = [*argv[:at], *argv[at + 2 :]]
  if rest and not rest[0].startswith("-"):
    raise InputError(f"--resume takes no experiment name; leave '{rest[0]}' out.")
  return argv[at + 1], rest


def parse_settings(
  entry, defaults: dict[str, Any], argv: Sequence[str], *, resume: bool = False
) -> dict[str, Any]:
  """Parses `--setting value ...` by an experiment function's signature.

  Args:
    entry: of the registry.
    defaults: every setting with the value that it has if it isn't given.
    argv: the arguments.
    resume: without `--out`.

  Returns:
    Every setting with its value and, unless `resume`, `out`.
  """
  import dataclasses

  try:
    import tyro
  except ImportError as error:
    raise InputError(
      "The command line needs tyro (pip install tyro); from Python use "
      "jaxssl.fit(jaxssl.build(NAME, ...), OUT)."
    ) from error

  out = tyro.conf.arg(help="Folder of the run (default: runs/NAME/N, the next free N).")
  collect = _collector(entry.function, defaults, None if resume else out)
  name = entry.function.__name__
  found = tyro.cli(
    collect,
    args=list(argv),
    prog=f"jaxssl train {name}",
    config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagConversionOff),
  )
  return {**dataclasses.asdict(found.pop("run")), **found}


def _collector(function, defaults, out):
  """The experiment's signature over a function that only returns its arguments."""

  @functools.wraps(function)
  def collect(**settings):
    return settings

  parameters = inspect.signature(function).parameters
  run = parameters["run"]
  shared = {f: defaults[f] for f in vars(run.default)}
  changed = [run.replace(default=type(run.default)(**shared))]
  own = [p for n, p in parameters.items() if n != "run"]
  changed += [p.replace(default=defaults[p.name]) for p in own]
  if out is not None:
    kind, hint = inspect.Parameter.KEYWORD_ONLY, Annotated[pathlib.Path | None, out]
    changed.append(inspect.Parameter("out", kind, default=None, annotation=hint))
  changed = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in changed]
  collect.__signature__ = inspect.Signature(changed)
  collect.__annotations__ = {p.name: p.annotation for p in changed}
  del collect.__wrapped__
  return collect


def eval_command(argv: Sequence[str]) -> None:
  """Evaluates a run and prints its table."""
  from jaxssl import evals, results

  parser = _parser("eval", "Evaluate the features of a run.")
  parser.add_argument("run", help="folder of the run")
  known = tuple(evals.PROTOCOLS)
  parser.add_argument("protocol", nargs="?", choices=known, help="default: all")
  args = parser.parse_args(argv)
  protocols = known if args.protocol is None else (args.protocol,)
  print(evals.as_text(results.evaluate(*_opened(args.run), protocols=protocols)))


def embed_command(argv: Sequence[str]) -> None:
  """Writes the features of the user's own files."""
  from jaxssl import embed

  parser = _parser("embed", "Write features of your own files by a run's encoder.")
  parser.add_argument("run", help="folder of the run")
  parser.add_argument("--data", required=True, help="folder, .npz or tfds:NAME")
  parser.add_argument("--out", required=True, help="the .npz to write")
  parser.add_argument("--patches", action="store_true", help="features before pooling")
  args = parser.parse_args(argv)
  print(embed.embed(args.run, args.data, args.out, patches=args.patches))


def report_command(argv: Sequence[str]) -> None:
  """Writes the report of a run again."""
  from jaxssl import results

  parser = _parser("report", "Write the report of a run again.")
  parser.add_argument("run", help="folder of the run")
  args = parser.parse_args(argv)
  experiment, state, mesh = _opened(args.run)
  page = results.write_report(experiment, pathlib.Path(args.run), state, mesh)
  print(f"The report is {page}")


def _opened(run):
  """Returns experiment, newest state and a mesh of one device of a run's folder."""
  import jax

  from jaxssl import runs
  from jaxssl.mesh import data_mesh
  from jaxssl.train import use_compilation_cache

  use_compilation_cache()
  mesh = data_mesh(jax.devices()[:1])
  experiment = runs.reopen(run)
  restored = runs.restore(run, experiment, mesh)
  for sentence in restored.skipped:
    print(sentence)
  return experiment, restored.state, mesh


def _parser(command, description):
  return argparse.ArgumentParser(prog=f"jaxssl {command}", description=description)


COMMANDS = {
  "list": list_command,
  "train": train_command,
  "eval": eval_command,
  "embed": embed_command,
  "report": report_command,
}

if __name__ == "__main__":
  sys.exit(main())
