"""The table that says what pretraining bought: raw pixels, untrained, trained."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxssl.errors import InputError, nearest
from jaxssl.evals.clusters import cluster_accuracy
from jaxssl.evals.features import Encode, extract
from jaxssl.evals.few_label import few_label
from jaxssl.evals.knn import knn_accuracy, nearest_accuracy
from jaxssl.evals.linear_probe import linear_accuracy

PROTOCOLS = {
  "knn": "kNN: 20 nearest neighbours by cosine, weights exp(cosine / 0.07)",
  "linear": (
    "linear: softmax regression on standardised features, SGD with Nesterov momentum, "
    "batch 256, cosine from 0.05, 30 epochs but at least 1,000 steps, last step"
  ),
  "few-label": (
    "labels: logistic regression (C = 10) on l2-normalised features, so many labels "
    "a class, mean ± standard deviation of 10 draws, the same for every row"
  ),
  "clusters": (
    "clusters: spherical k-means on the test features, as many clusters as classes, "
    "accuracy under the best matching, mean of 5 starts; no label is used"
  ),
  "nearest": (
    "1-NN: the class of the nearest training example by Euclidean distance of the "
    "features as they are, as for BiGAN"
  ),
}
USUAL = tuple(name for name in PROTOCOLS if name != "nearest")  # without asking
PER_CLASS = (1, 5, 10)
COLUMNS = (
  ("knn", "kNN"),
  ("nearest", "1-NN"),
  ("linear", "linear"),
  ("clusters", "clusters"),
)


class Table(NamedTuple):
  """Accuracies in percent on the test split; `_asdict()` of it can be written as JSON.

  Attributes:
    rows: one dict a set of features: "features" (its name), and per protocol "knn",
      "nearest", "linear", "clusters" (numbers), "few_label" ({"5": [mean, standard
      deviation], ...}) and "finetune" ({"0.1": number, ...}, by share of labels; not
      of raw inputs). Of several runs see `mean_table`.
    protocols: a line on each protocol used.
    reason: why there are no rows; "" where there are.
  """

  rows: list[dict[str, Any]]
  protocols: list[str]
  reason: str


def evaluate(
  encode: Encode,
  untrained_encode: Encode,
  data_set: Any,
  *,
  protocols: Sequence[str] = USUAL,
) -> Table:
  """Compares an encoder with raw pixels and with itself before training.

  Args:
    encode: trained encoder, inputs [batch, ...] -> features [batch, dim], jitted.
    untrained_encode: the same encoder as it was initialised.
    data_set: a `DataSet`; what is scored is its probe, where it has one.
    protocols: any of "knn", "linear", "few-label", "clusters", "nearest".

  Returns:
    The table; without rows, and with a reason, where the data set has no test split
    or no labels.

  Raises:
    InputError: if a protocol is not known.
  """
  encoders = [(encode, untrained_encode)]
  return evaluate_runs(encoders, data_set, protocols=protocols)[0]


def evaluate_runs(
  encoders: Sequence[tuple[Encode, Encode]],
  data_set: Any,
  *,
  protocols: Sequence[str] = USUAL,
) -> list[Table]:
  """`evaluate` for several runs; the raw inputs, which they share, are scored once.

  Args:
    encoders: the trained and the untrained encoder of each run.
    data_set: as for `evaluate`.
    protocols: as for `evaluate`.

  Returns:
    A table a run.

  Raises:
    InputError: if a protocol is not known.
  """
  _check_protocols(protocols)
  described = [PROTOCOLS[name] for name in protocols]
  if reason := unusable(data_set):
    return [Table([], described, reason) for _ in encoders]
  row = lambda name, f: evaluate_row(name, f, data_set, protocols=protocols)
  raw, tables = row(raw_name(data_set), data_set.kind.raw), []
  for trained, untrained in encoders:
    own = [row("untrained encoder", untrained), row("trained encoder", trained)]
    tables.append(Table([raw, *own], described, ""))
  return tables


def evaluate_row(
  name: str,
  encode: Encode,
  data_set: Any,
  *,
  protocols: Sequence[str] = USUAL,
) -> dict[str, Any]:
  """One row of the table: the accuracies of the features that `encode` gives.

  Args:
    name: what the row is called.
    encode: inputs [batch, ...] -> features [batch, dim], jitted.
    data_set: with labels and a test split.
    protocols: any of "knn", "linear", "few-label", "clusters", "nearest".

  Returns:
    A dict as `Table` describes it.
  """
  _check_protocols(protocols)
  scored = data_set.scored
  data = (*extract(encode, scored.train), *extract(encode, scored.test))
  classes = len(scored.classes) or int(max(data[1].max(), data[3].max())) + 1
  row = {"features": name}
  if "knn" in protocols:
    row["knn"] = knn_accuracy(*data, k=min(20, len(data[1])), classes=classes)
  if "nearest" in protocols:
    row["nearest"] = nearest_accuracy(*data, classes=classes)
  if "linear" in protocols:
    row["linear"] = linear_accuracy(*data, classes=classes)
  if "few-label" in protocols:
    row["few_label"] = _few_label(*data)
  if "clusters" in protocols:
    row["clusters"] = cluster_accuracy(*data[2:], classes=classes)
  return row


def as_text(table: Table) -> str:
  """The table in aligned columns, with the protocols under it; or its reason."""
  if not table.rows:
    return table.reason
  cells = _cells(table.rows)
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  lines = [
    "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
    for row in cells
  ]
  return "\n".join([*lines, "", "Accuracy in percent.", *table.protocols])


def as_markdown(table: Table) -> str:
  """The table in Markdown, with the protocols under it; or its reason."""
  if not table.rows:
    return table.reason
  header, *rows = _cells(table.rows)
  rule = ["---", *["---:"] * (len(header) - 1)]
  lines = ["| " + " | ".join(row) + " |" for row in [header, rule, *rows]]
  notes = [f"- {line}" for line in table.protocols]
  return "\n".join([*lines, "", "Accuracy in percent.", "", *notes])


def _few_label(train, labels, test, test_labels):
  """Accuracies for those numbers of labels that every class has."""
  smallest = np.unique(labels, return_counts=True)[1].min()
  counts = [count for count in PER_CLASS if count <= smallest]
  scores = few_label(train, labels, test, test_labels, per_class=counts)
  return {str(count): list(score) for count, score in scores.items()}


def _cells(rows):
  """Header and rows as strings."""
  columns = [(key, title) for key, title in COLUMNS if key in rows[0]]
  counts = list(rows[0].get("few_label", {}))
  labels = [f"{count} label{'' if count == '1' else 's'}" for count in counts]
  shares = list(rows[-1].get("finetune", {}))
  tuned = [f"finetune {100 * float(share):g} %" for share in shares]
  cells = [["features", *[title for _, title in columns], *labels, *tuned]]
  for row in rows:
    accuracies = [_with_deviation(row, key) for key, _ in columns]
    few = ["{:.1f} ± {:.1f}".format(*row["few_label"][count]) for count in counts]
    cells.append([row["features"], *accuracies, *few, *_tuned(row, shares)])
  return cells


def _with_deviation(row, key):
  """A row's accuracy; of several runs their mean ± deviation."""
  mean, deviation = row[key], row.get(f"{key}_std")
  return f"{mean:.1f}" if deviation is None else f"{mean:.1f} ± {deviation:.1f}"


