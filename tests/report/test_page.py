"""The page shows every part, escapes what it is told, and refers to nothing outside."""

import base64
import html.parser
import io
import re

import numpy as np
import pytest
from PIL import Image

from jaxssl import report
from jaxssl.errors import InputError
from jaxssl.report.curves import CURVES, MEASURES

NASTY = "<script>alert('x')</script> \"&$x_1$ ${body}"
VOID = {"meta", "img", "source", "br"}


class Reader(html.parser.HTMLParser):
  """Reads a page; collects elements, texts, and tags that don't match."""

  def __init__(self, text):
    super().__init__()
    self.open, self.unmatched, self.elements, self.texts = [], [], [], []
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    if not self.open or self.open.pop() != tag:
      self.unmatched.append(tag)

  def handle_data(self, data):
    self.texts.append(data)

  def all(self, tag):
    return [attrs for name, attrs in self.elements if name == tag]


def metrics():
  logged = [{"step": i, "loss": 2.0 / (i + 1), "learning_rate": 0.1} for i in range(5)]
  measures = {"feature_std": 0.1, "rankme": 12.0, "grad_norm": 1.0}
  speed = {"examples_per_second": 1e4}
  within = [
    {"step": step, **{f"measure/{curve.key}": 0.5 + step for curve in MEASURES}}
    for step in (2, 4)
  ]
  accuracy = [{"step": s, "knn": a} for s, a in ((0, 0.5), (2, 0.9), (4, 0.8))]
  return [*logged, {"step": 4, **measures}, {"step": 4, **speed}, *accuracy, *within]


def evaluation():
  few = lambda one, ten: {"1": [one, 0.031], "10": [ten, 0.006]}
  return [
    {
      "features": "trained features",
      "knn": 0.9,
      "linear": 0.95,
      "few_label": few(0.7, 0.9721),
    },
    {
      "features": "raw pixels",
      "knn": 0.92,
      "linear": None,
      "few_label": few(0.5, 0.8994),
    },
    {"features": "untrained encoder", "knn": 0.9, "few_label": {"10": [0.837, 0.01]}},
  ]


def run():
  rng = np.random.default_rng(0)
  embedding = rng.normal(size=(20, 6))
  return {
    "title": "simclr_digits",
    "config": {"steps": 5, "optimiser": {"name": "adam"}},
    "metrics": metrics(),
    "evaluation": evaluation(),
    "views": rng.uniform(size=(3, 4, 8, 8, 1)),
    "pictures": {"original | rebuilt": rng.uniform(size=(2, 2, 8, 8, 1))},
    "embedding": embedding,
    "labels": np.arange(20) % 4,
    "examples": rng.uniform(size=(20, 8, 8, 1)),
    "neighbours": report.neighbours_of(embedding, queries=np.arange(2), k=3),
    "classes": ("zero", "one", "two", "three"),
    "environment": {"jax": "0.10.2", "wall_time_s": 192.4},
    "notes": ["The effective rank fell below 10."],
  }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
  return report.write(tmp_path_factory.mktemp("run"), **run())


@pytest.fixture(scope="module")
def text(written):
  return written.read_text(encoding="utf-8")


def write_text(folder, **parts):
  return report.write(folder, **{"title": "run", **parts}).read_text(encoding="utf-8")


def headings(text):
  return re.findall(r"<h2>(.*?)</h2>", text)


ORDER = [
  "What the features are worth",
  "Training",
  "Collapse and rank",
  "Views",
  "Map of the features",
  "Nearest neighbours",
  "Configuration",
  "Environment",
]


def test_the_sections_come_in_order(text):
  made = ORDER.index("Map of the features")
  shown = [*ORDER[:made], "Original | rebuilt", *ORDER[made:]]
  assert headings(text) == ["Please note", *shown]
  assert 'class="missing"' not in text


def test_the_page_is_well_formed(text):
  page = Reader(text)
  assert not page.unmatched and not page.open
  assert all(len(attrs["alt"]) > 5 for attrs in page.all("img"))


def test_the_page_refers_to_nothing_outside(text):
  page = Reader(text)
  assert not page.all("script") and not page.all("link")
  for _, attrs in page.elements:
    for name in {"src", "srcset", "href"} & set(attrs):
      assert attrs[name].startswith("data:image/png;base64,")
  assert not re.search(r"https?://|url\(|@import", text)


ENDS = (".png", "_dark.png")


def test_the_page_holds_the_pictures_of_the_folder(written, text):
  inline = set(re.findall(r"data:image/png;base64,([\w+/=]+)", text))
  names = [f"{curve.key}{end}" for curve in CURVES + MEASURES for end in ENDS]
  for name in [*names, "map.png", "map_dark.png"]:
    png = (written.parent / "report" / name).read_bytes()
    assert base64.b64encode(png).decode() in inline


