"""CLIP, SigLIP and LiT on captioned images: scikit-learn's digits, or your own.

`--data` is a folder of images with a captions.csv, .tsv or .jsonl (columns file and
caption), or an .npz with captions; see `jaxssl.data.open_captions`. Afterwards
`jaxssl.presets.captions.open_towers(RUN)` turns images and sentences into vectors that
can be compared: retrieval and zero-shot classes (`jaxssl.evals`).
"""

import optax

from jaxssl import methods, models
from jaxssl.data import open_captions
from jaxssl.presets.captions import (
  TextSettings,
  caption_parts,
  caption_views,
  image_tower,
  locked_encoder,
  text_tower,
)
from jaxssl.registry import Parts, Run, experiment

RUN = Run(steps=600, batch=128, log_every=50, eval_every=200, checkpoint_every=200)


@experiment(
  method="CLIP",
  data="digits_captions; your own: a folder, an .npz",
  reaches="on emoji: recall@10 48 and 53 %, chance 3",
  cost="3 min on 2 CPU cores",
  aliases=("clip",),
)
def clip_captions(
  run: Run = RUN,
  *,
  data: str = "digits_captions",
  size: int = 0,
  length: int = 40,
  vocabulary: int = 4096,
  tokenizer: str = "",
  encoder: str = "small",
  width: int = 128,
  depth: int = 2,
  heads: int = 4,
  dim: int = 128,
  crop: float = 0.7,
  block_size: int = 0,
  learning_rate: float = 1e-3,
  weight_decay: float = 0.1,
) -> Parts:
  """CLIP: images find their captions, and captions their images, within a batch.

  Args:
    run: Settings of every run.
    data: Captioned images.
    size: Side of the images in pixels; a folder needs it, 0: their own.
    length: Tokens of a caption at most.
    vocabulary: Of the tokenizer, which learns from the captions.
    tokenizer: Its kind; empty takes characters for the digits, else word-pieces.
    encoder: Of the images; small, or the name of a convolutional encoder.
    width: Channels of the text transformer.
    depth: Its blocks.
    heads: Of its attention.
    dim: Of the space that both are projected to.
    crop: Least share of an image that is cropped.
    block_size: Columns of the similarities held at a time; 0 holds all.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  source = _open(data, size, length, vocabulary, tokenizer)
  text = text_tower(source, run, TextSettings(width, depth, heads), dim=dim)
  net = models.TwoTowers(image_tower(encoder, run, source), text)
  views = caption_views(source, crop=crop)
  method = methods.clip(net, views, block_size=block_size or None)
  rates = {"learning_rate": learning_rate, "weight_decay": weight_decay}
  return caption_parts(run, method, source, views, **rates)


@experiment(
  method="SigLIP",
  data="digits_captions; your own: a folder, an .npz",
  reaches="on emoji: recall@10 48 and 53 %, chance 3",
  cost="3 min on 2 CPU cores",
  aliases=("siglip",),
)
def siglip_captions(
  run: Run = RUN,
  *,
  data: str = "digits_captions",
  size: int = 0,
  length: int = 40,
  vocabulary: int = 4096,
  tokenizer: str = "",
  encoder: str = "small",
  width: int = 128,
  depth: int = 2,
  heads: int = 4,
  dim: int = 128,
  bias: float = -10.0,
  crop: float = 0.7,
  block_size: int = 0,
  learning_rate: float = 1e-3,
  weight_decay: float = 0.01,
) -> Parts:
  """SigLIP: of each image and each caption of a batch, whether they belong together.

  Gradients are clipped at a norm of 1, as in the official example.

  Args:
    run: Settings of every run.
    data: Captioned images.
    size: Side of the images in pixels; a folder needs it, 0: their own.
    length: Tokens of a caption at most.
    vocabulary: Of the tokenizer, which learns from the captions.
    tokenizer: Its kind; empty takes characters for the digits, else word-pieces.
    encoder: Of the images; small, or the name of a convolutional encoder.
    width: Channels of the text transformer.
    depth: Its blocks.
    heads: Of its attention.
    dim: Of the space that both are projected to.
    bias: Added to the scaled cosines at the start.
    crop: Least share of an image that is cropped.
    block_size: Columns of the similarities held at a time; 0 holds all.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  source = _open(data, size, length, vocabulary, tokenizer)
  text = text_tower(source, run, TextSettings(width, depth, heads), dim=dim)
  net = models.TwoTowers(image_tower(encoder, run, source), text, scale=10.0, bias=bias)
  views = caption_views(source, crop=crop)
  method = methods.siglip(net, views, block_size=block_size or None)
  rates = {"learning_rate": learning_rate, "weight_decay": weight_decay, "b2": 0.95}
  parts = caption_parts(run, method, source, views, **rates)
  return parts._replace(tx=optax.chain(optax.clip_by_global_norm(1.0), parts.tx))


@experiment(
  method="LiT",
  data="digits_captions; your own: a folder, an .npz",
  reaches="on emoji: recall@10 46 and 52 %, chance 3",
  cost="2 min on 2 CPU cores; the image run before it",
  aliases=("lit",),
)
def lit_captions(
  run: Run = RUN,
  *,
  image_run: str = "",
  data: str = "digits_captions",
  size: int = 0,
  length: int = 40,
  vocabulary: int = 4096,
  tokenizer: str = "",
  width: int = 128,
  depth: int = 2,
  heads: int = 4,
  crop: float = 0.7,
  block_size: int = 0,
  learning_rate: float = 1e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """LiT: captions learn to lie where a finished image encoder puts their images.

  The encoder never changes, so a table of its features shows no difference between
  before and after: what is learned is the text tower.

  Args:
    run: Settings of every run.
    image_run: Folder of a run on images of the same size, such as runs/simclr_digits/1;
      empty locks an untrained encoder: a floor, to try it.
    data: Captioned images.
    size: Side of the images in pixels; a folder needs it, 0: their own.
    length: Tokens of a caption at most.
    vocabulary: Of the tokenizer, which learns from the captions.
    tokenizer: Its kind; empty takes characters for the digits, else word-pieces.
    width: Channels of the text transformer.
    depth: Its blocks.
    heads: Of its attention.
    crop: Least share of an image that is cropped.
    block_size: Columns of the similarities held at a time; 0 holds all.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  source = _open(data, size, length, vocabulary, tokenizer)
  teacher, dim = locked_encoder(image_run, run, source)
  text = text_tower(source, run, TextSettings(width, depth, heads), dim=dim)
  views = caption_views(source, crop=crop)
  net = models.TwoTowers(None, text)
  method = methods.lit(net, views, teacher, block_size=block_size or None)
  rates = {"learning_rate": learning_rate, "weight_decay": weight_decay}
  return caption_parts(run, method, source, views, **rates)


def _open(data, size, length, vocabulary, tokenizer):
  options = {"length": length, "vocabulary": vocabulary, "tokenizer": tokenizer}
  return open_captions(data, size=size or None, **options)
