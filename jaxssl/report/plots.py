"""The pictures of a report as PNG bytes, and the numbers behind them.

Pure functions of numpy arrays. Matplotlib is used through `Figure` alone, so that
neither its backend nor its settings change for the caller.
"""

import colorsys
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxssl.errors import InputError

DPI = 180
GAP = 10  # pixels between the tiles of a sheet, thrice that after the first column
TILE = 128  # pixels: tiles are brought close to this size
MAP_POINTS = 500  # t-SNE takes about a second for so many


class Theme(NamedTuple):
  """The colours of a page and its plots, as "#rrggbb".

  Attributes:
    paper: the background.
    ink: text and the main line.
    muted: ticks, captions and reference lines.
    line: rules and grids.
    accent: the one colour that stands out.
    warning: what needs attention.
    classes: ten colours that also colour-blind readers tell apart.
  """

  paper: str
  ink: str
  muted: str
  line: str
  accent: str
  warning: str
  classes: tuple[str, ...]


# The class colours are Petroff's accessible ten (arXiv 2107.02270), the dark ones
# of them lightened for the dark page.
LIGHT = Theme(
  paper="#ffffff",
  ink="#1b1e23",
  muted="#5c6570",
  line="#dcdfe4",
  accent="#1d5fa6",
  warning="#a4370a",
  classes=(
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
  ),
)
DARK = Theme(
  paper="#15181c",
  ink="#e6e8eb",
  muted="#9ea6b0",
  line="#343940",
  accent="#7db4ee",
  warning="#f2a07b",
  classes=(
    *("#4f9fe6", "#ffb52e", "#ee5a3c", "#a9b8b6", "#b57be0"),
    *("#c08a78", "#f57f26", "#c9bd83", "#8d919e", "#9fe4e7"),
  ),
)
THEMES = {"light": LIGHT, "dark": DARK}


def class_colours(count: int, *, theme: Theme) -> tuple[str, ...]:
  """Returns `count` colours: the theme's ten, or evenly spaced hues beyond ten."""
  if count <= len(theme.classes):
    return theme.classes[:count]
  lightness = 0.42 if theme is LIGHT else 0.66
  hues = [colorsys.hls_to_rgb(i / count, lightness, 0.65) for i in range(count)]
  return tuple("#" + "".join(f"{round(255 * c):02x}" for c in hue) for hue in hues)


def curve(
  steps: np.ndarray,
  values: np.ndarray,
  *,
  theme: Theme,
  from_zero: bool,
  references: Sequence[float] = (),
  inches: tuple[float, float] = (4.4, 2.3),
) -> bytes:
  """Draws one measure over the steps.

  Args:
    steps: [n] training steps, ascending.
    values: [n] the measure, finite.
    theme: the colours.
    from_zero: whether the vertical axis reaches zero (measures where zero means
      something, such as collapse).
    references: dashed horizontal lines to compare with.
    inches: width and height.

  Returns:
    A PNG file.
  """
  width, height = inches
  box = (0.55 / width, 0.44 / height, 1 - 0.79 / width, 1 - 0.51 / height)
  figure, axes = _figure(inches, box, theme)
  for value in references:
    axes.axhline(value, color=theme.muted, linewidth=0.9, linestyle=(0, (4, 3)))
  marker = "o" if len(steps) <= 30 else None
  style = {"color": theme.accent, "linewidth": 1.5, "marker": marker, "ms": 3}
  axes.plot(steps, values, clip_on=False, **style)
  pad = max(1.0, 0.02 * float(steps[-1] - steps[0]))
  axes.set_xlim(steps[0] - pad, steps[-1] + pad)
  if from_zero:
    _include_zero(axes)
  _style_axes(axes, theme)
  return _png(figure)


def _include_zero(axes):
  low, high = axes.dataLim.intervaly
  low, high = min(low, 0), max(high, 0)
  axes.set_ylim(low, high + 0.05 * (high - low) if high > low else 1)


def _style_axes(axes, theme):
  from matplotlib.ticker import FuncFormatter, MaxNLocator

  axes.spines[["top", "right", "left"]].set_visible(False)
  axes.spines["bottom"].set_color(theme.line)
  axes.set_axisbelow(True)
  axes.grid(axis="y", color=theme.line, linewidth=0.7)
  axes.tick_params(colors=theme.muted, labelsize=8.5, length=0)
  ticks = 5 if axes.figure.get_figwidth() > 3 else 3
  axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True, min_n_ticks=1))
  axes.yaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
  axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _tick(x)))
  axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: _tick(y)))
  axes.set_xlabel("step", color=theme.muted, fontsize=8.5)


