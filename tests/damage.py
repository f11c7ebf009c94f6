"""For tests that read damaged checkpoints."""

import pytest


def reads_damage(test):
  """Orbax leaves coroutines behind when a read fails; they complain when collected."""
  ignore = "ignore::pytest.PytestUnraisableExceptionWarning"
  return pytest.mark.usefixtures("collected")(pytest.mark.filterwarnings(ignore)(test))
