"""Which numbers the settings of the package's experiments can be.

A width or a learning rate means the same in all of them, so one table of names says
what is allowed, and a network of no channels is refused before any data are opened.
What only one experiment can tell, such as a span that fits its frames, it checks by
itself. A default below the least number has a meaning of its own ("0: the paper's"),
and lowers it for that experiment.

In an experiment of a file of one's own a name may mean anything: none of this holds
there, unless the file lies among the package's. Nor for a run that has begun, which
opens with the settings that it was made with.
"""

import math
from typing import Any, NamedTuple

from jaxssl.errors import InputError


class Range(NamedTuple):
  """Numbers that a setting can be.

  Attributes:
    least: the least of them.
    most: the greatest of them.
    above: whether `least` itself is left out.
  """

  least: float = -math.inf
  most: float = math.inf
  above: bool = False

  def holds(self, value: float) -> bool:
    """Returns whether a number is one of them; nan and the infinite ones never are."""
    inside = self.least <= value <= self.most and abs(value) < math.inf
    return inside and not (self.above and value == self.least)

  def words(self) -> str:
    """Returns " from 1 on", and the like."""
    if self.least == -math.inf:
      return ""
    first = f" {'above' if self.above else 'from'} {self.least:g}"
    if self.most < math.inf:
      return f"{first} to {self.most:g}"
    return first if self.above else f"{first} on"


WHOLE = {
  Range(1): (
    *("width", "depth", "heads", "hidden", "projection", "layers", "dim", "features"),
    *("embedding", "latent", "bottleneck", "context", "prediction_hidden", "groups"),
    *("head_width", "decoder_width", "decoder_heads", "predictor_width", "top"),
    *("predictor_depth", "local_hidden", "local_projection", "local_width", "codes"),
    *("size", "local_size", "token_size", "patch", "tile", "cell", "grid", "unit"),
    *("stride", "smallest", "cube_frames", "cube_side", "frames", "frame_rate", "rate"),
    *("bands", "span", "sorted_frames", "future", "ahead", "predicted", "pairs"),
    *("positive_range", "negative_range", "negatives", "matches", "queue_size"),
    *("clusters", "components", "prototypes", "bins", "permutations", "slices"),
    *("vocabulary", "length", "block", "window", "duplicates", "sub_batch"),
    *("drop_every",),
  ),
  Range(0): (
    *("blocks", "decoder_depth", "head_depth", "registers", "local_count", "shifted"),
    *("block_size", "gap", "overlap", "min_count", "permutation_seed", "warmup"),
    *("warm_epochs",),
  ),
}
REAL = {
  Range(0): (
    *("learning_rate", "bias_learning_rate", "critic_learning_rate", "top_rate"),
    *("top_learning_rate", "last_rate", "predictor_rate", "weight_decay", "strength"),
    *("last_weight_decay", "weight_decay_end", "invariance_weight", "variance_weight"),
    *("covariance_weight", "diversity_weight", "gradient_weight", "kl_weight", "rho"),
    *("koleo_weight", "off_diagonal_weight", "loss_scale", "jitter", "freeze", "drop"),
    *("alpha", "beta", "gamma", "free_bits"),
  ),
  Range(0, above=True): (
    *("temperature", "student_temperature", "teacher_temperature", "sigma", "delta"),
    *("teacher_temperature_start", "epsilon", "seconds"),
  ),
  Range(0, 1): (
    *("dropout", "drop_path", "hard", "momentum", "holdout", "grayscale"),
    *("blur_probability",),
  ),
}
ALLOWED = {
  (kind, name): allowed
  for kind, table in ((int, WHOLE), (float, REAL))
  for allowed, names in table.items()
  for name in names
}
KINDS = {int: "whole numbers", float: "finite numbers"}


def allowed(name: str, default: Any) -> Range | None:
  """Returns the numbers that a setting can be; None for words and switches."""
  if type(default) not in KINDS:
    return None
  found = ALLOWED.get((type(default), name), Range())
  return found._replace(least=min(found.least, default))


def check_range(name: str, value: Any, default: Any) -> None:
  """Raises `InputError` for a number that a setting can't be.

  Args:
    name: of the setting.
    value: of the type of the default, or whole in place of a float.
    default: of the setting.
  """
  known = allowed(name, default)
  if known and not known.holds(value):
    what = KINDS[type(default)]
    raise InputError(f"{name} is {value}; allowed are {what}{known.words()}.")
