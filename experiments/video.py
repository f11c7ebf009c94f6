"""Methods of video, by default on digits that move and bounce.

Every experiment takes `data`: "moving_digits" (scikit-learn's digits, no download),
"moving_digits:FILE" (digits of an .npz or of MNIST's files), or the path of your own
videos: a folder of frames or of video files, or an .npz.
"""

from functools import partial

import flax.linen as nn

from jaxssl import augment, losses, methods, models, optim
from jaxssl.data import open_clips
from jaxssl.errors import InputError, nearest
from jaxssl.presets.common import share
from jaxssl.presets.masked import check_mask
from jaxssl.registry import Parts, Run, experiment

RUN = Run(steps=600, batch=32, log_every=50, eval_every=300, checkpoint_every=300)
SMALL = 32  # side of frames up to which a net starts without a stride
ORDERS = {3: 3, 4: 12, 5: 60, 6: 360}
CONTRASTS = {"triplet": losses.triplet_semi_hard, "n_pairs": losses.n_pairs}


def views_of(size: int, scale: float, flip: bool, jitter: float):
  """Returns views: crop, flip and colours, the same for all frames of a clip."""
  view = augment.video_view(
    size,
    scale=(scale, 1.0),
    flip_probability=0.5 if flip else 0.0,
    brightness=jitter,
    contrast=jitter,
    saturation=jitter,
    hue=jitter / 4,
  )
  return augment.many_views(view)


def clip_encoder(width: int, size: int) -> models.R2Plus1D:
  """Returns a (2+1)-d ResNet of three stages: frames, rows and columns halved twice."""
  stem = (3, 1) if size <= SMALL else (7, 2)
  return models.R2Plus1D((width, 2 * width, 4 * width), depths=(1, 1, 1), stem=stem)


def frame_encoder(width: int, size: int, features: int) -> nn.Module:
  """Returns an encoder of single frames that tells where things are, joined by time."""
  first = 1 if size <= 16 else 2
  convnet = models.ConvNet((width, 2 * width, 2 * width), pools=(first, 2, 1))
  return models.Framewise(models.Keypoints(convnet, features), join=True)


def parts(run: Run, method, data, views, *, rate: float, decay: float, warmup=0.0):
  """Returns the parts of an experiment: AdamW with a cosine schedule."""
  schedule = optim.warmup_cosine(rate, steps=run.steps, warmup=share(run, warmup, of=1))
  return Parts(method, optim.adamw(schedule, weight_decay=decay), data, views)


