"""One self-contained HTML page about a run, and its pictures as PNG files.

`write` is a pure function of plain data but for the files it writes: no training
code, no network, and the same inputs give the same bytes.
"""

import importlib.resources
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

import numpy as np

from jaxssl.data.kinds import Tile
from jaxssl.errors import InputError
from jaxssl.report import plots, scores, tiles
from jaxssl.report.curves import CURVES, MEASURES, own_curves

SMALL = (2.3, 1.6)  # inches of a measure's curve: four in a row

MOST_TABLES = 2  # of rows of a table, shown column by column
MOST_COLOURS = len(plots.LIGHT.classes)


class Part(NamedTuple):
  """A section of the page, and the PNG files that belong to it by name."""

  html: str
  files: Mapping[str, bytes]


def write(
  out: Path,
  *,
  title: str,
  config: Mapping[str, Any] | None = None,
  metrics: Sequence[Mapping[str, Any]] = (),
  evaluation: Sequence[Mapping[str, Any]] = (),
  task: Mapping[str, str] | None = None,
  views: np.ndarray | Sequence[Sequence[Tile]] | None = None,
  pictures: Mapping[str, np.ndarray | Sequence[Sequence[Tile]]] | None = None,
  embedding: np.ndarray | None = None,
  labels: np.ndarray | None = None,
  examples: np.ndarray | Sequence[Tile] | None = None,
  neighbours: np.ndarray | None = None,
  classes: Sequence[str] = (),
  split: str = "test",
  environment: Mapping[str, Any] | None = None,
  notes: Sequence[str] = (),
) -> Path:
  """Writes `out/report.html` and its pictures, `out/report/*.png`.

  Every part but the title may be missing; the page then says so in a line.

  Args:
    out: the folder of the run, made if absent.
    title: what the page is about.
    config: settings by name; nested ones appear as `outer.inner`.
    metrics: rows {"step": int, and any of the keys of `CURVES` and `MEASURES`, these
      also as "measure/KEY", which then counts}; of rows with the same step the last
      one counts. `knn` is a fraction; `warning` is a sentence on a collapse.
    evaluation: rows {"features": name, "knn": fraction | None, "linear": fraction |
      None, "few_label": {"10": [mean, std], ...}, "finetune": {"0.1": fraction,
      ...}}, what is missing left out; of several seeds also "knn_std" and its like,
      and "seeds": [seed, ...]; the first row is the run's own features, the others
      are what to compare with.
    task: what papers on such data report, by its name; the page has no such part
      without.
    views: a row of tiles for each example, the original before its views; of images
      it may be [n, 1 + views, h, w, c].
    pictures: what the method made of test examples, by a caption that names the
      columns ("original | rebuilt"): rows of tiles as `views`.
    embedding: [n, dim] features of examples of the split.
    labels: [n] classes of those examples; negative: not known.
    examples: [n] tiles of those examples, of images also [n, h, w, c]; None where
      they have no looks of their own.
    neighbours: [m, 1 + k] rows of these: a query, then its nearest.
    classes: their names, in the order of the labels.
    split: what the examples are: of the test or the training split.
    environment: versions, device and so on; `wall_time_s` is shown as a duration.
    notes: sentences that the reader must not miss.

  Returns:
    The path of the page.

  Raises:
    InputError: `labels`, `embedding` and `examples` disagree on n, or a neighbour is
      not one of them.
  """
  _check_rows(labels, embedding, examples, neighbours)
  parts = (
    _evaluation(evaluation),
    *([_pairs("Scores of the task", task)] if task else ()),
    _curves(metrics, evaluation),
    _collapse(metrics),
    _views(views),
    *(_made(caption, images) for caption, images in (pictures or {}).items()),
    _map(embedding, labels, classes, split),
    _neighbours(neighbours, labels, examples, classes, split),
    _pairs("Configuration", _flatten(config or {})),
    _pairs("Environment", _environment(environment or {})),
  )
  head = _head(title, scores.sentence(evaluation), notes)
  body = "\n".join([head, *(part.html for part in parts)])
  _write_files(Path(out) / "report", parts)
  page = Path(out) / "report.html"
  page.write_text(_page(title, body), encoding="utf-8", newline="\n")
  return page


def _check_rows(labels, embedding, examples, neighbours):
  named = {"labels": labels, "embedding": embedding, "examples": examples}
  sizes = {name: len(x) for name, x in named.items() if x is not None}
  if len(set(sizes.values())) > 1:
    raise InputError(f"These must have the same number of rows: {sizes}.")
  if neighbours is None or not np.size(neighbours) or not sizes:
    return
  n = min(sizes.values())
  if not 0 <= np.min(neighbours) <= np.max(neighbours) < n:
    raise InputError(f"Neighbours must be rows from 0 to {n - 1}.")


