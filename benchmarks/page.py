"""The page a benchmark writes: tables, and the command, machine and versions behind.

Needs the standard library alone, so that it serves environments without JAX too.
"""

import argparse
import importlib.metadata
import itertools
import os
import pathlib
import platform
import re
import shlex
import sys
from collections.abc import Iterable, Sequence

RESULTS = pathlib.Path(__file__).parent / "results"
QUICK = pathlib.Path("runs") / "quick"
KEPT = "\nRows that this command did not make are of earlier ones.\n"
MADE = ("`python benchmarks/", "Made by `python", KEPT.strip())  # tells of a command
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


def write(options: argparse.Namespace, *parts: str, keep: bool = True) -> None:
  """Writes the page, its parts separated by empty lines, and prints it.

  Args:
    options: of the command.
    *parts: of the page.
    keep: whether its tables keep those rows of the page that is there whose names none
      of the new ones has, so that one method can be measured without all the others.
  """
  text, path = "\n\n".join(part.strip() for part in parts) + "\n", path_of(options)
  if keep and not options.quick:
    text = keep_rows(text, path)
  path.write_text(text)
  print(f"\n{text}", end="", flush=True)


def keep_rows(text: str, path: pathlib.Path) -> str:
  """Returns the text of a page with the rows and sections that only the old one has.

  Args:
    text: of the new page.
    path: of the page that may be there. A table is the same if it stands under the same
      heading and has the same columns, a row if its first cell is the same, a section
      if its heading is; nothing is kept of tables with rows that share a first cell.

  Returns:
    The new page, each kept row behind the one that it followed, each kept section at
    the end.
  """
  old = path.read_text() if path.is_file() else ""
  there = {(where, table[0]): table for where, table in _tables(old)}
  kept = 0
  for where, table in _tables(text):
    merged = _merged(table, there.get((where, table[0]), []))
    kept += len(merged) - len(table)
    text = text.replace("\n".join(table), "\n".join(merged), 1)
  sections, new = _sections(old), _sections(text)
  left = [_own(section, text) for name, section in sections.items() if name not in new]
  return "\n".join([text, *left]) + (KEPT if kept or left else "")


def _own(section, text):
  """A kept section without the paragraphs that the new page has anyway."""
  return "\n\n".join(x for x in section.split("\n\n") if x.strip() not in text) + "\n"


def _sections(text):
  """The sections by their headings, without what tells of the command."""
  parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
  own = lambda part: [x for x in part.strip().split("\n\n") if not x.startswith(MADE)]
  return {part.split("\n")[0]: "\n\n".join(own(part)) + "\n" for part in parts}


def _tables(text):
  """Yields the heading above and the lines of each table."""
  heading, lines = "", []
  for line in [*text.splitlines(), ""]:
    if line.startswith("|"):
      lines.append(line)
      continue
    if lines:
      yield heading, lines
    heading, lines = (line if line.startswith("#") else heading), []


def _merged(new, old):
  """The new lines and those old ones whose first cells they lack."""
  name = lambda line: line.split("|")[1].strip()
  names, merged = set(map(name, new)), list(new)
  if len(set(map(name, old))) < len(old) or len(names) < len(new):
    return new
  for before, line in itertools.pairwise(old):
    if name(line) not in names:
      at = [name(x) for x in merged].index(name(before))
      merged.insert(at + 1, line)
  return merged


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