def _tick(value):
  if abs(value) >= 1e6:
    return f"{value / 1e6:g}M"
  return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def scatter(
  points: np.ndarray, labels: np.ndarray | None, *, classes: int, theme: Theme
) -> bytes:
  """Draws points in the plane, coloured by label.

  Args:
    points: [n, 2] positions; the axes carry no meaning and are not drawn.
    labels: [n] integers in [0, classes), others in a faint grey; None: one colour.
    classes: how many classes there are.
    theme: the colours.

  Returns:
    A PNG file.
  """
  figure, axes = _figure((4.8, 4.4), (0.01, 0.01, 0.98, 0.98), theme)
  colours = _point_colours(labels, len(points), classes, theme)
  axes.scatter(*points.T, s=17, c=colours, linewidths=0.4, edgecolors=theme.paper)
  axes.set_axis_off()
  axes.set_aspect("equal", adjustable="datalim")
  return _png(figure)


def graph(
  places: np.ndarray, edges: np.ndarray, colours: np.ndarray, *, theme: Theme
) -> bytes:
  """Draws a graph: edges as lines, nodes as points coloured by class.

  Args:
    places: [nodes, 2]; the axes carry no meaning and are not drawn.
    edges: int [2, edges].
    colours: int [nodes], a class each; negative: none.
    theme: the colours.

  Returns:
    A PNG file.
  """
  from matplotlib.collections import LineCollection

  figure, axes = _figure((3.2, 3.0), (0.01, 0.01, 0.98, 0.98), theme)
  lines = places[edges.T]
  axes.add_collection(LineCollection(lines, colors=theme.line, linewidths=0.5))
  classes = max(int(colours.max(initial=-1)) + 1, 1)
  shown = _point_colours(colours, len(places), classes, theme)
  axes.scatter(*places.T, s=9, c=shown, linewidths=0, zorder=2)
  axes.set_axis_off()
  axes.set_aspect("equal", adjustable="datalim")
  return _png(figure)


def spectrum(values: np.ndarray) -> bytes:
  """Draws [time, bands], time to the right, low bands below, larger values brighter."""
  from matplotlib import colormaps

  x = np.nan_to_num(np.asarray(values, np.float32)).T[::-1]
  spread = max(float(x.max() - x.min()), 1e-9)
  colours = colormaps["magma"]((x - x.min()) / spread)[..., :3]
  return sheet(np.round(255 * colours).astype(np.uint8)[None, None])


def _point_colours(labels, n, classes, theme):
  if labels is None:
    return [theme.accent] * n
  colours = class_colours(classes, theme=theme)
  return [colours[i] if 0 <= i < classes else theme.line for i in labels.tolist()]


def _figure(inches, box, theme):
  """Returns a figure and its axes; `box` is their left, bottom, width and height."""
  from matplotlib.figure import Figure

  figure = Figure(inches, facecolor=theme.paper)
  return figure, figure.add_axes(box, facecolor=theme.paper)


def _png(figure):
  buffer = io.BytesIO()
  # No software version in the file: the same inputs give the same bytes.
  figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
  return buffer.getvalue()


def to_bytes(images: np.ndarray) -> np.ndarray:
  """Returns images that can be shown, [..., 3] uint8.

  Args:
    images: [..., channels], uint8 or floats in [0, 1]; floats that leave the range
      are stretched to it together. Three channels are colour, of any other number
      the first one is shown in grey.
  """
  if images.dtype != np.uint8:
    x = np.nan_to_num(np.asarray(images, np.float32))
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 1.0)
    images = np.round((x - low) * (255.0 / (high - low))).astype(np.uint8)
  colour = images.shape[-1] == 3
  return images if colour else np.repeat(images[..., :1], 3, axis=-1)