def _write_files(folder, parts):
  folder.mkdir(parents=True, exist_ok=True)
  for part in parts:
    for name, png in part.files.items():
      (folder / name).write_bytes(png)


def _page(title, body):
  template = importlib.resources.files("jaxssl.report").joinpath("page.html")
  return Template(template.read_text(encoding="utf-8")).substitute(
    title=escape(title),
    light=_variables(plots.LIGHT),
    dark=_variables(plots.DARK),
    body=body,
  )


def _variables(theme):
  """Returns the theme as CSS variables: --paper, ..., and --class0 to --class9."""
  named = {name: value for name, value in theme._asdict().items() if name != "classes"}
  classes = {f"class{i}": value for i, value in enumerate(theme.classes)}
  return " ".join(f"--{name}: {value};" for name, value in {**named, **classes}.items())


def _head(title, result, notes):
  html = f'<h1>{escape(title)}</h1>\n<p class="result">{escape(result)}</p>'
  if not notes:
    return html
  items = "".join(f"<li>{escape(note)}</li>" for note in notes)
  return f'{html}\n<aside class="notes"><h2>Please note</h2><ul>{items}</ul></aside>'


def _section(title, body, *, about=""):
  about = f'<p class="about">{escape(about)}</p>\n' if about else ""
  return f"<section>\n<h2>{escape(title)}</h2>\n{about}{body}\n</section>"


def _missing(title, sentence):
  return Part(_section(title, f'<p class="missing">{escape(sentence)}</p>'), {})


# ----------------------------------------------------------------------------------
# The scores, and the curves.


def _evaluation(rows) -> Part:
  title = "What the features are worth"
  if not scores.columns(rows):
    return _missing(title, "No evaluation was recorded, or there are no labels.")
  html = f'<div class="wide">{scores.table(rows)}</div>'
  return Part(_section(title, html, about=scores.about(rows)), {})


def _curves(metrics, evaluation) -> Part:
  title = "Training"
  drawn = (*CURVES, *own_curves(metrics))
  panels = [_panel(curve, metrics, evaluation) for curve in drawn]
  panels = [panel for panel in panels if panel is not None]
  if not panels:
    return _missing(title, "No metrics were recorded.")
  html = "\n".join(panel.html for panel in panels)
  files = {name: png for panel in panels for name, png in panel.files.items()}
  return Part(_section(title, f'<div class="curves">\n{html}\n</div>'), files)


def _collapse(metrics) -> Part:
  """The measures of the features, together as one figure."""
  title = "Collapse and rank"
  panels = [
    _panel(curve, _measured(metrics, curve.key), [], inches=SMALL) for curve in MEASURES
  ]
  panels = [panel for panel in panels if panel is not None]
  if not panels:
    return _missing(title, "No measures of the features were recorded.")
  html = "\n".join(panel.html for panel in panels)
  files = {name: png for panel in panels for name, png in panel.files.items()}
  html = f'<div class="curves measures">\n{html}\n</div>'
  about = "Measures of the features without labels. " + _flagged(metrics)
  return Part(_section(title, html, about=about), files)


def _measured(metrics, key):
  """Rows with the measure of training as `key`, or that of the looks without one."""
  name = f"measure/{key}"
  rows = [{"step": row["step"], key: row[name]} for row in metrics if name in row]
  return rows or metrics


def _flagged(metrics):
  steps = sorted({row["step"] for row in metrics if row.get("warning")})
  if not steps:
    return "No step that was logged looked collapsed."
  if len(steps) == 1:
    return f"Step {steps[0]:,} looked collapsed."
  return f"{len(steps)} steps from {steps[0]:,} to {steps[-1]:,} looked collapsed."


def _panel(curve, metrics, evaluation, *, inches=(4.4, 2.3)) -> Part | None:
  steps, values = _series(metrics, curve.key)
  finite = np.isfinite(values)
  if not finite.any():
    return None
  steps, values = steps[finite], values[finite] * curve.scale
  said = _said(curve, steps, values, int((~finite).sum()))
  references = _references(curve, evaluation)
  drawn = {
    theme: plots.curve(
      steps,
      values,
      theme=colours,
      from_zero=curve.from_zero,
      references=[value for _, value in references],
      inches=inches,
    )
    for theme, colours in plots.THEMES.items()
  }
  about = escape(curve.about + _dashed(references))
  caption = f'<p class="caption">{escape(said)}<br>{about}</p>'
  html = f"<figcaption><h3>{escape(curve.title)}</h3>{caption}</figcaption>"
  picture = tiles.themed(drawn, f"{curve.title} over the training steps. {said}")
  return Part(f"<figure>{html}{picture}</figure>", _files(curve.key, drawn))


