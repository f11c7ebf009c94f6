"""The pictures are right pixel by pixel, and the helpers agree with slow loops."""

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from jaxssl.errors import InputError
from jaxssl.report import plots


def pixels(png):
  return np.asarray(Image.open(io.BytesIO(png)))


def channel(colour):
  """Returns a channel of "#rrggbb" as the eye's linear light (WCAG 2)."""
  c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
  return np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
  weights = np.array([0.2126, 0.7152, 0.0722])
  high, low = sorted((channel(a) @ weights, channel(b) @ weights), reverse=True)
  return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", plots.THEMES.values(), ids=plots.THEMES)
def test_text_has_enough_contrast_on_the_paper(theme):
  for colour in (theme.ink, theme.muted, theme.accent, theme.warning):
    assert contrast(colour, theme.paper) >= 4.5


@pytest.mark.parametrize("count", [1, 10, 11, 100])
def test_class_colours_are_distinct(count):
  for theme in plots.THEMES.values():
    colours = plots.class_colours(count, theme=theme)
    assert len(set(colours)) == count
    assert all(len(colour) == 7 for colour in colours)


def test_sheet_enlarges_small_images_pixel_by_pixel():
  image = np.random.default_rng(0).integers(0, 256, (8, 8, 1), np.uint8)
  shown = pixels(plots.sheet(image[None, None]))
  factor = plots.TILE // 8
  blocks = np.kron(image[..., 0], np.ones((factor, factor), np.uint8))
  for i in range(3):
    np.testing.assert_array_equal(shown[..., i], blocks)
  assert (shown[..., 3] == 255).all()


def test_sheet_keeps_colour_and_order():
  red, green = np.zeros((2, 2, 3)), np.zeros((2, 2, 3))
  red[..., 0], green[..., 1] = 1.0, 1.0
  shown = pixels(plots.sheet(np.stack([red, green])[None]))
  assert shown[0, 0].tolist() == [255, 0, 0, 255]
  assert shown[0, -1].tolist() == [0, 255, 0, 255]
  assert shown[0, plots.TILE + plots.GAP].tolist() == [0, 0, 0, 0]


