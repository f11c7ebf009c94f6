"""What many tests choose among: what runs every day and what only `-m all` does."""

from collections.abc import Container, Iterable

import pytest


def some_of(names: Iterable[str], everyday: Container[str]) -> list:
  """All names as parameters, those that aren't for every day marked as slow."""
  slow = pytest.mark.slow
  return [n if n in everyday else pytest.param(n, marks=slow) for n in names]