@experiment(
  method="Future frames",
  data="moving digits",
  reaches="moving digits, linear: digit 33 %, untrained 41",
  cost="3 min on 2 CPU cores",
  aliases=("future_frame",),
)
def future_frame_video(
  run: Run = RUN,
  *,
  data: str = "moving_digits",
  frames: int = 8,
  future: int = 3,
  size: int = 16,
  stride: int = 0,
  width: int = 16,
  loss: str = "squared",
  gradient_weight: float = 0.0,
  residual: bool = False,
  scale: float = 1.0,
  flip: bool = False,
  jitter: float = 0.0,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Future-frame prediction: the last frames of a clip from those before.

  Args:
    run: Settings of every run.
    data: "moving_digits", "moving_digits:FILE" or the path of videos.
    frames: Frames of a clip, past and future.
    future: How many of them are predicted.
    size: Side of the frames in pixels, a multiple of 4; of 8 above 32.
    stride: Frames from clip to clip of a video; 0: no overlap.
    width: Channels of the encoder's first stage; the last has four times as many.
    loss: "squared" or "absolute", summed over pixels.
    gradient_weight: Of the gradient difference loss.
    residual: Whether the decoder makes the change from the last frame; for real videos.
    scale: Least share of the area that a crop has.
    flip: Whether half of the clips are mirrored; not where left and right count.
    jitter: Strength of the colour jitter.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  errors = {"squared": losses.squared_error, "absolute": losses.absolute_error}
  error = choose("loss", loss, errors)
  opened = open_clips(data, frames=frames, size=size, stride=stride)
  channels = opened.train[[0]]["input"].shape[-1]
  encoder = clip_encoder(width, size)
  widths = (4 * width, 2 * width, width)[: 1 + encoder.stem[1]]
  decoder = models.FrameDecoder((future, size, size, channels), widths)
  views = views_of(size, scale, flip, jitter)
  method = methods.future_frame(
    models.FramePredictor(encoder, decoder, residual),
    views,
    future=future,
    error=error,
    gradient_weight=gradient_weight,
  )
  return parts(run, method, opened, views, rate=learning_rate, decay=weight_decay)


@experiment(
  method="Frame order",
  data="moving digits",
  reaches="moving digits, linear: digit 28 %, untrained 54",
  cost="2 min on 2 CPU cores",
  aliases=("frame_order",),
)
def frame_order_video(
  run: Run = RUN,
  *,
  data: str = "moving_digits",
  frames: int = 8,
  sorted_frames: int = 4,
  span: int = 6,
  size: int = 16,
  stride: int = 0,
  width: int = 16,
  features: int = 32,
  scale: float = 1.0,
  flip: bool = False,
  jitter: float = 0.0,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Frame order: in which order were a few frames of a window of much motion?

  Args:
    run: Settings of every run.
    data: "moving_digits", "moving_digits:FILE" or the path of videos.
    frames: Frames of a clip.
    sorted_frames: How many are sorted, 3 to 6; an order and its reverse are one class.
    span: Frames of the window that these come from.
    size: Side of the frames in pixels.
    stride: Frames from clip to clip of a video; 0: no overlap.
    width: Channels of the first convolution.
    features: Of each frame; a clip's are those of all its frames.
    scale: Least share of the area that a crop has.
    flip: Whether half of the clips are mirrored.
    jitter: Strength of the colour jitter.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  if sorted_frames not in ORDERS:
    raise InputError(f"sorted_frames is {sorted_frames}; pass 3 to 6.")
  encoder = frame_encoder(width, size, features)
  head = models.moco_head(hidden=128, out=ORDERS[sorted_frames])
  views = views_of(size, scale, flip, jitter)
  method = methods.frame_order(
    models.OrderNet(encoder, head), views, frames=sorted_frames, span=span
  )
  opened = open_clips(data, frames=frames, size=size, stride=stride)
  return parts(run, method, opened, views, rate=learning_rate, decay=weight_decay)


@experiment(
  method="Shuffle and learn",
  data="moving digits",
  reaches="moving digits, linear: direction 98 %, untrained 97",
  cost="2 min on 2 CPU cores",
  aliases=("shuffle_and_learn",),
)
def shuffle_and_learn_video(
  run: Run = RUN,
  *,
  data: str = "moving_digits",
  frames: int = 8,
  span: int = 8,
  positives: float = 0.25,
  size: int = 16,
  stride: int = 0,
  width: int = 16,
  features: int = 32,
  scale: float = 1.0,
  flip: bool = False,
  jitter: float = 0.0,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Shuffle and learn: are three frames of a window of much motion in order?

  Args:
    run: Settings of every run.
    data: "moving_digits", "moving_digits:FILE" or the path of videos.
    frames: Frames of a clip.
    span: Frames of the window that the three come from, 5 or more.
    positives: Share of tuples that are in order.
    size: Side of the frames in pixels.
    stride: Frames from clip to clip of a video; 0: no overlap.
    width: Channels of the first convolution.
    features: Of each frame; a clip's are those of all its frames.
    scale: Least share of the area that a crop has.
    flip: Whether half of the clips are mirrored.
    jitter: Strength of the colour jitter.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  encoder = frame_encoder(width, size, features)
  net = models.OrderNet(encoder, models.moco_head(hidden=128, out=2))
  views = views_of(size, scale, flip, jitter)
  method = methods.shuffle_and_learn(net, views, span=span, positives=positives)
  opened = open_clips(data, frames=frames, size=size, stride=stride)
  return parts(run, method, opened, views, rate=learning_rate, decay=weight_decay)


@experiment(
  method="TCN",
  data="moving digits",
  reaches="moving digits, linear: digit 74 %, untrained 54",
  cost="2 min on 2 CPU cores",
  aliases=("tcn",),
)
def tcn_video(
  run: Run = RUN,
  *,
  data: str = "moving_digits",
  frames: int = 8,
  pairs: int = 4,
  positive_range: int = 1,
  negative_range: int = 2,
  contrast: str = "triplet",
  size: int = 16,
  stride: int = 0,
  width: int = 16,
  features: int = 32,
  embedding: int = 32,
  scale: float = 1.0,
  flip: bool = False,
  jitter: float = 0.2,
  learning_rate: float = 1e-3,
  weight_decay: float = 1e-6,
) -> Parts:
  """Single-view TCN: frames close in time are alike, those further apart are not.

  Args:
    run: Settings of every run.
    data: "moving_digits", "moving_digits:FILE" or the path of videos.
    frames: Frames of a clip.
    pairs: Pairs of neighbouring frames of each clip.
    positive_range: Frames up to which two are alike; 6 in the paper.
    negative_range: Frames above which two are not; 12 in the paper.
    contrast: "triplet" (semi-hard) or "n_pairs".
    size: Side of the frames in pixels.
    stride: Frames from clip to clip of a video; 0: no overlap.
    width: Channels of the first convolution.
    features: Of each frame; a clip's are those of all its frames.
    embedding: Numbers of a frame's embedding.
    scale: Least share of the area that a crop has.
    flip: Whether half of the clips are mirrored.
    jitter: Strength of the colour jitter.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  encoder = frame_encoder(width, size, features)
  net = models.FrameEmbedder(encoder, models.linear_head(out=embedding))
  views = views_of(size, scale, flip, jitter)
  method = methods.tcn(
    net,
    views,
    pairs=pairs,
    positive_range=positive_range,
    negative_range=negative_range,
    contrast=choose("contrast", contrast, CONTRASTS),
  )
  opened = open_clips(data, frames=frames, size=size, stride=stride)
  return parts(run, method, opened, views, rate=learning_rate, decay=weight_decay)


@experiment(
  method="VideoMAE",
  data="moving digits",
  reaches="moving digits, linear: direction 46 %, untrained 34",
  cost="3 min on 2 CPU cores",
  aliases=("videomae",),
)
def videomae_video(
  run: Run = RUN,
  *,
  data: str = "moving_digits",
  frames: int = 8,
  size: int = 16,
  stride: int = 0,
  cube_frames: int = 2,
  cube_side: int = 4,
  ratio: float = 0.75,
  normalize: bool = False,
  width: int = 96,
  depth: int = 4,
  decoder_width: int = 48,
  decoder_depth: int = 2,
  scale: float = 1.0,
  flip: bool = False,
  learning_rate: float = 1e-3,
  weight_decay: float = 0.05,
) -> Parts:
  """VideoMAE: clips from the few places that a tube mask leaves.

  On small frames 75 % of the places, in place of the paper's 90: of 4 x 4 cubes two
  would be left. Black cubes and `normalize` do not fit.

  Args:
    run: Settings of every run.
    data: "moving_digits", "moving_digits:FILE" or the path of videos.
    frames: Frames of a clip, a multiple of `cube_frames`.
    size: Side of the frames in pixels, a multiple of `cube_side`.
    stride: Frames from clip to clip of a video; 0: no overlap.
    cube_frames: Frames of a cube; 2 in the paper.
    cube_side: Rows and columns of a cube; 16 in the paper.
    ratio: Share of the places that is hidden.
    normalize: Whether the pixels to predict are standardised cube by cube.
    width: Channels of the encoder.
    depth: Blocks of the encoder.
    decoder_width: Channels of the decoder.
    decoder_depth: Blocks of the decoder.
    scale: Least share of the area that a crop has.
    flip: Whether half of the clips are mirrored.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  check_mask((size, size, 1), cube_side, ratio=ratio)
  cube, kernel = (cube_frames, cube_side, cube_side), nn.initializers.xavier_uniform()
  make = partial(models.CubeEmbed, kernel_init=kernel)
  encoder = models.VideoViT(
    width, depth, heads=3, patch=cube, patch_embed=make, kernel_init=kernel
  )
  positions = models.CubePositions
  decoder = models.MAEDecoder(
    decoder_width, decoder_depth, heads=3, positions=positions
  )
  views = views_of(size, scale, flip, 0.0)
  method = methods.videomae(
    models.VideoMAE(encoder, decoder), views, ratio=ratio, normalize=normalize
  )
  opened = open_clips(data, frames=frames, size=size, stride=stride)
  return parts(
    run,
    method,
    opened,
    views,
    rate=learning_rate,
    decay=weight_decay,
    warmup=0.1,
  )


def choose(setting: str, value: str, known: dict):
  """Returns what a setting's word stands for."""
  if value not in known:
    raise InputError(
      f"{setting} is {value!r}.{nearest(value, known)} It can be: {', '.join(known)}."
    )
  return known[value]