def _series(metrics, key):
  """Returns steps and values of one measure; a resumed step counts once."""
  found = {row["step"]: row[key] for row in metrics if row.get(key) is not None}
  steps = np.array(sorted(found), np.int64)
  return steps, np.array([found[step] for step in steps.tolist()], np.float64)


def _said(curve, steps, values, lost):
  """Returns the last and, for accuracies, the best value: they are not the same."""
  said = f"Last {_number(values[-1])} at step {steps[-1]:,}."
  if curve.key == "knn":
    best = int(values.argmax())
    said += f" Best {_number(values[best])} at step {steps[best]:,}."
  return said + (f" Not finite at {lost} of the steps." if lost else "")


def _number(value):
  return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _references(curve, evaluation):
  if curve.key != "knn":
    return []
  rows = [(row["features"], row.get("knn")) for row in evaluation[1:]]
  return [
    (str(name), curve.scale * value) for name, value in rows if scores.score(value)
  ]


def _dashed(references):
  if not references:
    return ""
  ordered = sorted(references, key=lambda named: -named[1])
  named = ", ".join(f"{name} {_number(value)}" for name, value in ordered)
  return f" Dashed, from above, at the end of the run: {named}."


def _files(name, drawn):
  return {
    f"{name}{'' if theme == 'light' else '_' + theme}.png": png
    for theme, png in drawn.items()
  }


# ----------------------------------------------------------------------------------
# Views, map and neighbours.


def _views(views) -> Part:
  title = "Views"
  if views is None or not len(views):
    return _missing(title, "No views of this run were drawn.")
  count = len(views[0]) - 1
  alt = f"A training example and {count} views of it."
  about = "What training sees: an example of the data set, then random views of it."
  if not count:
    about = "What training sees: examples of the data set; views have another form."
  names = ["example", *(f"view {i + 1}" for i in range(count))]
  html, files = _rows_of(views, "views.png", alt, names)
  return Part(_section(title, html, about=about), files)


def _rows_of(rows, file, alt, names, *, apart=True):
  """Rows of tiles as HTML, and as a picture where all are images of one shape."""
  if not tiles.are_images(rows):
    if isinstance(rows[0][0], dict):  # each is as long as the table has columns
      rows = rows[:MOST_TABLES]
    captions = [("name", name) for name in names]
    html = "".join(tiles.as_row(row, captions) for row in rows)
    return f'<div class="neighbours">{html}</div>', {}
  images = plots.to_bytes(np.asarray(rows))
  strips = [
    tiles.image(plots.sheet(r[None], apart=apart), alt, kind="strip") for r in images
  ]
  style = f"--columns: {images.shape[1]}"
  html = f'<div class="strips" style="{style}">{"".join(strips)}</div>'
  return html, {file: plots.sheet(images, apart=apart)}


def _made(caption, rows) -> Part:
  title = caption[:1].upper() + caption[1:]
  about = "What the method makes of examples that it wasn't trained on."
  if caption == "samples":
    about = "Drawn from the prior, not from any example."
  name = re.sub("[^a-z0-9]+", "_", caption.lower()).strip("_")
  names = caption.split(" | ")
  names += names[-1:] * (len(rows[0]) - len(names))  # "a word | its nearest"
  compared = " | " in caption  # samples have no column to compare with
  html, files = _rows_of(rows, f"{name}.png", caption, names, apart=compared)
  return Part(_section(title, html, about=about), files)


def _map(embedding, labels, classes, split) -> Part:
  title = "Map of the features"
  if embedding is None or not len(embedding):
    return _missing(title, "No features were given.")
  rows, points = plots.flat_map(np.asarray(embedding))
  if not points.any():
    return _missing(
      title, "There is no map: the features are all the same or not finite."
    )
  taken = None if labels is None else np.asarray(labels)[rows]
  count = _count_classes(labels, classes)
  drawn = {
    theme: plots.scatter(points, taken, classes=count, theme=colours)
    for theme, colours in plots.THEMES.items()
  }
  shown = f"{len(rows)} {split} examples"
  alt = f"t-SNE of the features of {shown}{_coloured(labels)}."
  figure = f"<figure>{tiles.themed(drawn, alt)}</figure>"
  html = f'<div class="map">{figure}{_legend(taken, count, classes)}</div>'
  return Part(
    _section(title, html, about=_about_map(shown, labels, count)), _files("map", drawn)
  )


