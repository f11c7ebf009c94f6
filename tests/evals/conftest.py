"""Real images for the evaluations: scikit-learn's digits, always split the same way."""

from typing import NamedTuple

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


class Digits(NamedTuple):
  train: np.ndarray  # pixels, float32 in [0, 1], [1297, 64]
  labels: np.ndarray
  test: np.ndarray  # [500, 64]
  test_labels: np.ndarray


@pytest.fixture(scope="session")
def digits():
  pixels, labels = load_digits(return_X_y=True)
  pixels, labels = (pixels / 16).astype(np.float32), labels.astype(np.int32)
  split = {"test_size": 500, "random_state": 0, "stratify": labels}
  train, test = train_test_split(np.arange(len(labels)), **split)
  return Digits(pixels[train], labels[train], pixels[test], labels[test])
