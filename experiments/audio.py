"""Spectrograms: tones made on the spot, or recordings of your own."""

import dataclasses
import json

import numpy as np

from jaxssl import augment, methods, models, optim
from jaxssl.data import DataSet, open_audio
from jaxssl.models.masked import xavier_init
from jaxssl.ops import LogMel
from jaxssl.presets.masked import check_mask
from jaxssl.registry import Parts, Run, experiment

LOOKED_AT = 512  # waves from which mean and spread are measured
SETTINGS = "spectrogram.json"
SPAN = 9.2  # 80 dB: what is fainter, as the zeros behind a short wave are, is silence


def _fitted(front: LogMel, source: DataSet) -> tuple[LogMel, DataSet]:
  """The front for a data set's loudness; the data set then keeps its settings."""
  if SETTINGS in source.files:
    return LogMel(**json.loads(source.files[SETTINGS])), source
  count = min(LOOKED_AT, len(source.train))
  rows = np.linspace(0, len(source.train) - 1, count).astype(int)
  front = front.fitted(source.train[rows]["input"])
  kept = json.dumps(dataclasses.asdict(front), indent=2)
  return front, source._replace(files={**source.files, SETTINGS: kept})


@experiment(
  method="COLA",
  data="tones, or your own recordings",
  reaches="spoken digits, 20 labels: 64 %, untrained 44",
  cost="3 min on 2 CPU cores",
  aliases=("cola",),
)
def cola_audio(
  run: Run = Run(
    steps=800, batch=64, log_every=50, eval_every=400, checkpoint_every=400
  ),
  *,
  data: str = "tones",
  rate: int = 8000,
  seconds: float = 1.0,
  crop: float = 0.3,
  speed: float = 1.0,
  bands: int = 40,
  width: int = 128,
  learning_rate: float = 1e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """COLA: two crops of a recording against those of the others, by a bilinear score.

  A convnet of 256 features on a log-mel spectrogram, and the maximum over its map, in
  place of the paper's EfficientNet-B0; its crops are of 1 s.

  Args:
    run: Settings of every run.
    data: "tones", a folder of wav and flac files, or an .npz of recordings.
    rate: Samples a second that recordings are brought to.
    seconds: Length that recordings are brought to.
    crop: Length of a crop in seconds, less than most recordings have.
    speed: Greatest factor by which a crop is played faster or slower; 1: as it is.
    bands: Mel bands of the spectrogram.
    width: Of the projection.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  source = open_audio(data, rate=rate, seconds=seconds)
  plain = LogMel(rate=rate, bands=bands, window=0.032, hop=0.016, span=SPAN)
  front, source = _fitted(plain, source)
  convnet = models.ConvNet(widths=(32, 64, 128, 256), pools=(2, 2, 2, 1))
  encoder = models.Spectral(convnet, front, pool="max")
  net = models.Siamese(encoder, models.ColaHead(width), models.Bilinear())
  views = augment.cola_views(samples=round(crop * rate), speed=speed)
  schedule = optim.warmup_cosine(learning_rate, steps=run.steps)
  tx = optim.adamw(schedule, weight_decay=weight_decay)
  return Parts(methods.cola(net, views), tx, source, views)


@experiment(
  method="Audio-MAE",
  data="tones, or your own recordings",
  reaches="spoken digits, 20 labels: 36 %, untrained 20",
  cost="3 min on 2 CPU cores",
  aliases=("masked_spectrogram",),
)
def masked_spectrogram_audio(
  run: Run = Run(
    steps=1500, batch=64, log_every=100, eval_every=500, checkpoint_every=500
  ),
  *,
  data: str = "tones",
  rate: int = 8000,
  seconds: float = 1.0,
  ratio: float = 0.8,
  normalize: bool = True,
  patch: int = 8,
  bands: int = 64,
  width: int = 128,
  depth: int = 4,
  learning_rate: float = 1e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Audio-MAE: most patches of a log-mel spectrogram from the few that are seen.

  Args:
    run: Settings of every run.
    data: "tones", a folder of wav and flac files, or an .npz of recordings.
    rate: Samples a second that recordings are brought to.
    seconds: Length that recordings are brought to.
    ratio: Share of the patches that the encoder does not see.
    normalize: Whether what is predicted is standardised patch by patch.
    patch: Side of a patch, in bands and in frames of 10 ms.
    bands: Mel bands of the spectrogram, a multiple of the patch.
    width: Channels of the encoder.
    depth: Blocks of the encoder.
    learning_rate: Peak of AdamW's schedule: a tenth of warm-up, then cosine.
    weight_decay: Of the weights; biases and norms have none.
  """
  source = open_audio(data, rate=rate, seconds=seconds)
  long = {"fft": _fft(rate), "multiple": patch}
  plain = LogMel(rate=rate, bands=bands, window=0.032, span=SPAN, **long)
  front, source = _fitted(plain, source)
  options = {"class_token": False, "kernel_init": xavier_init, "heads": 4}
  encoder = models.ViT(width=width, depth=depth, patch=patch, **options)
  shape = front(source.train[np.arange(1)]["input"]).shape[1:]
  check_mask(shape, patch, ratio=ratio)
  net = models.MAE(encoder, models.light_decoder(encoder, shape))
  views = augment.many_views(augment.rolled_view())
  method = methods.masked_spectrogram(
    net, views, front, ratio=ratio, normalize=normalize
  )
  tx = _vit_adamw(run, learning_rate, weight_decay)
  return Parts(method, tx, source, views)


@experiment(
  method="Mockingjay",
  data="tones, or your own recordings",
  reaches="spoken digits, 20 labels, stretches: 67 %, untrained 56",
  cost="3 min on 2 CPU cores",
  aliases=("mockingjay",),
)
def mockingjay_audio(
  run: Run = Run(
    steps=1000, batch=32, log_every=100, eval_every=500, checkpoint_every=500
  ),
  *,
  data: str = "tones",
  rate: int = 8000,
  seconds: float = 1.0,
  share: float = 0.15,
  span: int = 7,
  bands: int = 40,
  width: int = 128,
  depth: int = 3,
  learning_rate: float = 1e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Mockingjay: spans of masked frames of a log-mel spectrogram from the others.

  Args:
    run: Settings of every run.
    data: "tones", a folder of wav and flac files, or an .npz of recordings.
    rate: Samples a second that recordings are brought to.
    seconds: Length that recordings are brought to.
    share: Of the frames of 12.5 ms that are to be told.
    span: Frames in a row.
    bands: Mel bands of the spectrogram.
    width: Channels of the encoder.
    depth: Blocks of the encoder.
    learning_rate: Peak of AdamW's schedule: a tenth of warm-up, then cosine.
    weight_decay: Of the weights; biases and norms have none.
  """
  source = open_audio(data, rate=rate, seconds=seconds)
  plain = LogMel(rate=rate, bands=bands, window=0.05, hop=0.0125, span=SPAN)
  front, source = _fitted(plain, source)
  encoder = models.FrameEncoder(width=width, depth=depth, heads=4)
  net = models.FrameTeller(encoder, models.FrameHead(bands))
  views = augment.many_views(augment.rolled_view())
  method = methods.mockingjay(net, views, front, share=share, span=span)
  return Parts(method, _vit_adamw(run, learning_rate, weight_decay), source, views)


def _vit_adamw(run, learning_rate, weight_decay):
  rate = optim.warmup_cosine(learning_rate, steps=run.steps, warmup=run.steps // 10)
  return optim.adamw(rate, weight_decay=weight_decay, b2=0.95)


def _fft(rate):
  """Points of a transform long enough that the lowest of many bands are not empty."""
  return 2 ** int(np.ceil(np.log2(0.1 * rate)))
