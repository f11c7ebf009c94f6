"""Clustering and distillation on CIFAR-10; protocols as in `cifar10_contrastive.py`."""

import jax.numpy as jnp
import optax

from jaxssl import methods, models, optim
from jaxssl.augment import deepcluster_view, many_views, moco_view
from jaxssl.presets import cifar10, open_teacher, run_of, share
from jaxssl.registry import Parts, Run, experiment


@experiment(
  method="SwAV",
  data="cifar10 (tfds)",
  reaches="published: 89.17 % (solo-learn, online linear); not measured here",
  cost="1,000 epochs, not measured here",
)
def swav_cifar10(
  run: Run = cifar10.SOLO,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  hidden: int = 2048,
  projection: int = 128,
  prototypes: int = 3000,
  temperature: float = 0.1,
  epsilon: float = 0.05,
  queue_size: int = 3840,
  learning_rate: float = 0.6,
  weight_decay: float = 1e-6,
) -> Parts:
  """SwAV on CIFAR-10 by solo-learn's recipe: two views, no small crops.

  Target: 89.17 % by solo-learn's online linear classifier after 1,000 epochs, one run.
  The queue is used from epoch 50 on, the prototypes move from epoch 2 on. Cost: not
  measured here; one GPU there.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    hidden: Width of the hidden layers of the heads.
    projection: Width of the projection.
    prototypes: Number of prototypes.
    temperature: Divides the cosines in the softmax.
    epsilon: Of the Sinkhorn iteration.
    queue_size: Projections that widen the Sinkhorn problem; a multiple of the batch.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = cifar10.symmetric(size)
  method = methods.swav(
    cifar10.net(
      encoder, run, models.swav_head(hidden=hidden, out=projection), size=size
    ),
    views,
    prototypes=prototypes,
    temperature=temperature,
    epsilon=epsilon,
    queue_size=queue_size,
    queue_start=share(run, 50, of=cifar10.EPOCHS),
    freeze_steps=share(run, 2, of=cifar10.EPOCHS),
  )
  tx = cifar10.lars(run, learning_rate, weight_decay=weight_decay)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)


@experiment(
  method="DeepCluster",
  data="cifar10 (tfds)",
  reaches="no published number",
  cost="200 epochs, not measured here",
)
def deepcluster_cifar10(
  run: Run = run_of(200, examples=cifar10.EXAMPLES, batch=256),
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  hidden: int = 2048,
  projection: int = 256,
  clusters: int = 100,
  components: int = 256,
  learning_rate: float = 0.05,
  weight_decay: float = 1e-5,
) -> Parts:
  """DeepCluster on CIFAR-10: k-means between the epochs, ten clusters a class.

  Target: no published number; the paper is on ImageNet. As there, SGD at a constant
  rate, and the top layer by its own without momentum; net, head and length of the run
  are chosen, and there is no Sobel filter. Protocol: linear probe. Cost: not measured
  here.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    hidden: Width of the hidden layers of the heads.
    projection: Width of the projection.
    clusters: Of k-means.
    components: Kept by PCA before it.
    learning_rate: Constant, and not scaled with the batch.
    weight_decay: Of all parameters.
  """
  views = many_views(deepcluster_view(size))
  source = cifar10.source(data, data_dir, size=size)
  method = methods.deepcluster(
    cifar10.net(
      encoder, run, models.swav_head(hidden=hidden, out=projection), size=size
    ),
    views,
    examples=len(source.train),
    clusters=clusters,
    components=components,
  )
  rest = optim.sgd(learning_rate, momentum=0.9, weight_decay=weight_decay)
  tx = optim.by_part({"top": optax.sgd(learning_rate)}, rest)
  return Parts(method, tx, source, views)


@experiment(
  method="DeepCluster-v2",
  data="cifar10 (tfds)",
  reaches="published: 88.85 % (solo-learn, online linear); not measured here",
  cost="1,000 epochs, not measured here",
)
def deepcluster_v2_cifar10(
  run: Run = cifar10.SOLO,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  hidden: int = 2048,
  projection: int = 128,
  clusters: int = 3000,
  heads: int = 3,
  temperature: float = 0.1,
  learning_rate: float = 0.6,
  weight_decay: float = 1e-6,
) -> Parts:
  """DeepCluster-v2 on CIFAR-10 by solo-learn's recipe: two views, no small crops.

  Target: 88.85 % by solo-learn's online linear classifier after 1,000 epochs, one run.
  Cost: not measured here; one GPU there.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    hidden: Width of the hidden layers of the heads.
    projection: Width of the projection.
    clusters: Of each clustering.
    heads: Number of clusterings.
    temperature: Divides the cosines in the softmax.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = cifar10.symmetric(size)
  source = cifar10.source(data, data_dir, size=size)
  method = methods.deepcluster_v2(
    cifar10.net(
      encoder, run, models.swav_head(hidden=hidden, out=projection), size=size
    ),
    views,
    examples=len(source.train),
    clusters=clusters,
    heads=heads,
    temperature=temperature,
  )
  tx = cifar10.lars(
    run, learning_rate, weight_decay=weight_decay, warmup=11, start=0.0, end=6e-4
  )
  return Parts(method, tx, source, views)


@experiment(
  method="SEED",
  data="cifar10 (tfds)",
  reaches="no published number",
  cost="200 epochs, not measured here",
)
def seed_cifar10(
  run: Run = run_of(200, examples=cifar10.EXAMPLES, batch=256),
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  teacher: str = "",
  hidden: int = 512,
  queue_size: int = 4096,
  student_temperature: float = 0.2,
  teacher_temperature: float = 0.01,
  learning_rate: float = 0.03,
  weight_decay: float = 1e-4,
) -> Parts:
  """SEED on CIFAR-10: a student learns from a finished run of a larger encoder.

  Target: no published number; the paper is on ImageNet, whose optimiser and (without
  blur) augmentation these are; the queue is smaller, as the data set is. The teacher
  is seen by its pooled features, in the paper by its projections. A teacher:
  `jaxssl train simclr_cifar10 --encoder resnet50`. Protocol: linear probe. Cost: not
  measured here.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    teacher: Folder of the teacher's run, such as runs/simclr_cifar10/1.
    hidden: Width of the student's projector; its output has the teacher's width.
    queue_size: Vectors kept; a multiple of the batch.
    student_temperature: Of the student's softmax.
    teacher_temperature: Of the teacher's softmax.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: Of all parameters.
  """
  frozen = open_teacher(teacher, "seed_cifar10")
  width = methods.teacher_width(frozen, jnp.zeros((1, size, size, 3)))
  views = many_views(moco_view(size, blur_probability=0.0))
  method = methods.seed(
    cifar10.net(encoder, run, models.moco_head(hidden=hidden, out=width), size=size),
    views,
    frozen,
    queue_size=queue_size,
    student_temperature=student_temperature,
    teacher_temperature=teacher_temperature,
  )
  tx = cifar10.sgd(run, learning_rate, weight_decay=weight_decay, warmup=0)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)
