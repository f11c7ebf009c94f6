"""Colorization on CIFAR-10; see `cifar10_contrastive.py`."""

from jaxssl import methods
from jaxssl.presets import cifar10, restoration
from jaxssl.registry import Parts, Run, experiment


@experiment(
  method="Colorization",
  data="cifar10 (tfds)",
  reaches="no published number",
  cost="200 epochs, not measured here",
)
def colorization_cifar10(
  run: Run = cifar10.SHORT,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  head_width: int = 128,
  gamma: float = 0.5,
  alpha: float = 1.0,
  learning_rate: float = 1e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Colorization on CIFAR-10 with a ResNet-18: 8 x 8 colours of an image.

  Target: no published number. The paper's targets and weights, the latter from 512
  training images; AdamW. Protocol: linear probe on the pooled features of the
  lightness. Cost: not measured here.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place, in colour.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a convolutional encoder.
    size: Side of the views in pixels.
    head_width: Channels of the head's 3x3 convolution.
    gamma: Share of the uniform distribution in the prior of the colours.
    alpha: How strongly rare colours are favoured; 0 weighs all alike.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = restoration.light_crops(size, least=0.3)
  source = cifar10.source(data, data_dir, size=size)
  backbone = cifar10.encoder(encoder, run, size=size)
  net = restoration.color_net(backbone, out=313, factor=2, width=head_width)
  weights = restoration.color_weights(source.train, gamma=gamma, alpha=alpha)
  method = methods.colorization(net, views, weights=weights)
  tx = cifar10.adamw(run, learning_rate, weight_decay=weight_decay)
  return Parts(method, tx, source, views)
