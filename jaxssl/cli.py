"""The command line: `jaxssl list | train | plan | eval | embed | report`."""

import argparse
import ctypes
import functools
import inspect
import json
import logging
import pathlib
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NamedTuple

from jaxssl.errors import InputError, nearest

USAGE = """\
jaxssl: self-supervised learning in JAX

  jaxssl list                               the experiments: method, data, result, cost
  jaxssl train NAME [--steps N] [--out RUN] pretrain, evaluate, report
  jaxssl train FILE.py:FUNCTION             the same for your own experiment
  jaxssl train --resume RUN                 go on exactly where a run stopped
  jaxssl train NAME --distributed           in all processes of a cluster at once
  jaxssl train NAME --seeds 8               8 seeds as one program: mean and deviation
  jaxssl plan NAME --topology v5e:4x4       what a run takes on chips not here
  jaxssl train NAME --topology v5e:4x4      the settings registered for that slice
  jaxssl eval RUN [knn|linear|few-label]    evaluate a run's features
  jaxssl eval RUN finetune                  train all of it on 1, 10 and 100 % of labels
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
  """Returns a command's exit code; one of several processes ends on any error.

  If it waited for the others to shut down as well, they would wait for it.
  """
  from jaxssl import processes

  try:
    code = _code(command, argv)
  except SystemExit as stop:  # of the parser, which has said why
    if not processes.joined():
      raise
    processes.leave(stop.code)
  except (Exception, KeyboardInterrupt):
    if not processes.joined():
      raise
    traceback.print_exc()
    processes.leave(1)
  if code == 2 and processes.joined():
    processes.leave(code)
  return code


def _code(command, argv):
  """Runs a command; returns its exit code, after a sentence on what went wrong."""
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
    fixed = brief or title == "experiment"
    table.add_column(title, no_wrap=fixed, overflow="ellipsis")
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
  slices = "".join(f"\n--topology {name}" for name in entry.slices)
  rest = {"data": entry.data, "reaches": entry.reaches, "cost": entry.cost + slices}
  return {"experiment": name + also, "method": entry.method, **rest}


def train_command(argv: Sequence[str]) -> None:
  """Trains a registered experiment, a user's own, or goes on with a run."""
  from jaxssl import registry, runs, train

  keep_freed_memory()
  argv = _join_processes(argv)
  out, rest = _take_resume(argv)
  if out is not None:
    config = runs.read_config(out)
    entry = registry.find(config["experiment"])
    _, rest = on_slice(entry, rest)  # its mesh alone: settings are the run's
    options = {n: LAUNCH[n] for n in ("mesh", "profile")}
    asked = parse_settings(entry, config["settings"], rest, options)
    launch = _launch(asked)
    train.fit(runs.reopen(out, **asked), out, resume=True, **launch)
    return
  if not argv or argv[0].startswith("-"):
    raise InputError("Name an experiment (`jaxssl list` shows them), or --resume RUN.")
  entry = registry.find(argv[0])
  settings, rest = on_slice(entry, argv[1:])
  settings = parse_settings(entry, settings, rest, LAUNCH)
  out, launch = settings.pop("out"), _launch(settings)
  train.fit(registry.build(argv[0], **settings), out, **launch)


