"""The scores of the evaluations, in a sentence and in a table."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

ABOUT = "Accuracy on the test set in %, the best of each column underlined."
NOTES = {
  "few_label": " With few labels: mean ± standard deviation over draws of the labels.",
  "finetune": " Fine-tuned: the whole encoder, on that share of the labels.",
}
OF_SEEDS = " Mean ± standard deviation of {} runs that differ in their seed."


class Column(NamedTuple):
  """One protocol: its key, how a table and how a sentence call it, and its scores."""

  key: str
  heading: str
  phrase: str
  scores: tuple[tuple[float, float | None] | None, ...]  # (mean, std) by row


def columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
  """Returns the protocols that at least one row has a score for."""
  counts = {key for row in rows for key in row.get("few_label") or {}}
  few = [_few_label_column(rows, key) for key in sorted(counts, key=int)]
  shares = {key for row in rows for key in row.get("finetune") or {}}
  tuned = [_finetune_column(rows, key) for key in sorted(shares, key=float)]
  plain = [
    Column("knn", "kNN", "With nearest neighbours", _plain(rows, "knn")),
    Column("nearest", "1-NN", "With the nearest neighbour", _plain(rows, "nearest")),
    Column("linear", "linear probe", "With a linear probe", _plain(rows, "linear")),
    Column("clusters", "clusters", "By clusters alone", _plain(rows, "clusters")),
  ]
  return [column for column in (*plain, *tuned, *few) if any(column.scores)]


def _few_label_column(rows, key):
  unit = "label" if int(key) == 1 else "labels"
  scores = tuple(
    score(*((row.get("few_label") or {}).get(key) or [None])) for row in rows
  )
  return Column(f"few_label {key}", str(key), f"With {key} {unit} a class", scores)


def _finetune_column(rows, key):
  share = f"{100 * float(key):g}\u00a0%"
  found = tuple(score((row.get("finetune") or {}).get(key)) for row in rows)
  phrase = f"Fine-tuned with {share} of the labels"
  return Column(f"finetune {key}", f"fine-tuned {share}", phrase, found)


def _plain(rows, key):
  return tuple(score(row.get(key), row.get(f"{key}_std")) for row in rows)


def score(mean: float | None, std: float | None = None) -> tuple | None:
  """Returns (mean, std), or None where there is no finite mean."""
  return None if mean is None or not math.isfinite(mean) else (mean, std)


def _percent(value):
  return f"{100 * value:.1f}"


def sentence(rows: Sequence[Mapping[str, Any]]) -> str:
  """Returns the result: few labels, else clusters, linear or neighbours, else tuned."""
  known = [column for column in columns(rows) if column.scores[0]]
  if not known:
    return "No evaluation was recorded for this run."
  frozen = [column for column in known if not column.key.startswith("finetune")]
  column = (frozen or known)[-1]
  first, *others = [
    (_named(row), f"{_percent(score[0])}\u00a0%")
    for row, score in zip(rows, column.scores, strict=True)
    if score
  ]
  compared = "".join(f", {name} {percent}" for name, percent in others)
  return f"{column.phrase} {first[0]} reached {first[1]}{compared}."


def _named(row):
  name = str(row["features"])
  return f"the {name}" if name.startswith(("trained", "untrained")) else name


def table(rows: Sequence[Mapping[str, Any]]) -> str:
  """Returns the scores as an HTML table."""
  shown = columns(rows)
  lines = "".join(_scores_row(row, shown, i) for i, row in enumerate(rows))
  head = f"<thead>{_scores_head(shown)}</thead>"
  return f'<table class="scores">{head}<tbody>{lines}</tbody></table>'


def about(rows: Sequence[Mapping[str, Any]]) -> str:
  """Returns what the table's numbers are."""
  kinds = {column.key.split()[0] for column in columns(rows)}
  runs = max((len(row.get("seeds", ())) for row in rows), default=0)
  notes = NOTES | ({"few_label": ""} if runs else {})
  several = OF_SEEDS.format(runs) if runs else ""
  found = (text for kind, text in notes.items() if kind in kinds)
  return "".join((ABOUT, several, *found))


def _scores_head(columns):
  few = [column for column in columns if column.key.startswith("few_label")]
  rows = 2 if few else 1
  spanning = ["features", *(c.heading for c in columns if c not in few)]
  cells = [f'<th scope="col" rowspan="{rows}">{escape(x)}</th>' for x in spanning]
  if not few:
    return f"<tr>{''.join(cells)}</tr>"
  group = f'<th scope="colgroup" colspan="{len(few)}">labels a class</th>'
  counts = "".join(f'<th scope="col">{escape(c.heading)}</th>' for c in few)
  return f"<tr>{''.join(cells)}{group}</tr><tr>{counts}</tr>"


def _scores_row(row, columns, i):
  cells = "".join(_cell(column, i) for column in columns)
  return f'<tr><th scope="row">{escape(str(row["features"]))}</th>{cells}</tr>'


def _cell(column, i):
  score = column.scores[i]
  if score is None:
    return "<td>–</td>"
  mean, std = score
  spread = "" if std is None else f" <small>± {_percent(std)}</small>"
  if _percent(mean) == _best(column):
    return f'<td class="best"><strong>{_percent(mean)}</strong>{spread}</td>'
  return f"<td>{_percent(mean)}{spread}</td>"


def _best(column):
  """Returns the best score as shown, or None where there is nothing to compare."""
  means = [score[0] for score in column.scores if score]
  return _percent(max(means)) if len(means) > 1 else None
