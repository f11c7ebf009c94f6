"""Tables: read, typed, standardised, split; what is wrong with them is said."""

import gzip
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from jaxssl.data import Row, columns_from_json, marginals, open_table, skipped_message
from jaxssl.data.table_files import find_column, read_cells
from jaxssl.data.tables import check_rows, row_values
from jaxssl.errors import InputError

TEXT = """age, town, always, income
30, Rome, x, high
40, Oslo, x, low
?, Rome, x, low
50, , x, high
20, Oslo, x, low
60, Rome, x, high
35, Rome, x, low
45, Oslo, x, high
55, Rome, x, low
25, Oslo, x, high
"""


@pytest.fixture
def save(tmp_path):
  """Returns a function that writes a file and returns its path."""

  def write(text, name="mine.csv"):
    path = tmp_path / name
    if isinstance(text, bytes):
      path.write_bytes(text)
    else:
      path.write_text(text)
    return str(path)

  return write


def columns_of(data):
  return columns_from_json(data.files["columns.json"])


def whole(data):
  """All rows of a data set without a test split."""
  return data.train.arrays()["input"]


def test_breast_cancer_is_split_by_class():
  data = open_table("breast_cancer")
  assert len(data.train) + len(data.test) == 569 and len(data.test) == 113
  assert data.classes == ("benign", "malignant")
  train, test = data.train.arrays(), data.test.arrays()
  assert train["input"].numeric.shape[1] == 30
  assert train["input"].categorical.shape == (456, 0)
  shares = [np.mean(part["label"]) for part in (train, test)]
  np.testing.assert_allclose(*shares, atol=0.005)
  np.testing.assert_allclose(train["input"].numeric.mean(0), 0, atol=1e-5)
  np.testing.assert_allclose(train["input"].numeric.std(0), 1, atol=1e-5)


def test_types_missing_values_and_moments(save):
  data = open_table(save(TEXT), label="income", test_share=0)
  columns, rows = columns_of(data), whole(data)
  assert [c.name for c in columns.numeric] == ["age"]
  assert columns.categorical == (("town", ("Oslo", "Rome")),)
  assert data.classes == ("high", "low") and data.test is None
  ages = np.array([30, 40, np.nan, 50, 20, 60, 35, 45, 55, 25])
  expected = (ages - np.nanmean(ages)) / np.nanstd(ages)
  np.testing.assert_allclose(rows.numeric[:, 0], expected, rtol=1e-6)
  assert rows.categorical[:, 0].tolist() == [3, 2, 3, 0, 2, 3, 3, 2, 3, 2]
  assert data.train.arrays()["label"].tolist() == [0, 1, 1, 0, 1, 0, 1, 0, 1, 0]


def test_a_constant_column_is_left_out_and_named(save):
  data = open_table(save(TEXT), label="income")
  assert data.train.skipped == ("column 'always': constant",)
  said = "mine.csv: skipped 1 column: column 'always': constant"
  assert skipped_message(data) == said


def test_constant_in_training_alone_is_constant(save):
  """Moments and categories are those of the training rows."""
  data = open_table(save(TEXT), label="income")
  names = [c.name for c in columns_of(data).numeric]
  mean = columns_of(data).numeric[0].mean
  ages = data.train.arrays()["input"].numeric
  assert names == ["age"] and abs(float(np.nanmean(ages))) < 1e-6
  assert mean != pytest.approx(40.0)


def test_rows_without_a_label_are_left_out_and_counted(save):
  text = TEXT.replace("50, , x, high", "50, , x, ?")
  data = open_table(save(text), label="income", test_share=0)
  assert len(data.train) == 9
  assert data.train.skipped[0] == "1 row: no label in 'income'"
  assert "mine.csv: skipped 1 row and 1 column: 1 row: no" in skipped_message(data)


def test_a_column_of_words_that_are_all_different_is_left_out(save):
  lines = [f"{i},name{i}" for i in range(400)]
  data = open_table(save("\n".join(["number,who", *lines])))
  assert data.train.skipped == ("column 'who': every value is another",)


def test_ragged_rows_are_named_by_their_lines(save):
  path = save("a,b\n1,2\n\n3,4,5\n6\n7,8\n")
  with pytest.raises(InputError, match="have 2 cells, but line 4 has 3, line 5 has 1"):
    open_table(path)


def test_without_a_header_columns_have_numbers(save):
  path = save("39, Rome\n40, Oslo\n39, Rome\n41, Oslo\n")
  cells = read_cells(path)
  assert cells.names == ("column 0", "column 1") and not cells.headed
  assert columns_of(open_table(path)).categorical[0].name == "column 1"
  assert open_table(path, label="-1").classes == ("Oslo", "Rome")
  assert read_cells(path, header=True).names == ("39", "Rome")


