"""Colorization on Imagenette at 64 pixels, as classification and as regression.

The images are brought to the size of the views when they are read, so that features
are of the scale that the encoder was trained on.
"""

from jaxssl import methods, ops, optim
from jaxssl.data import open_data
from jaxssl.presets import restoration, scaled_cosine
from jaxssl.presets.imagenette import COST, DATA, EPOCHS, RUN, backbone
from jaxssl.registry import Parts, Run, experiment


@experiment(
  method="Colorization",
  data="imagenette",
  reaches="convnet_mini, 1,000 steps of 128: linear 59 %, untrained 47, ridge 40",
  cost=COST,
)
def colorization_imagenette(
  run: Run = RUN,
  *,
  data: str = DATA,
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 64,
  head_width: int = 128,
  gamma: float = 0.5,
  alpha: float = 1.0,
  warmup: float = 5.0,
  learning_rate: float = 1e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Colorization with a ResNet-18: 16 x 16 colours of an image of 64 pixels.

  The paper's targets and weights, the latter from 512 training images; AdamW.

  Args:
    run: Settings of every run.
    data: The data set, a folder of images, or an .npz of images of `size` pixels.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a convolutional encoder.
    size: Side of the images and of the views in pixels.
    head_width: Channels of the head's 3x3 convolution.
    gamma: Share of the uniform distribution in the prior of the colours.
    alpha: How strongly rare colours are favoured; 0 weighs all alike.
    warmup: Epochs of the learning rate's warm-up, out of 200.
    learning_rate: Of 256 rows, the peak of the cosine.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = restoration.light_crops(size, least=0.3)
  source = open_data(data, size=size, data_dir=data_dir or None)
  net = restoration.color_net(
    backbone(encoder, run, size), out=313, factor=2, width=head_width
  )
  weights = restoration.color_weights(source.train, gamma=gamma, alpha=alpha)
  method = methods.colorization(net, views, weights=weights)
  rate = scaled_cosine(run, learning_rate, warmup=warmup, epochs=EPOCHS)
  return Parts(method, optim.adamw(rate, weight_decay=weight_decay), source, views)


@experiment(
  method="Colorization (regression)",
  data="imagenette",
  reaches="not measured yet",
  cost=COST,
)
def colorization_regression_imagenette(
  run: Run = RUN,
  *,
  data: str = DATA,
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 64,
  head_width: int = 128,
  delta: float = 1.0,
  warmup: float = 5.0,
  learning_rate: float = 1e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """As `colorization_imagenette`, but two numbers per position in place of 313 bins.

  Args:
    run: Settings of every run.
    data: The data set, a folder of images, or an .npz of images of `size` pixels.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a convolutional encoder.
    size: Side of the images and of the views in pixels.
    head_width: Channels of the head's 3x3 convolution.
    delta: Where Huber's error turns from a square into a line; 1 is a and b of 110.
    warmup: Epochs of the learning rate's warm-up, out of 200.
    learning_rate: Of 256 rows, the peak of the cosine.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = restoration.light_crops(size, least=0.3)
  source = open_data(data, size=size, data_dir=data_dir or None)
  ops.check_colors(restoration.sample_of(source.train))
  net = restoration.color_net(
    backbone(encoder, run, size), out=2, factor=2, width=head_width
  )
  method = methods.colorization_regression(net, views, delta=delta)
  rate = scaled_cosine(run, learning_rate, warmup=warmup, epochs=EPOCHS)
  return Parts(method, optim.adamw(rate, weight_decay=weight_decay), source, views)