def test_sheet_shrinks_large_images():
  large = np.zeros((1, 1, 300, 600, 3), np.uint8)
  assert pixels(plots.sheet(large)).shape == (plots.TILE // 2, plots.TILE, 4)


def test_sheet_wants_rows_and_columns():
  with pytest.raises(InputError, match="rows, columns"):
    plots.sheet(np.zeros((8, 8, 1)))


@pytest.mark.parametrize(
  ("values", "expected"),
  [
    ([0.0, 0.5, 1.0], [0, 128, 255]),
    ([-1.0, 0.0, 3.0], [0, 64, 255]),
    ([0.0, np.nan, 1.0], [0, 0, 255]),
  ],
  ids=["range", "beyond", "nan"],
)
def test_to_bytes_shows_any_floats(values, expected):
  image = np.array(values).reshape(1, 3, 1)
  assert plots.to_bytes(image)[0, :, 0].tolist() == expected


def test_to_bytes_shows_the_first_of_two_channels_in_grey():
  image = np.array([[[10, 200]]], np.uint8)
  assert plots.to_bytes(image).tolist() == [[[10, 10, 10]]]


def loop_neighbours(features, query, k):
  unit = [f / np.linalg.norm(f) for f in features]
  others = [i for i in range(len(unit)) if i != query]
  return sorted(others, key=lambda i: -float(unit[i] @ unit[query]))[:k]


def test_neighbours_agree_with_a_loop():
  features = np.random.default_rng(1).normal(size=(20, 5))
  found = plots.neighbours_of(features, queries=np.array([3, 0, 19]), k=4)
  assert found[:, 0].tolist() == [3, 0, 19]
  for row in found.tolist():
    assert row[1:] == loop_neighbours(features, row[0], 4)


def test_neighbours_leave_out_the_query_among_equals():
  found = plots.neighbours_of(np.ones((4, 2)), queries=np.array([1]), k=3)
  assert found.tolist() == [[1, 0, 2, 3]]


def test_neighbours_put_bad_rows_last():
  features = np.array([[1.0, 0], [np.nan, 0], [-1, 0], [np.inf, 0], [1, 1]])
  found = plots.neighbours_of(features, queries=np.array([0]), k=4)
  assert found[0, :3].tolist() == [0, 4, 2]


@pytest.mark.parametrize(("query", "k"), [(0, 0), (0, 4), (4, 1), (-1, 1)])
def test_neighbours_check_their_arguments(query, k):
  with pytest.raises(InputError):
    plots.neighbours_of(np.ones((4, 2)), queries=np.array([query]), k=k)


def test_map_keeps_clusters_together_and_repeats():
  rng = np.random.default_rng(2)
  labels = np.arange(60) % 3
  features = 5 * np.eye(3)[labels] + rng.normal(size=(60, 3)) * 0.1
  rows, points = plots.flat_map(features)
  assert rows.tolist() == list(range(60))
  nearest = np.linalg.norm(points[:, None] - points, axis=-1)
  np.fill_diagonal(nearest, np.inf)
  assert (labels[nearest.argmin(axis=1)] == labels).all()
  np.testing.assert_array_equal(points, plots.flat_map(features)[1])


@pytest.mark.parametrize(
  ("n", "dim"), [(0, 3), (1, 3), (2, 1), (4, 3), (6, 1), (7, 90)]
)
def test_map_of_few_points_or_dimensions(n, dim):
  rows, points = plots.flat_map(np.random.default_rng(3).normal(size=(n, dim)))
  assert points.shape == (n, 2) and len(rows) == n
  assert np.isfinite(points).all()


def test_map_draws_a_repeatable_part_of_many_rows():
  features = np.random.default_rng(4).normal(size=(50, 4))
  rows, points = plots.flat_map(features, limit=12)
  assert len(set(rows.tolist())) == len(points) == 12
  assert rows.tolist() == sorted(rows.tolist())
  assert rows.tolist() == plots.flat_map(features, limit=12)[0].tolist()
  assert rows.tolist() != plots.flat_map(features, limit=12, seed=1)[0].tolist()


def test_map_leaves_out_rows_that_are_not_finite():
  features = np.random.default_rng(5).normal(size=(8, 4))
  features[2, 1], features[5, 0] = np.nan, np.inf
  assert plots.flat_map(features)[0].tolist() == [0, 1, 3, 4, 6, 7]


def test_map_of_collapsed_features_is_a_point():
  assert not plots.flat_map(np.full((30, 8), 0.7))[1].any()


@pytest.mark.parametrize("values", [[1.0], [0.0, 0.0], [-1.0, -3.0], [1e-6, 2e7]])
@pytest.mark.parametrize("from_zero", [True, False])
def test_curve_draws_any_values(values, from_zero):
  png = plots.curve(
    np.arange(len(values)) * 10**6,
    np.array(values),
    theme=plots.DARK,
    from_zero=from_zero,
    references=[0.5],
  )
  shown = pixels(png)[..., :3]
  assert (shown == channel_bytes(plots.DARK.accent)).all(axis=-1).any()
  assert shown[0, 0].tolist() == channel_bytes(plots.DARK.paper)


def test_a_small_curve_is_small_and_keeps_its_margins():
  """What is written beside the axes is as large as beside a large curve."""
  draw = lambda inches: pixels(
    plots.curve(
      np.arange(3) * 1000,
      np.array([0.0, 1.0, 2.0]),
      theme=plots.LIGHT,
      from_zero=True,
      inches=inches,
    )
  )[..., :3]
  left = lambda png: (png == channel_bytes(plots.LIGHT.accent)).all(-1).any(0).argmax()
  large, small = draw((4.4, 2.3)), draw((2.3, 1.6))
  assert small.shape == (round(1.6 * plots.DPI), round(2.3 * plots.DPI), 3)
  assert abs(left(large) - left(small)) < 0.1 * plots.DPI


def channel_bytes(colour):
  return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def test_scatter_colours_by_label_and_greys_the_unknown():
  points = np.array([[0.0, 0], [1, 0], [0, 1]])
  png = plots.scatter(points, np.array([0, 1, -1]), classes=2, theme=plots.LIGHT)
  shown = pixels(png)[..., :3]
  for colour in (*plots.LIGHT.classes[:2], plots.LIGHT.line):
    assert (shown == channel_bytes(colour)).all(axis=-1).any()


def test_drawing_leaves_matplotlib_as_it_was():
  before = matplotlib.rcParams.copy()
  points = np.zeros((2, 2))
  plots.scatter(points, None, classes=0, theme=plots.LIGHT)
  assert matplotlib.rcParams == before


def test_pictures_name_no_software():
  png = plots.scatter(np.zeros((2, 2)), None, classes=0, theme=plots.LIGHT)
  assert "Software" not in Image.open(io.BytesIO(png)).info