def test_every_picture_is_a_png(written, text):
  files = sorted((written.parent / "report").iterdir())
  names = {file.name for file in files}
  assert {"views.png", "original_rebuilt.png", "neighbours.png"} <= names
  inline = re.findall(r"data:image/png;base64,([\w+/=]+)", text)
  for png in [*map(base64.b64decode, inline), *(file.read_bytes() for file in files)]:
    image = Image.open(io.BytesIO(png))
    image.verify()
    assert image.format == "PNG"


def test_the_same_run_gives_the_same_bytes(written, tmp_path):
  again = report.write(tmp_path / "new" / "folder", **run())
  assert again == tmp_path / "new" / "folder" / "report.html"
  assert again.read_bytes() == written.read_bytes()


def result(rows, folder):
  page = write_text(folder, evaluation=rows)
  return re.search(r'class="result">(.*?)</p>', page)[1].replace("\u00a0", " ")


def test_the_result_is_a_sentence_on_the_most_few_labels(tmp_path):
  assert result(evaluation(), tmp_path) == (
    "With 10 labels a class the trained features reached 97.2 %, "
    "raw pixels 89.9 %, the untrained encoder 83.7 %."
  )


@pytest.mark.parametrize(
  ("rows", "expected"),
  [
    ([], "No evaluation was recorded for this run."),
    ([{"features": "x", "knn": float("nan")}], "No evaluation was recorded"),
    ([{"features": "x", "knn": 0.5}], "With nearest neighbours x reached 50.0 %."),
    (
      [{"features": "x", "knn": 0.5, "linear": 0.25, "few_label": None}],
      "With a linear probe x reached 25.0 %.",
    ),
    (
      [{"features": "x", "few_label": {"1": [1.0, 0.0]}}, {"features": "y"}],
      "With 1 label a class x reached 100.0 %.",
    ),
  ],
  ids=["none", "nan", "knn", "linear", "one label"],
)
def test_the_result_uses_what_there_is(rows, expected, tmp_path):
  assert result(rows, tmp_path).startswith(expected)


def test_the_table_marks_the_best_of_each_column(text):
  body = re.search(r"<tbody>(.*?)</tbody>", text)[1]
  rows = re.findall(r"<tr>(.*?)</tr>", body)
  best = [re.findall(r"<strong>(.*?)</strong>", row) for row in rows]
  assert best == [["70.0", "97.2"], ["92.0"], []]  # the linear probe has no rival
  assert rows[1].count("<td>–</td>") == 1
  assert "<small>± 3.1</small>" in rows[0]


def test_the_table_marks_all_that_tie_as_shown(tmp_path):
  rows = [{"features": name, "knn": x} for name, x in (("a", 0.9001), ("b", 0.9003))]
  assert write_text(tmp_path, evaluation=rows).count("<strong>90.0</strong>") == 2


def test_few_label_columns_are_in_order_of_number(tmp_path):
  few = {str(n): [0.5, 0.0] for n in (10, 5, 100, 1)}
  page = write_text(tmp_path, evaluation=[{"features": "x", "few_label": few}])
  assert re.findall(r'<th scope="col">(\d+)</th>', page) == ["1", "5", "10", "100"]


def test_the_curves_tell_the_last_and_the_best_accuracy(text):
  assert "Last 80 at step 4. Best 90 at step 2." in text
  assert "raw pixels 92, untrained encoder 90." in text


def test_a_repeated_step_counts_once_and_the_last_time(tmp_path):
  rows = [{"step": 7, "loss": 3.0}, {"step": 9, "loss": 2.0}, {"step": 9, "loss": 1.0}]
  assert "Last 1 at step 9." in write_text(tmp_path, metrics=rows)


def test_a_run_that_failed_still_has_a_page(tmp_path):
  rows = [{"step": 0, "loss": 3.0}, {"step": 1, "loss": float("nan")}]
  page = write_text(tmp_path, metrics=rows, embedding=np.full((9, 4), np.nan))
  assert "Last 3 at step 0. Not finite at 1 of the steps." in page
  assert "the features are all the same or not finite" in page


def test_measures_of_the_looks_are_shown_where_there_are_no_others(tmp_path):
  looks = [{"step": 5, "rankme": 12.0, "spread": 0.5}, {"step": 7, "spread": 0.25}]
  page = write_text(tmp_path / "looks", metrics=looks)
  assert "Last 12 at step 5." in page and "Last 0.25 at step 7." in page
  both = [*looks, {"step": 6, "measure/rankme": 3.0}]
  page = write_text(tmp_path / "both", metrics=both)
  assert "Last 3 at step 6." in page and "Last 12" not in page
  assert "α-ReQ" not in page


@pytest.mark.parametrize(
  ("steps", "sentence"),
  [
    ([], "No step that was logged looked collapsed."),
    ([40], "Step 40 looked collapsed."),
    ([20, 40, 40, 2000], "3 steps from 20 to 2,000 looked collapsed."),
  ],
)
def test_the_page_says_which_steps_looked_collapsed(steps, sentence, tmp_path):
  warned = [{"step": step, "warning": "!"} for step in steps]
  rows = [{"step": 0, "measure/rankme": 3.0}, *warned]
  assert sentence in write_text(tmp_path, metrics=rows)