def sheet(images: np.ndarray, *, apart: bool = True) -> bytes:
  """Lays images out in rows and columns, small ones enlarged pixel by pixel.

  Args:
    images: [rows, columns, height, width, channels] for `to_bytes`.
    apart: whether the first column stands apart: originals before views, queries
      before neighbours.

  Returns:
    A PNG file with transparent gaps.
  """
  from PIL import Image

  if images.ndim != 5:
    raise InputError(f"sheet needs [rows, columns, h, w, c], not {images.shape}.")
  rows = [[_tile(image) for image in row] for row in to_bytes(images)]
  width, height = (side + GAP for side in rows[0][0].size)
  lefts = [x * width + (2 * GAP if x and apart else 0) for x in range(len(rows[0]))]
  size = (lefts[-1] + width - GAP, len(rows) * height - GAP)
  canvas = Image.new("RGBA", size, (0, 0, 0, 0))
  for y, row in enumerate(rows):
    for left, tile in zip(lefts, row, strict=True):
      canvas.paste(tile, (left, y * height))
  buffer = io.BytesIO()
  canvas.save(buffer, format="PNG")
  return buffer.getvalue()


def _tile(image):
  """Returns a pillow image close to TILE pixels; no pixel of a small one blends."""
  from PIL import Image

  picture = Image.fromarray(image)
  longest = max(picture.size)
  if longest > TILE:
    picture.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    return picture
  factor = TILE // longest
  size = tuple(side * factor for side in picture.size)
  return picture.resize(size, Image.Resampling.NEAREST)


def neighbours_of(features: np.ndarray, *, queries: np.ndarray, k: int) -> np.ndarray:
  """Finds the nearest rows by cosine similarity, the query itself excluded.

  Args:
    features: [n, dim].
    queries: [m] integer rows of `features`.
    k: how many neighbours, from 1 to n - 1.

  Returns:
    [m, 1 + k] integers: the query, then its neighbours, the nearest first (equals
    in the order of their rows).

  Raises:
    InputError: there are not enough rows, or a query is not one of them.
  """
  n, queries = len(features), np.asarray(queries)
  if not 1 <= k < n:
    raise InputError(f"k must be from 1 to {n - 1} for {n} rows, not {k}.")
  if queries.size and not 0 <= queries.min() <= queries.max() < n:
    raise InputError(f"Queries must be rows from 0 to {n - 1}.")
  x = _unit(features)
  similarity = np.nan_to_num(x[queries] @ x.T, nan=-2.0)
  similarity[np.arange(len(queries)), queries] = -np.inf
  order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
  return np.concatenate([queries[:, None], order], axis=1)


def flat_map(
  features: np.ndarray, *, limit: int = MAP_POINTS, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """Lays features out in the plane, near where they are near in angle (t-SNE).

  Args:
    features: [n, dim]; rows that are not finite are left out.
    limit: at most so many points, drawn without replacement.
    seed: of that draw.

  Returns:
    The rows that were taken, [points], ascending, and their places, [points, 2].
    The places are all zero when the features are all the same.
  """
  rows = np.flatnonzero(np.isfinite(features).all(axis=1))
  if len(rows) > limit:
    draw = np.random.default_rng(seed).choice(len(rows), limit, replace=False)
    rows = rows[np.sort(draw)]
  x = _unit(features[rows])
  if len(rows) < 2 or x.std(axis=0).max() < 1e-5:
    return rows, np.zeros((len(rows), 2), np.float32)
  x = _principal(x, 50)
  return rows, _tsne(x) if len(rows) > 4 else x[:, :2]


def _tsne(x):
  from sklearn.manifold import TSNE
  from threadpoolctl import threadpool_limits

  start = np.ascontiguousarray(x[:, :2]) * (1e-4 / x[:, 0].std())
  perplexity = min(30.0, (len(x) - 1) / 3)
  tsne = TSNE(init=start, perplexity=perplexity, max_iter=500, random_state=0)
  with threadpool_limits(1):  # sums over threads would differ from run to run
    return tsne.fit_transform(x)


def _principal(x, dims):
  """Returns the first `dims` principal components, at least two columns."""
  x = x - x.mean(axis=0)
  u, s, _ = np.linalg.svd(x, full_matrices=False)
  scores = (u * s)[:, :dims]
  missing = max(0, 2 - scores.shape[1])
  return np.pad(scores, ((0, 0), (0, missing))).astype(np.float32)


def _unit(x):
  x = np.asarray(x, np.float32)
  with np.errstate(invalid="ignore", over="ignore"):  # rows that are not finite
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
