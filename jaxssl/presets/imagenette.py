"""What the experiments on Imagenette share: ten easy classes of ImageNet, 128 pixels.

The recipe is that of lightly's Imagenette benchmark (page and script of 4 May 2023):
torchvision's ResNet-18, views of 128 pixels, batch 256, SGD of 0.06 with momentum 0.9
and a weight decay of 5e-4 on everything, cosine to 0, no warm-up. It differs in this:
images are squares of 160 pixels when they are cropped (there: 160 on the shorter
side), nothing is subtracted from the pixels, crops are resized as in the paper of each
method, and the target moves after the step and not before the next one.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxssl import models, ops, optim
from jaxssl.core import Method
from jaxssl.data import DataSet, open_data
from jaxssl.errors import InputError
from jaxssl.ops.schedules import Schedule
from jaxssl.presets.common import VITS, encoder, run_of, scaled_cosine, vit
from jaxssl.registry import Parts, Run

DATA = "tfds:imagenette/160px-v2"
SIDE = 160  # of the images that are cropped, in pixels
EPOCHS = 200
RUN = run_of(EPOCHS, examples=9469, batch=256)
COST = "not measured here; wants a GPU"


def published(number: str) -> str:
  """Returns what `jaxssl list` says of a method that lightly's benchmark has."""
  return f"published (lightly): kNN {number} % at 200 epochs, not measured here"


NO_NUMBER = "no published number, not measured here"


def open_imagenette(data: str, data_dir: str) -> DataSet:
  """Opens the data: a name, an .npz as it is, a folder with images brought to 160."""
  size = None if data.endswith(".npz") else SIDE
  return open_data(data, size=size, data_dir=data_dir or None)


def backbone(name: str, run: Run, size: int, **options) -> nn.Module:
  """Returns an encoder by name; a ResNet starts as torchvision's does.

  Args:
    name: one of `ENCODERS` or `VITS`.
    run: its `precision` and `remat`.
    size: side of the global views in pixels.
    **options: of the encoder.

  Returns:
    The encoder.
  """
  if name in VITS:
    return vit(name, run, size=size, **options)
  if name.startswith("resnet"):
    options = {"zero_init": False, **options}
  return encoder(name, run, size=size, **options)


def siamese(
  name: str,
  run: Run,
  size: int,
  projector: nn.Module,
  predictor: nn.Module | None = None,
) -> nn.Module:
  """Returns the net of most experiments: `backbone` and its heads."""
  return models.Siamese(backbone(name, run, size), projector, predictor)


def dino_head(*, hidden: int, bottleneck: int) -> nn.Module:
  """DINO's head with batch norm, which lightly gives to convolutional encoders."""
  return models.MLP(
    widths=(hidden, hidden, bottleneck),
    biases=(False, False, True),
    norms=(models.BatchNorm, models.BatchNorm, None),
    activation=models.exact_gelu,
    kernel_init=nn.initializers.normal(0.02),
  )


def patch_side(net: nn.Module, size: int) -> int:
  """Returns the rows (and columns) of patches that an encoder makes of a view.

  Args:
    net: an encoder that sows "patches".
    size: side of the view in pixels.

  Returns:
    The rows.

  Raises:
    InputError: if the patches are no square.
  """

  def run():
    view = jnp.zeros((1, size, size, 3))
    variables = net.init(jax.random.key(0), view, train=False)
    _, seen = net.apply(variables, view, train=False, mutable=["intermediates"])
    return seen["intermediates"]["patches"][0]

  patches = jax.eval_shape(run).shape[1]
  side = round(patches**0.5)
  if side**2 != patches:
    raise InputError(f"The encoder makes {patches} patches, which are no square.")
  return side


def constant(value: float) -> Schedule:
  """Returns the schedule of a constant that does not change."""
  return ops.linear(value, value, steps=1)


def sgd_parts(
  run: Run,
  method: Method,
  data: DataSet,
  views,
  *,
  learning_rate: float,
  weight_decay: float,
  warmup: float = 0.0,
) -> Parts:
  """Returns the parts of an experiment by the benchmark's recipe.

  Args:
    run: settings of every run.
    method: the method.
    data: the opened data set.
    views: (key, example) -> tuple of inputs, for the report.
    learning_rate: of 256 rows, the peak of the cosine.
    weight_decay: of all parameters, added to the gradient.
    warmup: epochs, out of 200.

  Returns:
    The parts.
  """
  rate = scaled_cosine(run, learning_rate, warmup=warmup, epochs=EPOCHS)
  tx = optim.sgd(rate, momentum=0.9, weight_decay=weight_decay)
  return Parts(method, tx, data, views)


def lars_parts(
  run: Run,
  method: Method,
  data: DataSet,
  views,
  *,
  learning_rate: float,
  weight_decay: float,
  warmup: float,
) -> Parts:
  """As `sgd_parts`, with lightly's LARS, which has both norms apart."""
  rate = scaled_cosine(run, learning_rate, warmup=warmup, epochs=EPOCHS)
  tx = optim.lars_separate_norms(rate, weight_decay=weight_decay)
  return Parts(method, tx, data, views)


def adam_parts(
  run: Run,
  method: Method,
  data: DataSet,
  views,
  *,
  learning_rate: float,
  weight_decay: float,
) -> Parts:
  """As `sgd_parts`, with torch's Adam: the decay is added to the gradient."""
  rate = scaled_cosine(run, learning_rate, warmup=0.0, epochs=EPOCHS)
  decay = optax.add_decayed_weights(weight_decay)
  return Parts(method, optax.chain(decay, optax.adam(rate)), data, views)


def adamw_parts(
  run: Run,
  method: Method,
  data: DataSet,
  views,
  *,
  learning_rate: float,
  weight_decay: float,
  last_weight_decay: float,
  warmup: float,
) -> Parts:
  """Returns the parts of an experiment by DINO's recipe for ViTs.

  Args:
    run: settings of every run.
    method: the method.
    data: the opened data set.
    views: (key, example) -> tuple of inputs, for the report.
    learning_rate: of 256 rows, the peak of the cosine.
    weight_decay: at the start, of the weights; biases and norms have none.
    last_weight_decay: at the end, by a cosine.
    warmup: epochs, out of 200.

  Returns:
    The parts.
  """
  rate = scaled_cosine(run, learning_rate, warmup=warmup, epochs=EPOCHS, end=0.002)
  decay = ops.cosine(weight_decay, last_weight_decay, steps=run.steps)
  return Parts(method, optim.adamw(rate, weight_decay=decay), data, views)


def clipped(parts: Parts, norm: float) -> Parts:
  """Returns the parts with each tensor's gradient cut down to a norm, as DINO does."""
  return parts._replace(tx=optax.chain(optim.clip_each(norm), parts.tx))
