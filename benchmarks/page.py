"""The page a benchmark writes: tables, and the command, machine and versions behind.

Needs the standard library alone, so that it serves environments without JAX too.
"""

import argparse
import importlib.metadata
import os
import pathlib
import platform
import shlex
import sys
from collections.abc import Iterable, Sequence

RESULTS = pathlib.Path(__file__).parent / "results"
QUICK = pathlib.Path("runs") / "quick"
PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy")


def parser(doc: str, name: str) -> argparse.ArgumentParser:
  """Returns a parser with the options that every benchmark has.

  Args:
    doc: the script's docstring; its first line describes it.
    name: of the page, without ".md".

  Returns:
    The parser.
  """
  made = argparse.ArgumentParser(description=doc.split("\n")[0])
  made.add_argument(
    "--quick", action="store_true", help=f"tiny sizes, to try it; writes to {QUICK}"
  )
  made.add_argument("--out", type=pathlib.Path, help="the page")
  made.set_defaults(page=name)
  return made


def path_of(options: argparse.Namespace) -> pathlib.Path:
  """Returns where the page goes; its folder exists then."""
  folder = QUICK if options.quick else RESULTS
  path = options.out or folder / f"{options.page}.md"
  path.parent.mkdir(parents=True, exist_ok=True)
  return path


def write(options: argparse.Namespace, *parts: str) -> None:
  """Writes the page, its parts separated by empty lines, and prints it."""
  text = "\n\n".join(part.strip() for part in parts) + "\n"
  path_of(options).write_text(text)
  print(f"\n{text}", end="", flush=True)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
  """Returns a Markdown table; columns after the first are aligned to the right."""
  lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
  return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def conditions(*more: str) -> str:
  """Returns a sentence on command, machine and versions.

  Args:
    *more: what else belongs there, such as versions of other environments.
  """
  parts = [f"`{command()}`", machine(), versions(PACKAGES), *more]
  return "; ".join(part for part in parts if part) + "."


def command() -> str:
  """Returns the command that was given; folders of this machine become "..."."""
  script, *given = sys.argv
  shown = [_without_folder(word) for word in given]
  return shlex.join(["python", f"benchmarks/{pathlib.Path(script).name}", *shown])


def _without_folder(word):
  option, equals, value = word.rpartition("=")
  short = f".../{pathlib.Path(value).name}" if value.startswith("/") else value
  return f"{option}{equals}{short}"


def machine() -> str:
  """Returns processor, cores and the load before."""
  load = f", load {os.getloadavg()[0]:.1f} at the end" if os.name == "posix" else ""
  return f"{processor()}, {cores()} cores{load}; Python {platform.python_version()}"


def processor() -> str:
  """Returns the processor's name, as far as the system tells it."""
  path = pathlib.Path("/proc/cpuinfo")
  lines = path.read_text().splitlines() if path.is_file() else []
  names = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
  return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
  """Returns the cores that this process may use."""
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def versions(packages: Iterable[str]) -> str:
  """Returns "name 1.2.3" of the packages that are installed."""
  found = []
  for name in packages:
    try:
      found.append(f"{name} {importlib.metadata.version(name)}")
    except importlib.metadata.PackageNotFoundError:
      continue
  return ", ".join(found)
