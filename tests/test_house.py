"""The house: which floor may import which, and how long things may be."""

import ast
import pathlib
import re
import statistics

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLOORS = (
  ("errors", "ops", "data"),
  ("losses", "augment"),
  ("core", "models", "mesh", "checkpoint", "log", "optim"),
  ("methods", "evals", "report"),
  (
    "ranges",
    "registry",
    "hlo",
    "seeds",
    "processes",
    "lifeline",
    "runs",
    "measures",
    "feeds",
    "failures",
    "results",
    "train",
    "plan",
  ),
  ("presets",),
  ("embed", "cli", "experiments"),
)
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}
FILES = sorted((ROOT / "jaxssl").rglob("*.py"))
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.py"))


def part(path):
  """The name of the module or folder directly below the package."""
  inside = path.relative_to(ROOT / "jaxssl")
  return inside.parts[0].removesuffix(".py")


def imported(tree):
  """All parts of the package that a file imports, anywhere in it."""
  for node in ast.walk(tree):
    if isinstance(node, ast.Import):
      yield from (
        a.name.split(".")[1] for a in node.names if a.name.startswith("jaxssl.")
      )
    elif isinstance(node, ast.ImportFrom) and node.module == "jaxssl":
      yield from (a.name for a in node.names)
    elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("jaxssl."):
      yield node.module.split(".")[1]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downward(path):
  if path.parent.name == "jaxssl" and path.name == "__init__.py":
    return  # hands names on lazily
  own = FLOOR[part(path)]
  parts = set(imported(ast.parse(path.read_text()))) - {"experiment", "build"}
  above = {p for p in parts if FLOOR[p] > own}
  assert not above, f"{path.name} imports {above} from above"


def test_same_floor_has_no_circles():
  graph = {}
  for path in FILES:
    if path.name == "__init__.py" and path.parent.name == "jaxssl":
      continue
    mine = part(path)
    needs = {p for p in imported(ast.parse(path.read_text())) if p != mine}
    graph.setdefault(mine, set()).update(needs)
  done = []
  while len(done) < len(graph):
    free = [n for n in graph if n not in done and graph[n] <= set(done)]
    assert free, f"a circle among {sorted(set(graph) - set(done))}"
    done += free


def test_nothing_imports_experiments():
  for path in FILES:
    assert "experiments" not in set(imported(ast.parse(path.read_text()))), path


def body_lines(node):
  """Lines of a function without its docstring."""
  body = node.body[1:] if ast.get_docstring(node) else node.body
  return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def functions():
  for path in FILES + EXPERIMENTS:
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield path, node


def test_functions_are_short():
  sizes = {f"{p.name}:{f.name}": body_lines(f) for p, f in functions()}
  assert not {name: n for name, n in sizes.items() if n > 60}
  assert statistics.median(sizes.values()) <= 8
  assert sorted(sizes.values())[int(0.9 * len(sizes))] < 30


def test_what_is_public_is_documented():
  for path in FILES + EXPERIMENTS:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    for node in tree.body:
      if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
        assert ast.get_docstring(node), f"{path}: {node.name} has no docstring"


def test_no_module_is_large():
  for path in FILES:
    assert len(path.read_text().splitlines()) <= 600, path


def test_heavy_packages_are_imported_where_they_are_used():
  lazy = {
    "tyro",
    "tensorflow_datasets",
    "grain",
    "matplotlib",
    "sklearn",
    "tensorboardX",
  }
  for path in FILES:
    for node in ast.parse(path.read_text()).body:
      names = [a.name for a in getattr(node, "names", [])]
      if isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
      tops = (
        {n.split(".")[0] for n in names}
        if isinstance(node, ast.Import | ast.ImportFrom)
        else set()
      )
      assert not tops & lazy, f"{path.name} imports {tops & lazy} at its top"


def test_no_path_of_the_machine_it_was_made_on():
  pattern = re.compile(r"/home/|/root/|/Users/")
  for path in FILES + EXPERIMENTS + [ROOT / "README.md"]:
    assert not pattern.search(path.read_text()), path


def test_requirements_have_lower_bounds():
  for line in (ROOT / "requirements.txt").read_text().split("\n"):
    assert not line or re.fullmatch(r"[A-Za-z_-]+>=[\d.]+", line), line
