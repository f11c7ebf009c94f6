"""Sequences of items: the csv, what is left out and named, walks, bad input."""

import numpy as np
import pytest

from jaxssl.data import items, skipped_message
from jaxssl.data.kept import form_of
from jaxssl.errors import InputError

GOOD = """item,user,time
b,ann,2
a,ann,1
c,ann,3
a,bob,2024-05-31
b,bob,2024-06-01T12:00
"""
BAD = """user,item,time
ann,a,1
ann,b
ann,c,2

bob,a,3
ann,,4
ann,d,soon
ann,e,nan
eve,a,1,2
"""


def write(tmp_path, text, name="a.csv"):
  path = tmp_path / name
  path.write_text(text)
  return path


def test_items_are_in_order_of_time_and_the_last_is_held_out(tmp_path):
  opened = items.item_csv(write(tmp_path, GOOD), length=4)
  assert opened.names == ("a", "b", "c")
  train, test = opened.data.train.arrays(), opened.data.test.arrays()
  np.testing.assert_array_equal(train["input"], [[1, 2, 0, 0], [1, 0, 0, 0]])
  np.testing.assert_array_equal(test["input"], train["input"])
  np.testing.assert_array_equal(test["label"], [3, 2])
  assert "label" not in train and opened.data.train.skipped == ()
  assert opened.data.files["items.txt"] == "a\nb\nc\n"


def test_without_times_the_order_of_lines_counts(tmp_path):
  path = write(tmp_path, "user\titem\n1\tx\n1\ty\n", "a.tsv")
  opened = items.item_csv(path)
  np.testing.assert_array_equal(opened.data.test.arrays()["label"], [2])


def test_of_long_histories_the_latest_items_stay(tmp_path):
  lines = "".join(f"u,{i},{i}\n" for i in range(9))
  opened = items.item_csv(write(tmp_path, "user,item,time\n" + lines), length=3)
  row = opened.data.train.arrays()["input"][0]
  assert [opened.names[i - 1] for i in row] == ["5", "6", "7"]
  assert opened.data.train.skipped == ("user u: cut to the last 3 of 8 items",)
  whole = items.item_csv(tmp_path / "a.csv", length=8)
  assert whole.data.train.skipped == ()


def test_what_cannot_be_read_is_counted_and_named(tmp_path):
  opened = items.item_csv(write(tmp_path, BAD))
  assert opened.data.train.skipped == (
    "line 3: 2 fields in place of 3",
    "line 7: an empty user or item",
    "line 8: 'soon' is no time",
    "line 9: 'nan' is no time",
    "line 10: 4 fields in place of 3",
    "user bob: one item",
  )
  assert len(opened.data.train) == 1
  assert "a: skipped 5 lines and 1 example: line 3" in skipped_message(opened.data)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("", "columns"),
    ("user,thing\n", "item"),
    ("user,item\n", "no user"),
    ("user,item\nann,a\nbob,b\n", "one item"),
  ],
)
def test_files_without_sequences_are_refused(tmp_path, text, message):
  with pytest.raises(InputError, match=message):
    items.item_csv(write(tmp_path, text))


def test_files_that_are_none_are_refused(tmp_path):
  with pytest.raises(InputError, match="no file"):
    items.item_csv(tmp_path / "b.csv")
  path = tmp_path / "c.csv"
  path.write_bytes(b"user,item\n\xff,a\n")
  with pytest.raises(InputError, match="UTF-8"):
    items.item_csv(path)
  path.write_text(f"user,item\nann,a\nann,{'b' * 200_000}\n")
  with pytest.raises(InputError, match=r"c\.csv, line 3: field larger"):
    items.item_csv(path)
  with pytest.raises(InputError, match="'walks'"):
    items.open_items("walk")
  with pytest.raises(InputError, match="length"):
    items.open_items("walks", length=1)


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x0b", "\x0c", "\x1e"])
def test_only_line_feeds_and_carriage_returns_end_lines(tmp_path, sign):
  lines = f"user,item\r\nann,a{sign}b\r\nann,c\r\n"
  path = tmp_path / "a.csv"
  path.write_bytes(lines.encode())
  opened = items.item_csv(path)
  assert opened.names == (f"a{sign}b", "c") and opened.data.train.skipped == ()