@pytest.mark.parametrize("name", ["x.tsv", "x.data", "x.csv.gz", "x.txt"])
def test_delimiters_and_gzip(save, name):
  text = TEXT.replace(", ", "\t" if name != "x.txt" else ";")
  raw = text.encode()
  path = save(gzip.compress(raw) if name.endswith(".gz") else raw, name)
  assert open_table(path, label="income", test_share=0).train.arrays()["label"][1] == 1


def test_quotes_and_a_byte_order_mark(save):
  path = save('\ufeffwho,n\n"a, b",1\n"c\nd",2\n')
  cells = read_cells(path)
  assert cells.names == ("who", "n")
  assert cells.columns[0].tolist() == ["a, b", "c\nd"]


@pytest.mark.parametrize(
  ("content", "name", "message"),
  [
    (b"a,b\n\xff,1\n", "x.csv", "byte 4 cannot be decoded"),
    (b"\x1f\x8bnothing", "x.csv.gz", "cannot read"),
    ("", "x.csv", "is empty"),
    ("a,b\n", "x.csv", "has a header and no rows|no column to learn from"),
    ("a,a\nx,1\n", "x.csv", "more than one column 'a'"),
    ("a,b\nx,1\nx,1\n", "x.csv", "no column to learn from"),
    ("a\n1\ninf\n", "x.csv", "infinite"),
    ("1", "x.xls", "tables end in"),
    (b"PAR1", "x.parquet", "cannot read"),
  ],
)
def test_what_is_no_table(save, content, name, message):
  with pytest.raises(InputError, match=message):
    open_table(save(content, name), test_share=0)


def test_no_such_file_and_no_such_label(save, tmp_path):
  with pytest.raises(InputError, match="there is no file"):
    open_table(str(tmp_path / "none.csv"))
  with pytest.raises(InputError, match="no column 'incom'.*Did you mean 'income'"):
    open_table(save(TEXT), label="incom")
  with pytest.raises(InputError, match="has 1 values; classes are 2 to 1000"):
    open_table(save(TEXT), label="always")
  with pytest.raises(InputError, match="test_share is 1"):
    open_table(save(TEXT), test_share=1.0)


def test_a_column_is_found_by_name_before_position():
  assert find_column(("1", "0"), "0", what="x") == 1
  assert find_column(("a", "b"), "-1", what="x") == 1


def test_parquet_is_read(tmp_path):
  pyarrow = pytest.importorskip("pyarrow")
  from pyarrow import parquet

  table = pyarrow.table({"n": [1.5, None, 3.0], "who": ["a", "b", None]})
  path = tmp_path / "x.parquet"
  parquet.write_table(table, path)
  rows = whole(open_table(str(path), test_share=0))
  np.testing.assert_allclose(rows.numeric[:, 0], [-1, np.nan, 1])
  assert rows.categorical[:, 0].tolist() == [2, 3, 0]


def test_parquet_without_pyarrow(monkeypatch, save):
  monkeypatch.setitem(sys.modules, "pyarrow", None)
  with pytest.raises(InputError, match=r"jaxssl\[parquet\]"):
    open_table(save(b"", "x.parquet"))


def test_like_has_the_same_columns(save):
  data = open_table(save(TEXT), label="income", test_share=0)
  mean, deviation = columns_of(data).numeric[0][1:]
  other = data.like(save("town,extra,age\nParis,1,30\nRome,2,?\n", "other.csv"))
  rows = whole(other)
  assert rows.numeric[0, 0] == pytest.approx((30 - mean) / deviation)
  assert np.isnan(rows.numeric[1, 0])
  assert rows.categorical[:, 0].tolist() == [1, 3]  # Paris is "other"
  assert "label" not in other.train.arrays() and other.files == data.files


def test_like_reads_labels_where_there_are_some(save):
  data = open_table(save(TEXT), label="income", test_share=0)
  path = save("town,age,income\nRome,30,low\n", "other.csv")
  assert data.like(path).train.arrays()["label"].tolist() == [1]


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("town\nRome\n", "no column 'age', which the encoder was trained with"),
    ("town,age\nRome,1\nOslo,old\n", "line 3: 'old' in the column 'age'"),
  ],
)
def test_like_refuses_other_tables(save, text, message):
  data = open_table(save(TEXT), label="income")
  with pytest.raises(InputError, match=message):
    data.like(save(text, "other.csv"))


def test_tiles_are_in_the_units_of_the_file(save):
  data = open_table(save(TEXT), label="income", test_share=0)
  tiles = data.kind.tiles(whole(data))
  assert tiles[0] == {"age": "30", "town": "Rome"}
  assert tiles[2] == {"age": "missing", "town": "Rome"}
  assert tiles[3] == {"age": "50", "town": "missing"}


