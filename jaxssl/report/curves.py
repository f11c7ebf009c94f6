"""The measures of a run that the page draws, and what it says of each."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Curve(NamedTuple):
  """A measure of `metrics.jsonl` that the page draws."""

  key: str
  title: str
  about: str
  scale: float = 1.0
  from_zero: bool = False


CURVES = (
  Curve("loss", "Loss", "What training minimises; it does not measure the features."),
  Curve("knn", "kNN accuracy, %", "Nearest neighbours on the features.", 100.0),
  Curve("learning_rate", "Learning rate", "The schedule as it ran.", from_zero=True),
  Curve("grad_norm", "Gradient norm", "Before the optimiser.", from_zero=True),
  Curve(
    "examples_per_second",
    "Examples per second",
    "Training speed as logged.",
    from_zero=True,
  ),
)

MEASURES = (
  Curve("spread", "Spread", "Deviation by size; 0: one point.", from_zero=True),
  Curve("feature_std", "Directions", "1: all; 0: all point one way.", from_zero=True),
  Curve("rankme", "RankMe", "Directions in use, the mean too.", from_zero=True),
  Curve("effective_rank", "Effective rank", "Without the mean; 1: a line.", 1.0, True),
  Curve("lidar", "LiDAR", "Directions that tell examples apart.", from_zero=True),
  Curve("alpha_req", "α-ReQ", "Decay of the spectrum; best near 1."),
  Curve("alignment", "Alignment", "Squared distance of two views.", from_zero=True),
  Curve("uniformity", "Uniformity", "0: one point; less is better."),
)

NOT_DRAWN = {
  *("step", "seconds", "warning", "possible_rank"),
  *("loss_std", "knn_std"),  # deviations over seeds
}


def own_curves(metrics: Sequence[Mapping[str, Any]]) -> list[Curve]:
  """The measures that the method itself logs: pretext accuracy, its losses' parts.

  Args:
    metrics: rows of `metrics.jsonl`.

  Returns:
    A curve for every number that is in some row and that no other curve draws.
  """
  known = {curve.key for curve in (*CURVES, *MEASURES)} | NOT_DRAWN
  keys = {
    key: None
    for row in metrics
    for key, value in row.items()
    if key not in known and "/" not in key and isinstance(value, int | float)
  }
  titles = {key: key.replace("_", " ").capitalize() for key in keys}
  return [Curve(key, title, "As the method logs it.") for key, title in titles.items()]
