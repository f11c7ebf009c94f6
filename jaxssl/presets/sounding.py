"""The nets of the experiments on clips with sound."""

from jaxssl import models


def sounding_net(rate: int) -> models.SoundingNet:
  """Returns small encoders of frames and sound, and a head of two layers for each.

  Args:
    rate: samples a second.
  """
  sound = models.TimeLayers((64, 64))
  head = lambda: models.moco_head(hidden=128, out=64)
  encoder = models.SoundingEncoder(_frames(), sound, rate)
  return models.SoundingNet(encoder, head(), head())


def sound_predictor() -> models.SoundPredictor:
  """Returns a small encoder of frames, and what tells 24 bands of sound from it."""
  return models.SoundPredictor(_frames(), models.TimeLayers((64,)), bands=24)


def _frames():
  """A small ConvNet of each frame; its map is not averaged, so it tells places."""
  return models.Framewise(models.PlaceNet((16, 32), out=64))
