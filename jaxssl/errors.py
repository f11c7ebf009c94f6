"""The one exception that means "the user's input was wrong", and a name helper."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
  """Input that jaxssl cannot use; says what is wrong and what is allowed."""


def nearest(name: str, allowed: Iterable[str]) -> str:
  """Returns " Did you mean 'x'?" for the allowed name closest to `name`, or ""."""
  close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
  return f" Did you mean '{close[0]}'?" if close else ""
