"""Colorization and inpainting on ImageNet-1k, by the papers' recipes.

Their features were published for AlexNet; the nets here are those of the papers' own
codes, which have no published probe on ImageNet.
"""

import optax

from jaxssl import methods, optim
from jaxssl.presets import restoration
from jaxssl.presets.imagenet import COST, SIDE, imagenet_data, on_v5e
from jaxssl.registry import Parts, Run, experiment

DATA = "imagenet2012 (tfds)"
EVERY = {"log_every": 100, "eval_every": 50_000, "checkpoint_every": 10_000}
MEAN_COLOR = (117 / 255, 104 / 255, 123 / 255)  # as the official code has it


@experiment(
  method="Colorization",
  data=DATA,
  reaches="published: linear 30.4 % (AlexNet, VISSL), not measured here",
  cost=COST,
  slices=on_v5e(precision="float32", rows=(48, 256)),
)
def colorization_imagenet(
  run: Run = Run(steps=500_000, batch=40, **EVERY),
  *,
  data: str = "tfds:imagenet2012",
  data_dir: str = "",
  size: int = 176,
  width: int = 64,
  gamma: float = 0.5,
  alpha: float = 1.0,
  drop_every: int = 225_000,
  learning_rate: float = 3e-5,
  weight_decay: float = 1e-3,
) -> Parts:
  """Colorization by the paper: its net, 44 x 44 colours of a crop of 176 pixels.

  Target: 30.4 % by VISSL's linear probe with an AlexNet (ResNet-50: 40.1 %). Crops of
  images of 256 pixels and their mirror images, Adam with betas of 0.9 and 0.99, the
  decay added to the gradient, the rate to a tenth every 225,000 steps. The prior of
  the colours is from 512 images here, not from all.

  Protocol: a linear probe; one seed. Cost: see `jaxssl plan`.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place, in colour.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    size: Side of the crops in pixels, a multiple of 8.
    width: Channels of the first block; the last has 8 times as many.
    gamma: Share of the uniform distribution in the prior of the colours.
    alpha: How strongly rare colours are favoured; 0 weighs all alike.
    drop_every: Steps after which the rate falls to a tenth, again and again.
    learning_rate: At the start.
    weight_decay: Of all parameters.
  """
  views = restoration.fixed_crops(size, share=min(size / SIDE, 1.0))
  source = imagenet_data(data, data_dir)
  net = restoration.paper_color_net(width=width, out=313)
  weights = restoration.color_weights(source.train, gamma=gamma, alpha=alpha)
  method = methods.colorization(net, views, weights=weights)
  rate = optax.exponential_decay(learning_rate, drop_every, 0.1, staircase=True)
  tx = optax.chain(
    optax.add_decayed_weights(weight_decay), optax.adam(rate, b1=0.9, b2=0.99)
  )
  return Parts(method, tx, source, views)


@experiment(
  method="Context encoder",
  data=DATA,
  reaches="paper: VOC07 classes 56.5 % (AlexNet, no critic), not measured here",
  cost=COST,
  slices=on_v5e(precision="float32", rows=(64, 256)),
)
def inpainting_imagenet(
  run: Run = Run(steps=100_000, batch=64, **EVERY),
  *,
  data: str = "tfds:imagenet2012",
  data_dir: str = "",
  size: int = 128,
  overlap: int = 4,
  width: int = 64,
  bottleneck: int = 4000,
  reconstruction_weight: float = 0.999,
  learning_rate: float = 2e-3,
  critic_learning_rate: float = 2e-4,
) -> Parts:
  """Context encoder with critic by the official code: the middle 64 of 128 pixels.

  Target: features were published for an AlexNet trained by reconstruction alone (56.5
  % of VOC07's classes after fine-tuning), not for this net. Adam with a first beta of
  0.5, the critic at a tenth of the rate. The number of steps is that of the paper's
  feature nets as far as we know.

  Protocol: fine-tuning on VOC07; one seed. Cost: see `jaxssl plan`.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place, in colour.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    size: Side of the views in pixels, a power of 2; the hole has half of it.
    overlap: Width of the ring of the hole that the net sees.
    width: Channels of the first convolutions; the last has 8 times as many.
    bottleneck: Dimensions of the code.
    reconstruction_weight: Of the squared error; the critic has the rest.
    learning_rate: Of encoder and decoder.
    critic_learning_rate: Of the critic.
  """
  views = restoration.light_crops(size, least=0.3)
  method = methods.inpainting_adversarial(
    restoration.context_net(size, width=width, bottleneck=bottleneck),
    restoration.hole_critic(size // 2, width=width),
    views,
    hole=size // 2,
    overlap=overlap,
    fill=MEAN_COLOR,
    reconstruction_weight=reconstruction_weight,
  )
  critic = optax.adam(critic_learning_rate, b1=0.5)
  tx = optim.by_part({"critic": critic}, optax.adam(learning_rate, b1=0.5))
  return Parts(method, tx, imagenet_data(data, data_dir), views)
