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


def test_no_row_is_kept_under_another_heading_or_in_other_columns(tmp_path):
  path = tmp_path / "page.md"
  new = _text(("a", 10))
  path.write_text(_text(("b", 2), heading="# Clothes"))
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


def test_a_section_that_the_new_page_lacks_is_kept(tmp_path):
  """One method can be measured without the data of the others."""
  path = tmp_path / "page.md"
  told = "`python benchmarks/x.py a`; a machine."
  path.write_text(
    f"# P\n\n## A\n\nabout a\n\n{page.table(HEADER, [('a', 1)])}\n\n{told}\n"
  )
  made = page.keep_rows("# P\n\n## B\n\nnew\n", path)
  assert made.startswith("# P\n\n## B\n\nnew\n\n## A\n\nabout a\n\n")
  assert "| a | 1 |" in made and told not in made
  assert made.endswith(page.KEPT)
  noted = made.replace("about a", "about a\n\nnew")  # a sentence that both have
  path.write_text(noted)
  assert page.keep_rows("# P\n\n## B\n\nnew\n", path).count("new") == 1
  path.write_text(made)
  again = page.keep_rows("# P\n\n## A\n\nother\n\n## B\n\nnewer\n", path)
  assert again == "# P\n\n## A\n\nother\n\n## B\n\nnewer\n"