def on_slice(entry: Any, argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
  """Takes `--topology` out of the arguments.

  Returns:
    The experiment's defaults on that slice, and the other arguments, a mesh among them.
  """
  from jaxssl import registry

  parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
  parser.add_argument("--topology", default="")
  args, rest = parser.parse_known_args(argv)
  if args.topology and args.topology not in entry.slices:
    known = ", ".join(entry.slices) or "none"
    raise InputError(
      f"{entry.function.__name__} has no settings for a slice "
      f"'{args.topology}'.{nearest(args.topology, entry.slices)} It has: {known}."
    )
  settings, mesh = registry.on_slice(entry, args.topology)
  return settings, ["--mesh", mesh, *rest] if mesh else rest


def _join_processes(argv):
  """Takes `--distributed` and what belongs to it out of the arguments, and obeys."""
  from jaxssl import processes

  parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
  parser.add_argument("--distributed", action="store_true")
  parser.add_argument("--coordinator", default="")
  parser.add_argument("--num-processes", type=int)
  parser.add_argument("--process-id", type=int)
  args, rest = parser.parse_known_args(argv)
  given = {"processes": args.num_processes, "process": args.process_id}
  if args.distributed or args.coordinator or any(n is not None for n in given.values()):
    processes.start(args.coordinator, **given)
  return rest


def _launch(settings):
  """Takes where and how to run out of the settings, as arguments of `fit`."""
  from jaxssl.mesh import make_mesh

  mesh, profile = settings.pop("mesh"), settings.pop("profile")
  return {"mesh": make_mesh(mesh) if mesh else None, "profile": profile}


class Option(NamedTuple):
  """An option of a command that is no setting of the experiment."""

  kind: Any
  default: Any
  help: str


LAUNCH = {
  "out": Option(
    pathlib.Path | None, None, "Folder of the run (default: the next runs/NAME/N)."
  ),
  "mesh": Option(
    str, "", "Axes and sizes: data=4,fsdp=2 (default: all on data; resumed: the run's)."
  ),
  "profile": Option(str, "", "Folder for a trace of warm steps (xprof, Perfetto)."),
}


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
  """Takes `--resume` out of the arguments: the run's folder or None, and the others."""
  parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
  parser.add_argument("--resume", nargs="?", const="")
  args, rest = parser.parse_known_args(argv)
  if args.resume == "":
    raise InputError("--resume needs the folder of a run, as in --resume runs/x.")
  if args.resume is not None and rest and not rest[0].startswith("-"):
    raise InputError(f"--resume takes no experiment name; leave '{rest[0]}' out.")
  return args.resume, rest


def parse_settings(
  entry, defaults: dict[str, Any], argv: Sequence[str], options: dict[str, Option]
) -> dict[str, Any]:
  """Parses `--setting value ...` by an experiment function's signature.

  Args:
    entry: of the registry.
    defaults: every setting with the value that it has if it isn't given.
    argv: the arguments.
    options: further options that are parsed along.

  Returns:
    Every setting and option with its value.
  """
  import dataclasses

  try:
    import tyro
  except ImportError as error:
    raise InputError(
      "The command line needs tyro (pip install tyro); from Python use "
      "jaxssl.fit(jaxssl.build(NAME, ...), OUT)."
    ) from error

  parameters = [
    inspect.Parameter(
      name,
      inspect.Parameter.KEYWORD_ONLY,
      default=option.default,
      annotation=Annotated[option.kind, tyro.conf.arg(help=option.help)],
    )
    for name, option in options.items()
  ]
  collect = _collector(entry.function, defaults, parameters)
  name = entry.function.__name__
  found = tyro.cli(
    collect,
    args=list(argv),
    prog=f"jaxssl train {name}",
    description=f"{_summary(entry.function)}\n\n{ALSO}",
    config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagConversionOff),
  )
  return {**dataclasses.asdict(found.pop("run")), **found}


ALSO = """\
Options beside the settings below:
  --topology v5e:4x4        start from what is registered for that slice
  --resume RUN              go on with a run, in place of the name and --out
  --distributed             join the processes of a cluster (TPU, SLURM, Open MPI)
  --coordinator HOST:PORT --num-processes N --process-id I
                            join N processes by hand; I is this one's number, from 0"""


def _summary(function):
  """What a docstring says before its arguments."""
  return (inspect.getdoc(function) or "").partition("\n\nArgs:")[0]


def _collector(function, defaults, options):
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
  changed += options
  changed = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in changed]
  collect.__signature__ = inspect.Signature(changed)
  collect.__annotations__ = {p.name: p.annotation for p in changed}
  del collect.__wrapped__
  return collect


def eval_command(argv: Sequence[str]) -> None:
  """Evaluates a run and prints its table."""
  from jaxssl import evals, results

  parser = _parser("eval", "Evaluate the features of a run, or fine-tune its encoder.")
  parser.add_argument("run", help="folder of the run")
  known, help = tuple(evals.PROTOCOLS), "default: all but nearest and finetune"
  parser.add_argument("protocol", nargs="?", choices=(*known, "finetune"), help=help)
  _add_finetune_options(parser)
  options = vars(parser.parse_args(argv))
  run, protocol = options.pop("run"), options.pop("protocol")
  if protocol == "finetune":
    _show_kept(run, protocol, _finetune(run, options))
    return
  if options:
    flag = "--" + next(iter(options)).replace("_", "-")
    raise InputError(f"{flag} is for fine-tuning: jaxssl eval RUN finetune {flag} ...")
  protocols = evals.USUAL if protocol is None else (protocol,)
  experiment, state, mesh = _opened(run)
  table = results.evaluate(experiment, state, mesh, protocols=protocols)
  if protocol in results.KEPT and table.rows:
    results.keep(pathlib.Path(run), protocol, table, state)
  _show_kept(run, protocol, table)
  if protocol is None and (found := results.task_scores(experiment, state, mesh)):
    print(results.task_lines(experiment, found))


def _show_kept(run, protocol, table):
  """Prints a table, and where it was kept if it was."""
  from jaxssl import evals, results

  print(evals.as_text(table))
  if protocol in results.KEPT and table.rows:
    print(f"Kept in {run}/{protocol}.json; `jaxssl report {run}` shows it on the page.")


