"""Methods on raw waveforms: CPC, wav2vec 2.0 and HuBERT, small nets for clips of 1 s.

The nets are made for 8 kHz, one frame every 20 ms (CPC: 10 ms). At another rate their
convolutions keep their strides, so that frames are nearer or farther.
"""

from functools import partial

import jax

from jaxssl import methods, models, ops, optim
from jaxssl.augment import as_it_is, many_views, span_mask
from jaxssl.data import open_audio
from jaxssl.presets.common import share
from jaxssl.registry import Parts, Run, experiment

EVERY = {"log_every": 50, "eval_every": 200, "checkpoint_every": 200}
DATA = "tones, or your own recordings"


VIEWS = many_views(as_it_is)


def _encoder(width: int, depth: int, dropout: float) -> models.SpeechEncoder:
  """Four convolutions, 20 ms at 8 kHz, and a transformer."""
  local = models.WaveEncoder((64,) * 4, kernels=(10, 8, 4, 4), strides=(5, 4, 4, 2))
  context = models.FrameTransformer(
    width, depth=depth, heads=4, kernel=16, groups=4, dropout=dropout
  )
  return models.SpeechEncoder(local, context, dropout=dropout)


def _mask(local, rate, seconds, span, start):
  frames = local.frames(round(rate * seconds))
  return partial(span_mask, frames=frames, span=span, start=start)


def _adamw(run, rate, weight_decay):
  """AdamW with wav2vec 2.0's betas, a warm-up of a tenth, then a cosine.

  wav2vec 2.0 and HuBERT have an epsilon of 1e-6, not 1e-8, and fall in a line; CPC has
  Adam at one rate, with 0.999 for the squares.
  """
  schedule = optim.warmup_cosine(rate, steps=run.steps, warmup=share(run, 0.1, of=1))
  return optim.adamw(schedule, weight_decay=weight_decay, b2=0.98)


@experiment(
  method="CPC (audio)",
  data=DATA,
  reaches="spoken digits, 20 labels: 29 %, untrained 24",
  cost="3 min on 2 CPU cores",
)
def cpc_audio(
  run: Run = Run(steps=600, batch=32, **EVERY),
  *,
  data: str = "tones",
  rate: int = 8000,
  seconds: float = 1.0,
  width: int = 64,
  predicted: int = 12,
  negatives: int = 64,
  learning_rate: float = 1e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """CPC on waveforms: from the context, each of the next frames among others.

  Args:
    run: Settings of every run.
    data: "tones", a folder of wav or flac files, or an .npz of recordings.
    rate: Samples a second; the convolutions make a frame of 80.
    seconds: Length of a clip.
    width: Channels of the convolutions; the context has twice as many.
    predicted: Frames ahead.
    negatives: For each frame, from the whole batch.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  local = models.WaveEncoder(
    (width,) * 4,
    kernels=(10, 8, 4, 4),
    strides=(5, 4, 2, 2),
    padding=(3, 2, 1, 1),
    first_norm=models.LayerNorm,
    norm=models.LayerNorm,
    activation=jax.nn.relu,
    use_bias=True,
  )
  encoder = models.CPCEncoder(local, models.Recurrent(2 * width))
  heads = models.StepPredictions(predicted, width)
  method = methods.cpc_audio(encoder, heads, VIEWS, negatives=negatives)
  tx = _adamw(run, learning_rate, weight_decay)
  return Parts(method, tx, open_audio(data, rate=rate, seconds=seconds), VIEWS)


@experiment(
  method="wav2vec 2.0",
  data=DATA,
  reaches="spoken digits, 20 labels: 33 %, untrained 21",
  cost="4 min on 2 CPU cores",
  aliases=("wav2vec2",),
)
def wav2vec2_audio(
  run: Run = Run(steps=400, batch=32, **EVERY),
  *,
  data: str = "tones",
  rate: int = 8000,
  seconds: float = 1.0,
  width: int = 96,
  depth: int = 3,
  groups: int = 2,
  codes: int = 32,
  negatives: int = 20,
  span: int = 5,
  start: float = 0.13,
  temperature: float = 0.1,
  diversity_weight: float = 0.1,
  dropout: float = 0.05,
  learning_rate: float = 1e-3,
  weight_decay: float = 0.01,
) -> Parts:
  """wav2vec 2.0 on waveforms: which code belongs in a masked frame.

  Spans are half as long as the paper's, in time too: the clips are single words.

  Args:
    run: Settings of every run.
    data: "tones", a folder of wav or flac files, or an .npz of recordings.
    rate: Samples a second; the convolutions make a frame of 160.
    seconds: Length of a clip.
    width: Channels of the transformer, a multiple of 4.
    depth: Its blocks.
    groups: Code books.
    codes: In each.
    negatives: For each masked frame, of the same clip.
    span: Frames of a masked span.
    start: Share of the frames that spans start from; half of all are masked.
    temperature: Divides the cosines.
    diversity_weight: Of the share of codes that is not used.
    dropout: Of frames and branches.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  encoder = _encoder(width, depth, dropout)
  quantizer = models.ProductQuantizer(groups, codes=codes, width=64)
  net = models.Wav2Vec2(encoder, quantizer, out=64, dropout=dropout)
  method = methods.wav2vec2(
    net,
    VIEWS,
    mask=_mask(encoder.local, rate, seconds, span, start),
    gumbel_temperature=ops.falling_temperature(decay=0.25 ** (1.25 / run.steps)),
    negatives=negatives,
    temperature=temperature,
    diversity_weight=diversity_weight,
  )
  tx = _adamw(run, learning_rate, weight_decay)
  return Parts(method, tx, open_audio(data, rate=rate, seconds=seconds), VIEWS)


@experiment(
  method="HuBERT",
  data=DATA,
  reaches="spoken digits, 20 labels: 61 %, untrained 24",
  cost="4 min on 2 CPU cores",
  aliases=("hubert",),
)
def hubert_audio(
  run: Run = Run(steps=400, batch=32, **EVERY),
  *,
  data: str = "tones",
  rate: int = 8000,
  seconds: float = 1.0,
  width: int = 96,
  depth: int = 3,
  clusters: int = 50,
  layers: int = 2,
  span: int = 5,
  start: float = 0.16,
  temperature: float = 0.1,
  dropout: float = 0.05,
  learning_rate: float = 1e-3,
  weight_decay: float = 0.01,
) -> Parts:
  """HuBERT on waveforms: the cluster of a masked frame, of MFCC, then of features.

  The net's own features are clustered once, after half of the run.

  Args:
    run: Settings of every run.
    data: "tones", a folder of wav or flac files, or an .npz of recordings.
    rate: Samples a second; the convolutions make a frame of 160.
    seconds: Length of a clip.
    width: Channels of the transformer, a multiple of 4.
    depth: Its blocks.
    clusters: Of k-means.
    layers: Blocks whose features are clustered, at most `depth`.
    span: Frames of a masked span.
    start: Share of the frames that spans start from.
    temperature: Divides the cosines.
    dropout: Of frames and branches.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  encoder, source = (
    _encoder(width, depth, dropout),
    open_audio(data, rate=rate, seconds=seconds),
  )
  method = methods.hubert(
    models.Hubert(encoder, out=64),
    examples=len(source.train),
    clusters=clusters,
    acoustic=partial(ops.mfcc, rate=rate),
    mask=_mask(encoder.local, rate, seconds, span, start),
    again=(max(run.steps // 2, 1),),
    layers=layers,
    temperature=temperature,
  )
  return Parts(method, _adamw(run, learning_rate, weight_decay), source, VIEWS)
