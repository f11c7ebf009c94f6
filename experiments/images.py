"""Small images: Fashion-MNIST, and any images of your own."""

from jaxssl import methods, models, optim
from jaxssl.augment import gray_view, simclr_view, two_views
from jaxssl.data import open_data
from jaxssl.errors import InputError
from jaxssl.presets import encoder as find_encoder
from jaxssl.registry import Parts, Run, experiment


@experiment(
  method="SimCLR",
  data="fashion_mnist (tfds)",
  reaches="linear probe 88.8 % (raw pixels 84.3 %)",
  cost="20 min on 2 CPU cores",
)
def simclr_fashion_mnist(
  run: Run = Run(
    steps=700, batch=256, log_every=50, eval_every=350, checkpoint_every=350
  ),
  *,
  data: str = "tfds:fashion_mnist",
  data_dir: str = "",
  temperature: float = 0.2,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """SimCLR on Fashion-MNIST, 60,000 grey images of 28x28 pixels.

  Protocol: linear probe on frozen pooled features, all 60,000 labels, last step.

  Args:
    run: Settings of every run.
    data: The data set, or an .npz of 28x28 grey images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    temperature: Divides the cosines in the softmax.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  source = open_data(data, data_dir=data_dir or None)
  views = two_views(gray_view(28))
  encoder = models.ConvNet(widths=(32, 64, 128, 512), pools=(2, 2, 2, 1))
  net = models.Siamese(encoder, models.simclr_head(hidden=512, out=64))
  method = methods.simclr(net, views, temperature=temperature)
  rate = optim.warmup_cosine(learning_rate, steps=run.steps)
  return Parts(method, optim.adamw(rate, weight_decay=weight_decay), source, views)


@experiment(
  method="SimCLR",
  data="your own: a folder, an .npz, tfds:NAME",
  reaches="no published number: your data",
  cost="by size; ResNet-18 wants a GPU",
)
def simclr_images(
  run: Run = Run(steps=10_000, batch=256),
  *,
  data: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  strength: float = 0.5,
  blur_probability: float = 0.0,
  temperature: float = 0.5,
  learning_rate: float = 1e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """SimCLR on any images, by the paper's CIFAR-10 augmentation.

  Args:
    run: Settings of every run.
    data: A folder of images, an .npz, or the name of a tfds data set.
    encoder: Name of a convolutional encoder.
    size: Side of the views in pixels; images in a folder are resized to it.
    strength: Of the colour jitter; 1 for ImageNet, 0.5 for CIFAR-10.
    blur_probability: Of a Gaussian blur; 0.5 for ImageNet, 0 up to 64 pixels.
    temperature: Divides the cosines in the softmax.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  if not data:
    raise InputError("simclr_images needs --data: a folder, an .npz, or tfds:NAME.")
  fixed = data.endswith(".npz") or data == "digits"
  source = open_data(data, size=None if fixed else size)
  view = simclr_view(size, strength=strength, blur_probability=blur_probability)
  views = two_views(view)
  net = models.Siamese(
    find_encoder(encoder, run, size=size), models.simclr_head(hidden=512)
  )
  method = methods.simclr(net, views, temperature=temperature)
  rate = optim.warmup_cosine(learning_rate, steps=run.steps, warmup=run.steps // 20)
  return Parts(method, optim.adamw(rate, weight_decay=weight_decay), source, views)