FINETUNE_HELP = {
  "epochs": "passes over the labelled examples",
  "minimum_steps": "few examples get more epochs, up to these steps",
  "batch": "examples a step",
  "learning_rate": "AdamW's highest",
  "weight_decay": "AdamW's, of weights but a ViT's positions and class token",
  "layer_decay": "in a ViT, the rate of a block over that of the next",
  "drop_path": "stochastic depth of the last residual branch",
  "label_smoothing": "share of the target that all classes have alike",
  "mixup": "parameter of the Beta distribution; 0 mixes nothing",
}


def _add_finetune_options(parser):
  """Adds the options of fine-tuning; those that aren't given don't appear."""
  from jaxssl import evals, results

  add = functools.partial(
    parser.add_argument_group("finetune").add_argument, default=argparse.SUPPRESS
  )
  shares = "shares of the labels of each class (0.01 0.1 1.0)"
  add("--fractions", type=float, nargs="+", metavar="SHARE", help=shares)
  views = "the run's first view, crop and flip, or nothing (views)"
  add("--augment", choices=results.AUGMENTS, help=views)
  for name, default in evals.RECIPE._asdict().items():
    words = f"{FINETUNE_HELP[name]} ({default})"
    add(f"--{name.replace('_', '-')}", type=type(default), metavar="N", help=words)
  add("--seed", type=int, metavar="N", help="draws labels, order and views (0)")


def _finetune(run, options):
  from jaxssl import evals, results

  chosen = {n: options.pop(n) for n in evals.RECIPE._fields if n in options}
  recipe = evals.RECIPE._replace(**chosen)
  evals.check_recipe(recipe, fractions=options.get("fractions", ()))
  experiment, state, mesh = _opened(run)
  out = pathlib.Path(run)
  return results.finetune(experiment, out, state, mesh, recipe=recipe, **options)


def plan_command(argv: Sequence[str]) -> None:
  """Says what a run would take, for chips that are here or not."""
  from jaxssl import plan, registry
  from jaxssl.mesh import make_mesh

  parser = _parser("plan", "Say what a run takes. Settings as for `jaxssl train`.")
  parser.add_argument("name", help="experiment")
  help = "v5e:4x4, v6e:16x16, v4:2x2x4...; default: the devices of this machine"
  parser.add_argument("--topology", default="", help=help)
  parser.add_argument("--mesh", default="", help="axes and sizes: data=8,fsdp=2")
  most = "also find the largest batch that fits, up to this"
  parser.add_argument("--find-batch", type=int, metavar="MOST", help=most)
  less = "let the TPUs' compiler try less: sooner; memory within a tenth or so"
  parser.add_argument("--fast", action="store_true", help=less)
  parser.add_argument("--json", action="store_true", help="for programs")
  args, rest = parser.parse_known_args(argv)
  entry = registry.find(args.name)
  settings, axes = registry.on_slice(entry, args.topology)
  settings = parse_settings(entry, plan.without_data(entry, settings), rest, {})
  mesh = make_mesh(args.mesh or axes, plan.devices_of(args.topology))
  build = lambda batch: registry.build(args.name, **{**settings, "batch": batch})
  where = {"topology": args.topology, "fast": args.fast}
  of = functools.partial(plan.plan, mesh=mesh, **where)
  experiment = build(settings["batch"])
  asked = None if args.find_batch is None else _searched(experiment, mesh, args)
  made, found = of(experiment), {}
  if not args.json:
    print(plan.as_text(made))
  if asked or (made.fits is False and made.memory_bytes):
    tried = asked or plan.batches(experiment, mesh, most=made.batch)
    rows, _ = plan.largest_batch(lambda batch: of(build(batch)), tried)
    found = {"largest_batch": rows}
    print(f"largest batch that fits, up to {tried[-1]:,}: {rows:,}", file=sys.stderr)
  if args.json:
    print(json.dumps({**made._asdict(), **found}))
  if made.fits is False:
    raise InputError(f"{args.name} does not fit; see above.")


def _searched(experiment, mesh, args):
  """The batches among which the largest is looked for, if that can be found out."""
  from jaxssl import plan

  if plan.memory_of(mesh, args.topology) is None:
    raise InputError(
      "The memory of this device is not known, so --find-batch cannot say what fits; "
      "leave it out, or name a slice by --topology."
    )
  return plan.batches(experiment, mesh, most=args.find_batch)


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
  "plan": plan_command,
  "eval": eval_command,
  "embed": embed_command,
  "report": report_command,
}

if __name__ == "__main__":
  sys.exit(main())
