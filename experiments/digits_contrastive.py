"""More contrastive methods on scikit-learn's digits; protocol as in `digits.py`."""

from functools import partial

from jaxssl import methods, models
from jaxssl.augment import (
  compose,
  digits_view,
  gaussian_noise,
  many_views,
  random_warp,
  two_views,
)
from jaxssl.data import digits
from jaxssl.ops import cosine_ema
from jaxssl.presets import digits_net, digits_parts
from jaxssl.registry import Parts, Run, experiment

EVERY = {"log_every": 50, "eval_every": 200, "checkpoint_every": 200}
RUN = Run(steps=1000, batch=128, **EVERY)
VIEWS = two_views(digits_view())
ONE_VIEW = many_views(digits_view())
SHIFT = {"rotation": 5.0, "scale": 1.1, "shift": 0.5, "shear": 0.1, "elastic": 0.0}
WEAK = compose(partial(random_warp, **SHIFT), partial(gaussian_noise, deviation=0.02))
STRONG_AND_WEAK = two_views(digits_view(), WEAK)


@experiment(
  method="SimCLR v2",
  data="digits",
  reaches="600 steps: 5 labels 96 %, kNN 99 %",
  cost="2 min on 2 CPU cores",
)
def simclr_v2_digits(
  run: Run = RUN,
  *,
  temperature: float = 0.2,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """SimCLR with version 2's head of three layers on digits.

  Args:
    run: Settings of every run.
    temperature: Divides the cosines in the softmax.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  net = digits_net(models.simclr_head(hidden=256, out=64, layers=3))
  method = methods.simclr(net, VIEWS, temperature=temperature)
  return digits_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="MoCo v1",
  data="digits",
  reaches="600 steps: 5 labels 95 %, kNN 98 %",
  cost="2 min on 2 CPU cores",
)
def moco_v1_digits(
  run: Run = RUN,
  *,
  temperature: float = 0.2,
  queue_size: int = 512,
  momentum: float = 0.99,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """MoCo v1, with its one linear layer as head, on digits.

  Args:
    run: Settings of every run.
    temperature: Divides the cosines in the softmax.
    queue_size: Vectors kept; a multiple of the batch.
    momentum: Of the key encoder.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  net = digits_net(models.linear_head(out=64))
  method = methods.moco_v1(
    net, VIEWS, queue_size=queue_size, momentum=momentum, temperature=temperature
  )
  return digits_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="MoCo v3",
  data="digits",
  reaches="600 steps: 5 labels 95 %, kNN 99 %",
  cost="2 min on 2 CPU cores",
)
def moco_v3_digits(
  run: Run = RUN,
  *,
  temperature: float = 0.2,
  momentum: float = 0.99,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """MoCo v3 on digits.

  Args:
    run: Settings of every run.
    temperature: Divides the cosines in the softmax.
    momentum: Of the target at the start; it rises to 1 by a cosine.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  projector = models.moco_v3_projector(hidden=256, out=64, layers=2)
  predictor = models.moco_v3_predictor(hidden=256, out=64, last_norm=False)
  net = digits_net(projector, predictor)
  schedule = cosine_ema(momentum, steps=run.steps)
  method = methods.moco_v3(net, VIEWS, momentum=schedule, temperature=temperature)
  return digits_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="NPID",
  data="digits",
  reaches="600 steps: 5 labels 96 %, kNN 99 %",
  cost="2 min on 2 CPU cores",
)
def npid_digits(
  run: Run = RUN,
  *,
  temperature: float = 0.1,
  momentum: float = 0.5,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Instance discrimination by the full softmax over a memory bank, on digits.

  Args:
    run: Settings of every run.
    temperature: Divides the cosines in the softmax.
    momentum: Of the bank's rows.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  net = digits_net(models.linear_head(out=64))
  method = methods.npid_softmax(
    net,
    ONE_VIEW,
    examples=len(digits().train),
    temperature=temperature,
    momentum=momentum,
  )
  return digits_parts(
    run, method, ONE_VIEW, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="NNCLR",
  data="digits",
  reaches="600 steps: 5 labels 95 %, kNN 99 %",
  cost="2 min on 2 CPU cores",
)
def nnclr_digits(
  run: Run = RUN,
  *,
  temperature: float = 0.2,
  queue_size: int = 512,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """NNCLR on digits; the queue is small, as the data set is.

  Args:
    run: Settings of every run.
    temperature: Divides the cosines in the softmax.
    queue_size: Vectors kept; a multiple of the batch.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  projector = models.nnclr_projector(hidden=256, out=64, layers=2)
  net = digits_net(projector, models.nnclr_predictor(hidden=256, out=64))
  method = methods.nnclr(net, VIEWS, queue_size=queue_size, temperature=temperature)
  return digits_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="DCL",
  data="digits",
  reaches="600 steps: 5 labels 96 %, kNN 99 %",
  cost="2 min on 2 CPU cores",
)
def dcl_digits(
  run: Run = RUN,
  *,
  temperature: float = 0.2,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Decoupled contrastive learning on digits.

  Args:
    run: Settings of every run.
    temperature: Divides the cosines in the softmax.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  net = digits_net(models.simclr_head(hidden=256, out=64))
  method = methods.dcl(net, VIEWS, temperature=temperature)
  return digits_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="DCLW",
  data="digits",
  reaches="600 steps: 5 labels 96 %, kNN 99 %",
  cost="2 min on 2 CPU cores",
)
def dclw_digits(
  run: Run = RUN,
  *,
  temperature: float = 0.2,
  sigma: float = 0.5,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """DCL with weighted positives on digits.

  Args:
    run: Settings of every run.
    temperature: Divides the cosines in the softmax.
    sigma: Of the weights of the positives.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  net = digits_net(models.simclr_head(hidden=256, out=64))
  method = methods.dclw(net, VIEWS, temperature=temperature, sigma=sigma)
  return digits_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="SupCon",
  data="digits",
  reaches="600 steps: 5 labels 99 %, kNN 99 %",
  cost="2 min on 2 CPU cores",
)
def supcon_digits(
  run: Run = RUN,
  *,
  temperature: float = 0.1,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Supervised contrastive learning on digits: it knows all labels, as a ceiling.

  Args:
    run: Settings of every run.
    temperature: Divides the cosines in the softmax.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  net = digits_net(models.simclr_head(hidden=256, out=64))
  method = methods.supcon(net, VIEWS, temperature=temperature)
  return digits_parts(
    run, method, VIEWS, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="ReSSL",
  data="digits",
  reaches="600 steps: 5 labels 97 %, kNN 99 %",
  cost="2 min on 2 CPU cores",
)
def ressl_digits(
  run: Run = RUN,
  *,
  queue_size: int = 512,
  momentum: float = 0.97,
  student_temperature: float = 0.1,
  teacher_temperature: float = 0.04,
  learning_rate: float = 2e-3,
  weight_decay: float = 1e-4,
) -> Parts:
  """Relational self-supervised learning on digits; the teacher's view is weak.

  Args:
    run: Settings of every run.
    queue_size: Vectors kept; a multiple of the batch.
    momentum: Of the teacher.
    student_temperature: Of the student's softmax over the queue.
    teacher_temperature: Of the teacher's, sharper.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  net = digits_net(models.swav_head(hidden=256, out=64))
  method = methods.ressl(
    net,
    STRONG_AND_WEAK,
    queue_size=queue_size,
    momentum=momentum,
    student_temperature=student_temperature,
    teacher_temperature=teacher_temperature,
  )
  return digits_parts(
    run, method, STRONG_AND_WEAK, learning_rate=learning_rate, weight_decay=weight_decay
  )


@experiment(
  method="CPC",
  data="digits",
  reaches="600 steps: 5 labels 63 %, kNN 92 %",
  cost="2 min on 2 CPU cores",
)
def cpc_digits(
  run: Run = RUN,
  *,
  ahead: int = 1,
  learning_rate: float = 5e-4,
  weight_decay: float = 0.3,
) -> Parts:
  """CPC for images on digits: four patches of 4 pixels, from above what is below.

  They don't overlap: of patches that share pixels the next row is told by those.

  Args:
    run: Settings of every run.
    ahead: Rows predicted.
    learning_rate: Peak of AdamW's cosine schedule.
    weight_decay: Of the weights; biases and norms have none.
  """
  encoder = models.ConvNet(widths=(32, 64, 128), pools=(1, 2, 1), norm=models.LayerNorm)
  context = models.RowContext(width=128, blocks=2)
  method = methods.cpc(
    encoder, context, ONE_VIEW, patch=4, stride=4, steps=ahead, temperature=1.0
  )
  return digits_parts(
    run, method, ONE_VIEW, learning_rate=learning_rate, weight_decay=weight_decay
  )
