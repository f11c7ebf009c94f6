"""What experiments share: encoders by name, epochs as steps, each data set's ways."""

from jaxssl.presets.common import (
  ENCODERS,
  VITS,
  digits_net,
  digits_parts,
  digits_vit,
  digits_vit_parts,
  encoder,
  open_teacher,
  run_of,
  scaled_cosine,
  share,
  vit,
  warmed_temperature,
)

__all__ = [
  "ENCODERS",
  "VITS",
  "digits_net",
  "digits_parts",
  "digits_vit",
  "digits_vit_parts",
  "encoder",
  "open_teacher",
  "run_of",
  "scaled_cosine",
  "share",
  "vit",
  "warmed_temperature",
]