def _coloured(labels):
  return "" if labels is None else ", coloured by class"


def _about_map(shown, labels, count):
  colours = "" if labels is None else " The colours are the classes"
  if count > MOST_COLOURS:
    colours += f", {count} of them, too many for a legend"
  return (
    f"{shown}, near each other where their features point the same way (t-SNE; "
    f"distances between groups mean little).{colours}{colours and '.'}"
  )


def _count_classes(labels, classes):
  if labels is None:
    return 0
  return max(len(classes), int(np.max(labels, initial=-1)) + 1)


def _legend(labels, count, classes):
  if not 0 < count <= MOST_COLOURS:
    return ""
  items = [(f"class{i}", _class_name(i, classes)) for i in range(count)]
  if np.min(labels) < 0:
    items.append(("line", _class_name(-1, classes)))
  html = "".join(
    f'<li><span style="background: var(--{colour})"></span>{escape(name)}</li>'
    for colour, name in items
  )
  return f'<ul class="legend" aria-label="Colours of the classes">{html}</ul>'


def _class_name(label, classes):
  if label < 0:
    return "unknown"
  return str(classes[label]) if label < len(classes) else f"class {label}"


def _neighbours(neighbours, labels, examples, classes, split) -> Part:
  title = "Nearest neighbours"
  if neighbours is None or not np.size(neighbours):
    return _missing(title, "No neighbours were given.")
  if examples is None:
    return _missing(
      title,
      "Nothing can be shown of parts of one example, such as the nodes of a graph.",
    )
  neighbours = np.asarray(neighbours)
  chosen = [[examples[i] for i in row] for row in neighbours.tolist()]
  images = tiles.are_images(chosen)
  if images:  # of all of them together: one stretch of the values
    chosen = plots.to_bytes(np.asarray(chosen))
  shown = None if labels is None else np.asarray(labels)[neighbours]
  captions = _captions(neighbours, shown, classes)
  rows = [tiles.as_row(*row) for row in zip(chosen, captions, strict=True)]
  html = f'<div class="neighbours">{"".join(rows)}</div>'
  about = f"Left a {split} example, then its nearest by the cosine of the features."
  files = {"neighbours.png": plots.sheet(chosen)} if images else {}
  return Part(_section(title, html, about=about + _agreement(shown)), files)


def _captions(neighbours, labels, classes):
  """Returns (kind, name) of every tile: a query, a neighbour, or one that differs."""
  if labels is None:
    return [[_caption(i, str(row)) for i, row in enumerate(r)] for r in neighbours]
  return [
    [_caption(i, _class_name(x, classes), x, row[0]) for i, x in enumerate(row)]
    for row in labels.tolist()
  ]


def _caption(column, name, label=-1, query=-1):
  if column == 0:
    return "query", name
  differs = label >= 0 and query >= 0 and label != query
  return ("other", f"≠ {name}") if differs else ("same", name)


def _agreement(labels):
  if labels is None:
    return ""
  query, nearest = labels[:, :1], labels[:, 1:]
  known = (query >= 0) & (nearest >= 0)
  same = int((known & (query == nearest)).sum())
  return f" Of these {int(known.sum())} neighbours {same} are of the query's class."


# ----------------------------------------------------------------------------------
# Settings.


def _pairs(title, pairs: Mapping[str, Any]) -> Part:
  if not pairs:
    return _missing(title, "Not recorded.")
  rows = "".join(
    f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(str(value))}</td></tr>'
    for name, value in pairs.items()
  )
  return Part(_section(title, f'<table class="pairs">{rows}</table>'), {})


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  flat = {}
  for name, value in settings.items():
    nested = isinstance(value, Mapping)
    flat |= (
      _flatten(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    )
  return flat


def _environment(environment):
  pairs = _flatten(environment)
  seconds = pairs.pop("wall_time_s", None)
  return pairs if seconds is None else {**pairs, "wall time": _duration(seconds)}


def _duration(seconds: float) -> str:
  """Returns seconds as people say them: "41 s", "3 min 12 s", "2 h 5 min"."""
  if seconds < 60:
    return f"{seconds:.3g} s"
  minutes, rest = divmod(round(seconds), 60)
  if minutes < 60:
    return f"{minutes} min {rest} s"
  return f"{minutes // 60} h {minutes % 60} min"