def test_a_run_keeps_names_that_hold_line_ends(tmp_path):
  path = write(tmp_path, 'user,item\nann,"a\nb"\nann,c\u2028d\nann,e\n')
  data = items.item_csv(path, length=4).data
  (tmp_path / "data.json").write_text(form_of(data, str(path)))
  (tmp_path / "items.txt").write_text(data.files["items.txt"])
  opened = items.open_items(f"run:{tmp_path}", length=4)
  assert opened.names == ("a b", "c\u2028d", "e")


@pytest.mark.parametrize("separator", [";", "\t", ", "])
def test_separators_are_those_of_the_first_line(tmp_path, separator):
  lines = [["User", "item", "time"], ["ann", "a", "1"], ["ann", "b", "2"]]
  text = "\n".join(separator.join(line) for line in lines)
  assert items.item_csv(write(tmp_path, text)).names == ("a", "b")


def test_empty_lines_do_not_count(tmp_path):
  opened = items.item_csv(write(tmp_path, "\n  \n" + GOOD + "\n\ncy,,1\n"))
  assert opened.names == ("a", "b", "c")
  assert opened.data.train.skipped == ("line 11: an empty user or item",)


def test_walks_stay_in_their_group_and_are_the_same_each_time():
  opened = items.open_items("walks")
  rows = opened.data.train.arrays()["input"]
  last = opened.data.test.arrays()["label"]
  groups = np.where(rows > 0, (rows - 1) // 40, -1)
  assert (groups.max(1) == (last - 1) // 40).all()
  probe = opened.data.probe
  labels = np.concatenate([p.arrays()["label"] for p in (probe.train, probe.test)])
  np.testing.assert_array_equal(labels, groups[:, 0])
  np.testing.assert_array_equal(rows, items.walks().data.train.arrays()["input"])


def test_items_of_the_kind_are_checked_named_and_counted():
  kind = items.item_kind(("tea", "milk"))
  assert kind.tiles(np.array([[1, 2, 3, 0]])) == ["tea › milk › [mask]"]
  np.testing.assert_allclose(kind.raw(np.array([[1, 1, 2, 0]])), [[0, 2 / 3, 1 / 3]])
  with pytest.raises(InputError, match="0 to 3"):
    kind.check(np.array([[4]]))


def test_many_items_share_buckets():
  kind = items.item_kind(tuple(map(str, range(3000))))
  inputs = np.array([[1, 1025]])
  raw = np.asarray(kind.raw(inputs))
  assert raw.shape == (1, 1024) and raw[0, 1] == 1
  assert kind.raw_name(inputs) == "bag of items (1,024 buckets)"


def test_other_histories_for_an_encoder_that_knows_some_items(tmp_path):
  """All items count, none is held out; users with a single one are there too."""
  path = tmp_path / "new.csv"
  path.write_text(
    "user,item,time\nann,tea,2\nann,gin,1\nbob,rum,1\nann,rum,3\ncy,rye,1\n"
  )
  found = items.open_like(("gin", "rum", "tea"), 2, str(path))
  rows = found.train.arrays()["input"].tolist()
  assert dict(zip(found.train.files, rows, strict=True)) == {
    "ann": [3, 2],
    "bob": [2, 0],
  }
  assert found.train.skipped == ("item rye: not known to the run",)
  with pytest.raises(InputError, match="none of the 1 items that the run knows"):
    items.open_like(("ale",), 2, str(path))


def test_walks_are_for_encoders_of_walks():
  made = items.walks(length=4)
  again = made.data.like("walks").train.arrays()["input"]
  np.testing.assert_array_equal(again, made.data.train.arrays()["input"])
  with pytest.raises(InputError, match="3 items of its own"):
    items.open_like(("gin", "rum", "tea"), 4, "walks")
