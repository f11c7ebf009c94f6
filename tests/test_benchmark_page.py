"""A benchmark's page keeps what another command measured."""

import importlib.util
import pathlib

PATH = pathlib.Path(__file__).parents[1] / "benchmarks" / "page.py"


def _page():
  spec = importlib.util.spec_from_file_location("benchmark_page", PATH)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


page = _page()
HEADER = ("method", "accuracy")


def _text(*rows, heading="## Digits"):
  return f"{heading}\n\n{page.table(HEADER, rows)}\n"


def test_rows_that_only_the_old_page_has_stay_behind_the_ones_they_followed(tmp_path):
  path = tmp_path / "page.md"
  path.write_text(_text(("a", 1), ("b", 2), ("c", 3)))
  made = page.keep_rows(_text(("a", 10), ("c", 30)), path)
  assert made == _text(("a", 10), ("b", 2), ("c", 30)) + page.KEPT


def test_first_rows_and_runs_of_rows_stay_in_their_order(tmp_path):
  path = tmp_path / "page.md"
  path.write_text(_text(("a", 1), ("b", 2), ("c", 3), ("d", 4)))
  made = page.keep_rows(_text(("d", 40)), path)
  assert made.startswith(_text(("a", 1), ("b", 2), ("c", 3), ("d", 40)))


def test_nothing_is_kept_of_another_heading_or_of_other_columns(tmp_path):
  path = tmp_path / "page.md"
  new = _text(("a", 10))
  path.write_text(_text(("b", 2), heading="## Clothes"))
  assert page.keep_rows(new, path) == new
  path.write_text(_text(("b", 2)).replace("accuracy", "seconds"))
  assert page.keep_rows(new, path) == new


def test_nothing_is_kept_where_two_rows_have_one_name(tmp_path):
  path = tmp_path / "page.md"
  path.write_text(_text(("a", 1), ("a", 2), ("b", 3)))
  new = _text(("a", 10))
  assert page.keep_rows(new, path) == new


def test_a_first_page_is_written_as_it_is(tmp_path):
  new = _text(("a", 1))
  assert page.keep_rows(new, tmp_path / "page.md") == new


def test_a_command_names_no_folder_of_the_machine(monkeypatch):
  given = ["/home/me/benchmarks/words.py", "--data", "/home/me/data", "--seeds", "0"]
  monkeypatch.setattr("sys.argv", given)
  assert page.command() == "python benchmarks/words.py --data .../data --seeds 0"
