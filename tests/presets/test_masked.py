"""Masks and tiles that don't fit are refused when the experiment is built."""

import pytest

from jaxssl import registry
from jaxssl.errors import InputError


@pytest.mark.parametrize(
  ("name", "settings", "words"),
  [
    ("mae_digits", {"ratio": 0.99}, "leaves none of 16 patches"),
    ("mae_digits", {"ratio": 1.0}, "ratio"),
    ("simmim_digits", {"ratio": 0.97}, "leaves none of 16 patches"),
    ("simmim_digits", {"unit": 3}, "units of 3"),
    ("patch_order_digits", {"tile": 7}, "tile"),
    ("patch_order_digits", {"gap": 3}, "gap"),
    ("simmim_imagenet", {"unit": 3}, "units of 3"),
    ("mae_imagenet", {"size": 226}, "do not split"),
    ("aim_imagenet", {"size": 60}, "60 x 60 pixels do not split"),
    ("jigsaw_imagenet", {"tile": 90}, "tile"),
    ("context_imagenet", {"tile": 90}, "tile"),
    ("masked_spectrogram_audio", {"ratio": 0.9999}, "leaves none"),
    ("videomae_video", {"ratio": 0.9999}, "leaves none"),
  ],
)
def test_what_does_not_fit_is_refused_when_the_experiment_is_built(
  name, settings, words
):
  if name.endswith("imagenet"):
    settings = {"data": "blank:32x64x64x3", "batch": 32, **settings}
  with pytest.raises(InputError, match=words):
    registry.build(name, **settings)
