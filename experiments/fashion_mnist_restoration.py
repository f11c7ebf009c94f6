"""Inpainting on Fashion-MNIST; see `images.py`."""

from jaxssl import methods, models, optim
from jaxssl.data import open_data
from jaxssl.presets import restoration
from jaxssl.registry import Parts, Run, experiment

RUN = Run(steps=700, batch=256, log_every=50, eval_every=350, checkpoint_every=350)
SIDE, HOLE = 28, 16
FILL = (0.29,)  # the mean of the pixels


@experiment(
  method="Context encoder",
  data="fashion_mnist (tfds)",
  reaches="not measured yet",
  cost="15 min on 2 CPU cores",
)
def inpainting_fashion_mnist(
  run: Run = RUN,
  *,
  data: str = "tfds:fashion_mnist",
  data_dir: str = "",
  overlap: int = 2,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Context encoder on Fashion-MNIST: the middle 16 x 16 of 28 x 28 pixels.

  Args:
    run: Settings of every run.
    data: The data set, or an .npz of 28x28 grey images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    overlap: Width of the ring of the hole that the net sees.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  source = open_data(data, data_dir=data_dir or None)
  views = restoration.light_crops(SIDE, least=0.6)
  encoder = models.ConvNet(widths=(32, 64, 128, 512), pools=(2, 2, 2, 1))
  net = models.Restorer(encoder, models.HoleDecoder((64, 32), channels=1))
  method = methods.inpainting(net, views, hole=HOLE, overlap=overlap, fill=FILL)
  rate = optim.warmup_cosine(learning_rate, steps=run.steps)
  return Parts(method, optim.adamw(rate, weight_decay=weight_decay), source, views)
