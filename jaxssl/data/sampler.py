"""Which examples each step sees: a pure function of the step.

Every epoch is one permutation of the examples, drawn from the seed and the epoch; the
incomplete last batch is dropped. Nothing is kept between steps, so a run that resumes
at any step sees what the uninterrupted run would have seen, on any number of hosts.
"""

import functools
from collections.abc import Iterator

import numpy as np

from jaxssl.errors import InputError


def steps_per_epoch(*, examples: int, batch: int) -> int:
  """Returns how many whole batches an epoch has.

  Raises:
    InputError: if there is not even one.
  """
  if batch < 1:
    raise InputError(f"batch is {batch}; it must be at least 1")
  if batch > examples:
    raise InputError(
      f"a batch of {batch} is larger than the data set of {examples} examples; use a"
      f" batch of at most {examples}"
    )
  return examples // batch


def indices(step: int, *, examples: int, batch: int, seed: int) -> np.ndarray:
  """Returns the examples of one step.

  Args:
    step: from 0, over all epochs.
    examples: number of examples in the data set.
    batch: size of the global batch.
    seed: draws the order; at least 0.

  Returns:
    Positions in the data set, int32 [batch], no two alike within an epoch.
  """
  epoch, position = divmod(int(step), steps_per_epoch(examples=examples, batch=batch))
  if epoch < 0 or seed < 0:
    raise InputError(f"step {step} and seed {seed} must both be at least 0")
  order = _order(examples, int(seed), epoch)
  return order[position * batch : (position + 1) * batch]


def index_block(
  start: int, steps: int, *, examples: int, batch: int, seed: int
) -> np.ndarray:
  """Returns the examples of `steps` steps from `start`, int32 [steps, batch]."""
  draw = functools.partial(indices, examples=examples, batch=batch, seed=seed)
  return np.stack([draw(step) for step in range(start, start + steps)])


def in_order(*, examples: int, batch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Yields all examples once, in order: for evaluations and for `refresh`.

  Yields:
    positions, int32 [batch], the last batch padded with the last example; and a mask,
    bool [batch], False on the padding.
  """
  for start in range(0, examples, batch):
    rows = np.arange(start, start + batch, dtype=np.int32)
    yield np.minimum(rows, np.int32(examples - 1)), rows < examples


@functools.lru_cache(maxsize=8)
def _order(examples, seed, epoch):
  """Returns the permutation of one epoch, int32 [examples], read-only.

  The order of raw random bits: numpy promises those for all versions, and does not
  promise `Generator.permutation`.
  """
  bits = np.random.Philox(np.random.SeedSequence([seed, epoch])).random_raw(examples)
  order = np.argsort(bits, kind="stable").astype(np.int32)
  order.flags.writeable = False
  return order