def test_raw_features_are_numbers_and_one_hot_words(save):
  data = open_table(save(TEXT), label="income", test_share=0)
  rows = whole(data)
  raw = np.asarray(data.kind.raw(rows))
  assert raw.shape == (10, 2 + 4)
  assert raw[2].tolist() == [0, 1, 0, 0, 0, 1]
  assert data.kind.raw(rows, patches=True).shape == (10, 1, 6)
  assert data.kind.raw_name(rows) == "raw columns (1 numeric, 1 categorical one-hot)"


def test_row_values_have_no_gradient_of_missing_numbers():
  import jax

  rows = Row(jnp.array([[jnp.nan, 2.0]]), jnp.array([[1]]))
  total = lambda x: row_values(Row(x, rows.categorical), (3,)).sum()
  assert jax.grad(total)(rows.numeric).tolist() == [[0.0, 1.0]]


def test_checks_of_rows(save):
  columns = columns_of(open_table(save(TEXT), label="income"))
  check = lambda n, c: check_rows(Row(np.asarray(n), np.asarray(c)), columns=columns)
  check([[np.nan]], [[3]])
  for numbers, words, message in [
    ([[1.0]], [[4]], "categories"),
    ([[np.inf]], [[0]], "infinite"),
    ([[1.0, 2.0]], [[0]], "2 numeric and 1 categorical"),
    ([1.0], [[0]], "shapes"),
  ]:
    with pytest.raises(InputError, match=message):
      check(numbers, words)
  with pytest.raises(InputError, match="not ndarray"):
    check_rows(np.zeros((2, 2)), columns=columns)


def test_marginals_are_training_rows():
  data = open_table("breast_cancer")
  rows = marginals(data, most=10)
  everything = data.train.arrays()["input"].numeric
  assert rows.numeric.shape == (10, 30)
  assert all((everything == row).all(1).any() for row in rows.numeric)


@pytest.mark.parametrize(
  "text",
  [
    ",age,income\n0,70,high\n1,57,low\n2,58,high\n",  # as pandas saves it
    "age,income,\n70,high,\n57,low,\n58,high,\n",
    'age,income\n70,high\n57,low\n58,"income"\n',
    'age,income\n"1,070",high\n"1,057",low\n"1,058",income\n',
    "na,size,income\n1.5,3,high\n2.5,4,low\n3.5,4,low\n",
  ],
)
def test_a_header_is_known_by_what_stands_below_it(save, text):
  cells = read_cells(save(text))
  assert cells.headed and "income" in cells.names and cells.why == ""
  assert len(cells.columns[0]) == 3


@pytest.mark.parametrize(
  ("text", "why"),
  [
    ("2019,2020,income\n1.5,2.5,high\n1.0,2.0,low\n", "as its cell '2019' is a number"),
    ("Rome,low\nOslo,high\nRome,low\n", "as its cell 'Rome' occurs again"),
    ("?,Rome,x\n1,Oslo,y\n2,Bonn,z\n", r"as its cell '\?' stands for a missing"),
    ("none,Rome,x\n1,Oslo,y\n2,Rome,x\n", "as its cell 'Rome' occurs again"),
  ],
)
def test_without_a_header_the_reason_is_said(save, text, why):
  path = save(text)
  assert not read_cells(path).headed
  with pytest.raises(InputError, match=rf"no column 'income'.* Line 1 was .*{why}"):
    open_table(path, label="income")


def test_a_column_without_a_name_has_its_position(save):
  path = save("x,,y,\n1,a,u,\n2,b,v,\n")
  assert read_cells(path).names == ("x", "column 1", "y", "column 3")


def test_an_index_that_was_saved_is_no_column(save):
  lines = [f"{i},{i % 7 + 0.5},{'ab'[i % 2] if i != 3 else ''}" for i in range(20)]
  path = save("\n".join([",size,kind", *lines]))
  data = open_table(path, label="kind", test_share=0)
  assert [c.name for c in columns_of(data).numeric] == ["size"]
  assert "'column 0': it has no name and numbers the rows" in data.train.skipped
  path = save("\n".join(lines))  # nothing is known of columns without a header
  assert len(columns_of(open_table(path, label="-1")).numeric) == 2


def test_numbers_whose_moments_overflow_are_refused_by_name(save):
  text = TEXT.replace("60, Rome", "1e300, Rome")
  with pytest.raises(InputError, match=r"column 'age' has values as large as 1e\+300"):
    open_table(save(text), label="income")
  data = open_table(save(TEXT), label="income")
  path = save("town,age\nRome,1e60\n", "other.csv")
  with pytest.raises(InputError, match="column 'age' has a value .* deviations from"):
    data.like(path)
