"""A tiny experiment for tests of the loop: its own file, as a user writes one."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxssl
from jaxssl import methods, models, optim
from jaxssl.augment import two_views
from jaxssl.data import ArraySource, DataSet, LazySource, digits

RUN = jaxssl.Run(steps=12, batch=32, log_every=3, eval_every=6, checkpoint_every=3)


class Encoder(nn.Module):
  """One dense layer with batch norm: compiles in a moment."""

  @nn.compact
  def __call__(self, x, *, train, keys=None):
    x = nn.Dense(16)(x.reshape(x.shape[0], -1))
    x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
    self.sow("intermediates", "patches", x[:, None])
    return x


def _noisy(key, image):
  return image + 0.1 * jax.random.normal(key, image.shape)


def _data(kind):
  whole = digits()
  small = [
    ArraySource({n: x[:size] for n, x in s.arrays().items()})
    for s, size in ((whole.train, 200), (whole.test, 60))
  ]
  if kind == "resident":
    return DataSet("toy", *small, whole.classes)
  return DataSet(
    "toy", *[LazySource(s.__getitem__, len(s)) for s in small], whole.classes
  )


def _broken(method, step_of_nan):
  """The method with a loss and a gradient that are NaN at one step."""

  def objective(params, extra, outputs, step):
    loss, aux = method.objective(params, extra, outputs, step)
    return loss * jnp.where(step == step_of_nan, jnp.float32(np.nan), 1.0), aux

  return method._replace(objective=objective)


@jaxssl.experiment(method="MoCo v2", data="toy", reaches="-", cost="-")
def toy(
  run: jaxssl.Run = RUN,
  *,
  data: str = "resident",
  nan_at: int = -1,
  rate: float = 0.01,
  adaptive: bool = True,
) -> jaxssl.Parts:
  """MoCo on a few digits: it has an EMA target, a queue and batch statistics.

  Args:
    run: Settings of every run.
    data: "resident" or "host".
    nan_at: Step whose loss is NaN; -1 for none.
    rate: The learning rate.
    adaptive: AdamW; else SGD, which doesn't divide rounding by itself.
  """
  views = two_views(_noisy)
  net = models.Siamese(Encoder(), models.moco_head(hidden=16, out=8))
  method = methods.moco_v2(net, views, queue_size=64, momentum=0.9)
  schedule = optim.warmup_cosine(rate, steps=run.steps)
  tx = optim.adamw(schedule, weight_decay=1e-4) if adaptive else optax.sgd(schedule)
  return jaxssl.Parts(_broken(method, nan_at), tx, _data(data), views)
