"""Toy forms of the methods on waveforms."""

import functools
from functools import partial

import jax
import jax.numpy as jnp

from jaxssl import methods, models
from jaxssl.augment import span_mask
from jaxssl.ops import falling_temperature

SAMPLES, FRAMES = 128, 16
EXAMPLES = 32  # of the data set that `index` counts
NORMS = {"batch": models.BatchNorm, "layer": models.LayerNorm}
SPANS = partial(span_mask, frames=FRAMES, span=3, start=0.2)


def whole(key, wave):
  """The wave itself."""
  del key
  return (wave,)


def loud(x):
  """ReLU of what makes scores of order 1: they are means over channels."""
  return 4.0 * jax.nn.relu(x)


def local(**options):
  """Two convolutions: 128 samples to 16 frames."""
  return models.WaveEncoder(
    (8, 16), kernels=(4, 4), strides=(4, 2), padding=(0, 1), **options
  )


def encoder(**options):
  """A speech encoder of 32 features whose drops are at work."""
  context = models.FrameTransformer(
    32, depth=2, heads=2, kernel=4, groups=2, mlp_ratio=2, **options
  )
  return models.SpeechEncoder(local(), context, dropout=0.1, slowdown=0.5)


def make_cpc_audio(norm: str = "batch", axis_name: str | None = None):
  """CPC with the batch norm of the original, or the layer norm of later code."""
  made = partial(NORMS[norm], axis_name=axis_name)
  convolutions = local(first_norm=made, norm=made, activation=loud)
  net = models.CPCEncoder(convolutions, models.Recurrent(32))
  return methods.cpc_audio(net, models.StepPredictions(3, 16), whole, negatives=8)


def make_wav2vec2(norm: str = "batch", axis_name: str | None = None):
  """wav2vec 2.0 with drops of all kinds."""
  del norm, axis_name  # the paper's net has no batch norm
  quantizer = models.ProductQuantizer(2, codes=4, width=8)
  net = models.Wav2Vec2(
    encoder(dropout=0.1, layer_drop=0.1), quantizer, out=8, dropout=0.1
  )
  temperature = falling_temperature(2.0, 0.5, decay=0.99)
  return methods.wav2vec2(
    net, whole, mask=SPANS, gumbel_temperature=temperature, negatives=5
  )


def hubert_net():
  """The net of the toy HuBERT."""
  return models.Hubert(encoder(), out=8)


def pieces(wave):
  """32 pieces of 4 samples each, as they are."""
  return wave.reshape(len(wave), 32, -1)


def make_hubert(norm: str = "batch", axis_name: str | None = None):
  """HuBERT by its first labels."""
  del norm, axis_name
  return methods.hubert(
    hubert_net(),
    examples=EXAMPLES,
    clusters=4,
    acoustic=pieces,
    mask=SPANS,
    again=(4,),
    temperature=0.3,
  )


def nothing(state):
  """Nothing of these states could get a gradient."""
  del state
  return ()


@functools.cache
def batch(seed: int = 5, rows: int = 16) -> dict:
  """Tones of several pitches with noise."""
  keys = jax.random.split(jax.random.key(seed), 3)
  pitch = jax.random.uniform(keys[0], (rows, 1), minval=0.2, maxval=2.0)
  phase = jax.random.uniform(keys[1], (rows, 1), maxval=6.0)
  wave = 0.8 * jnp.sin(pitch * jnp.arange(float(SAMPLES))[None] + phase)
  wave = wave + 0.1 * jax.random.normal(keys[2], wave.shape)
  index = jnp.arange(rows, dtype=jnp.int32)
  return {"input": wave, "index": index, "label": index % 4}


ROWS = (
  ("cpc_audio", make_cpc_audio, nothing, batch),
  ("wav2vec2", make_wav2vec2, nothing, batch),
  ("hubert", make_hubert, nothing, batch),
)