def test_collapsed_features_are_called_so(tmp_path):
  page = write_text(tmp_path, embedding=np.ones((9, 4)), labels=np.zeros(9, np.int32))
  assert "the features are all the same or not finite" in page
  assert not (tmp_path / "report" / "map.png").exists()


def test_all_text_is_escaped(tmp_path):
  parts = run() | {"title": NASTY, "notes": [NASTY], "classes": (NASTY,) * 4}
  parts |= {"config": {NASTY: NASTY}, "environment": {NASTY: NASTY}}
  parts["evaluation"] = [{"features": NASTY, "knn": 0.5}] * 2
  page = Reader(write_text(tmp_path, **parts))
  assert not page.all("script") and not page.unmatched
  assert page.texts.count(NASTY) > 15
  assert f"Query: {NASTY}" in [attrs["alt"] for attrs in page.all("img")]


def test_every_part_but_the_title_may_be_missing(tmp_path):
  page = write_text(tmp_path)
  assert headings(page) == ORDER
  assert page.count('class="missing"') == len(ORDER)
  assert list((tmp_path / "report").iterdir()) == []


@pytest.mark.parametrize(
  "empty",
  [
    {"evaluation": []},
    {"metrics": [{"step": 0, "rankme": 3.0}]},
    {"metrics": [{"step": 0, "loss": 1.0}]},
    {"views": None},
    {"embedding": None},
    {"neighbours": None},
    {"config": {}},
    {"environment": {}},
  ],
  ids=ORDER,
)
def test_a_missing_part_leaves_the_others(empty, tmp_path):
  few = {name: run()[name] for name in ("views", "labels", "examples", "neighbours")}
  metrics = [{"step": 0, "loss": 1.0, "rankme": 3.0}]
  full = {"metrics": metrics, "embedding": np.eye(20), **few}
  full |= {name: run()[name] for name in ("evaluation", "config", "environment")}
  page = write_text(tmp_path, **(full | empty))
  assert headings(page) == ORDER
  assert page.count('class="missing"') == 1


def test_without_labels_the_map_has_one_colour_and_no_legend(tmp_path):
  parts = {name: run()[name] for name in ("embedding", "examples", "neighbours")}
  page = write_text(tmp_path, **parts)
  assert 'class="legend"' not in page and "The colours are" not in page
  assert 'alt="Query: 0"' in page and "query&#x27;s class" not in page


def test_labels_that_are_not_known_are_not_counted_as_wrong(tmp_path):
  parts = {name: run()[name] for name in ("embedding", "examples", "classes")}
  labels = np.array([0, 0, 1, -1] + [2] * 16)
  parts["neighbours"] = np.array([[0, 1, 2, 3]])
  page = write_text(tmp_path, labels=labels, **parts)
  assert "Of these 2 neighbours 1 are of the query&#x27;s class." in page
  assert re.findall(r'<figcaption class="(\w+)">(.*?)<', page) == [
    ("query", "zero"),
    ("same", "zero"),
    ("other", "≠ one"),
    ("same", "unknown"),
  ]
  assert "unknown</li>" in page


def test_many_classes_have_no_legend(tmp_path):
  embedding, labels = np.random.default_rng(1).normal(size=(12, 3)), np.arange(12)
  page = write_text(tmp_path, embedding=embedding, labels=labels)
  assert "12 of them, too many for a legend" in page and 'class="legend"' not in page


def test_parts_of_examples_have_no_neighbours(tmp_path):
  page = write_text(tmp_path, neighbours=run()["neighbours"])
  assert "Nothing can be shown of parts of one example" in page


@pytest.mark.parametrize(
  ("seconds", "expected"),
  [(0.5, "0.5 s"), (41.2, "41.2 s"), (192.4, "3 min 12 s"), (7500, "2 h 5 min")],
)
def test_the_wall_time_is_a_duration(seconds, expected, tmp_path):
  page = write_text(tmp_path, environment={"wall_time_s": seconds})
  assert f'<th scope="row">wall time</th><td>{expected}</td>' in page


def test_nested_settings_are_named_by_their_path(text):
  assert '<th scope="row">optimiser.name</th><td>adam</td>' in text


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"labels": np.zeros(3, np.int32)}, "same number of rows"),
    ({"neighbours": np.array([[0, 20]])}, "rows from 0 to 19"),
    ({"neighbours": np.array([[-1, 2]])}, "rows from 0 to 19"),
  ],
  ids=["labels", "beyond", "negative"],
)
def test_rows_that_disagree_are_refused_before_writing(change, message, tmp_path):
  with pytest.raises(InputError, match=message):
    report.write(tmp_path / "run", **(run() | change))
  assert not (tmp_path / "run").exists()


def test_the_page_says_which_split_is_shown(tmp_path):
  assert "test examples" in write_text(tmp_path, embedding=run()["embedding"])
  page = write_text(tmp_path, embedding=run()["embedding"], split="training")
  assert "training examples" in page and "test examples" not in page