def _tuned(row, shares):
  """A row's accuracies after fine-tuning; raw inputs have nothing to tune."""
  found = row.get("finetune", {})
  return [f"{found[share]:.1f}" if share in found else "-" for share in shares]


def unusable(data_set: Any) -> str:
  """Returns why accuracies cannot be measured on a data set, or "" if they can."""
  scored = data_set.scored
  unlabelled = lambda source: "label" not in source[np.arange(1)]
  alone = scored.test is None or not len(scored.test)
  if unlabelled(scored.train) or (not alone and unlabelled(scored.test)):
    return f"{scored.name} has no labels, so there is no accuracy to measure."
  if alone:
    advice = ": put test/ beside train/ in a folder, or x_test and y_test into an .npz"
    advice = advice if data_set.kind.name == "images" else ""
    return f"{scored.name} has no test split, so there is nothing to score{advice}."
  return ""


def raw_name(data_set: Any) -> str:
  """Returns what the row of a data set's inputs themselves is called."""
  return data_set.kind.raw_name(data_set.train[np.arange(1)]["input"])


def _check_protocols(protocols):
  for name in protocols:
    if name not in PROTOCOLS:
      raise InputError(
        f"unknown protocol {name!r}; allowed are {', '.join(PROTOCOLS)}."
        f"{nearest(name, PROTOCOLS)}"
      )
