"""Clustering and distillation on ImageNet-1k; protocol as in `imagenet_contrastive`."""

from jaxssl import methods, models, optim
from jaxssl.augment import (
  deepcluster_view,
  many_views,
  moco_view,
  multi_crop,
  swav_views,
)
from jaxssl.presets import open_teacher, scaled_cosine, share
from jaxssl.presets.imagenet import (
  COST,
  SobelSiamese,
  imagenet_data,
  imagenet_run,
  larc,
  on_v5e,
  torchvision_encoder,
)
from jaxssl.registry import Parts, Run, experiment

DATA = "imagenet2012 (tfds)"


@experiment(
  method="SwAV",
  data=DATA,
  reaches="published: linear 72.1 % (official), not measured here",
  cost="official: 64 GPUs, up to 7 hours; not measured here",
  slices=on_v5e(accumulate=4),
)
def swav_imagenet(
  run: Run = imagenet_run(100, batch=4096),
  *,
  data: str = "tfds:imagenet2012",
  data_dir: str = "",
  encoder: str = "resnet50",
  size: int = 224,
  local_size: int = 96,
  local_count: int = 6,
  hidden: int = 2048,
  projection: int = 128,
  prototypes: int = 3000,
  temperature: float = 0.1,
  epsilon: float = 0.05,
  learning_rate: float = 0.3,
  weight_decay: float = 1e-6,
) -> Parts:
  """SwAV with multi-crop, ResNet-50, 100 epochs: 72.1 % (official); 75.3 with 800.

  LARC, 10 epochs of warm-up from a 16th of the peak, cosine to a thousandth; the
  prototypes have no gradient in the first epoch. No queue: that is for batches of
  256 rows. Batch norm sees the global batch (official: groups of 8 GPUs).

  Protocol: a linear probe; one seed. Cost (official): 64 GPUs, up to 7 hours.

  Args:
    run: Settings of every run.
    data: The data set: tfds:NAME, a folder of images, or an .npz.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a convolutional encoder.
    size: Side of the two global views in pixels.
    local_size: Side of the local views.
    local_count: Number of local views.
    hidden: Width of the projector's hidden layer.
    projection: Width of the projection.
    prototypes: Number of prototypes.
    temperature: Divides the cosines in the softmax.
    epsilon: Of the Sinkhorn iteration.
    learning_rate: Peak for 256 rows; scaled linearly.
    weight_decay: Of all parameters, as in Apex LARC.
  """
  views = multi_crop(*swav_views(size, local_size), local_count=local_count)
  head = models.swav_head(hidden=hidden, out=projection)
  method = methods.swav(
    models.Siamese(torchvision_encoder(encoder, run, size=size), head),
    views,
    prototypes=prototypes,
    temperature=temperature,
    epsilon=epsilon,
    freeze_steps=share(run, 1, of=100),
  )
  tx = larc(run, learning_rate, weight_decay=weight_decay, warmup=10, epochs=100)
  return Parts(method, tx, imagenet_data(data, data_dir), views)


@experiment(
  method="DeepCluster",
  data=DATA,
  reaches="no published number for a ResNet-50, not measured here",
  cost=COST,
  slices=on_v5e(),
)
def deepcluster_imagenet(
  run: Run = imagenet_run(200, batch=256),
  *,
  data: str = "tfds:imagenet2012",
  data_dir: str = "",
  encoder: str = "resnet50",
  size: int = 224,
  hidden: int = 4096,
  projection: int = 512,
  clusters: int = 10_000,
  components: int = 256,
  learning_rate: float = 0.05,
  weight_decay: float = 1e-5,
) -> Parts:
  """DeepCluster, ResNet-50 on Sobel edges: no published number for this net.

  The paper has AlexNet (linear 37.88 %, VISSL) and VGG, with 4,096 features; here the
  projection is narrower, since k-means holds it for all images at once. SGD with a
  constant rate; the new layer of each epoch has its own, without momentum. 200 epochs
  are the script's default; the paper's 500 are unverified. No dropout.

  Protocol: a linear probe; one seed. Cost: see `jaxssl plan`.

  Args:
    run: Settings of every run.
    data: The data set: tfds:NAME, a folder of images, or an .npz.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a convolutional encoder.
    size: Side of the view in pixels.
    hidden: Width of the projector's hidden layer.
    projection: Width of what is clustered and classified.
    clusters: Of k-means.
    components: Kept by PCA before k-means.
    learning_rate: Constant, for 256 rows; scaled linearly.
    weight_decay: Of all parameters.
  """
  source = imagenet_data(data, data_dir)
  views = many_views(deepcluster_view(size))
  head = models.moco_head(hidden=hidden, out=projection)
  method = methods.deepcluster(
    SobelSiamese(torchvision_encoder(encoder, run, size=size), head),
    views,
    examples=len(source.train),
    clusters=clusters,
    components=components,
  )
  rate = optim.linear_scaling(learning_rate, run.batch)
  top = optim.sgd(rate, momentum=0.0, weight_decay=weight_decay)
  rest = optim.sgd(rate, momentum=0.9, weight_decay=weight_decay)
  return Parts(method, optim.by_part({"top": top}, rest), source, views)


@experiment(
  method="DeepCluster-v2",
  data=DATA,
  reaches="published: linear 75.2 % (official), not measured here",
  cost="official: 64 GPUs, up to 40 hours; not measured here",
  slices=on_v5e(accumulate=4),
)
def deepcluster_v2_imagenet(
  run: Run = imagenet_run(800, batch=4096),
  *,
  data: str = "tfds:imagenet2012",
  data_dir: str = "",
  encoder: str = "resnet50",
  size: int = 224,
  local_size: int = 96,
  local_count: int = 6,
  hidden: int = 2048,
  projection: int = 128,
  clusters: int = 3000,
  heads: int = 3,
  temperature: float = 0.1,
  learning_rate: float = 0.3,
  weight_decay: float = 1e-6,
) -> Parts:
  """DeepCluster-v2 with multi-crop, ResNet-50, 800 epochs: 75.2 % (official).

  The optimiser of `swav_imagenet`. The memory starts from unaugmented images
  (official: augmented ones).

  Protocol: a linear probe; one seed. Cost (official): 64 GPUs, up to 40 hours.

  Args:
    run: Settings of every run.
    data: The data set: tfds:NAME, a folder of images, or an .npz.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a convolutional encoder.
    size: Side of the two global views in pixels.
    local_size: Side of the local views.
    local_count: Number of local views.
    hidden: Width of the projector's hidden layer.
    projection: Width of the projection.
    clusters: Of each clustering.
    heads: Number of clusterings.
    temperature: Divides the cosines in the softmax.
    learning_rate: Peak for 256 rows; scaled linearly.
    weight_decay: Of all parameters, as in Apex LARC.
  """
  source = imagenet_data(data, data_dir)
  views = multi_crop(*swav_views(size, local_size), local_count=local_count)
  head = models.swav_head(hidden=hidden, out=projection)
  method = methods.deepcluster_v2(
    models.Siamese(torchvision_encoder(encoder, run, size=size), head),
    views,
    examples=len(source.train),
    clusters=clusters,
    heads=heads,
    temperature=temperature,
  )
  tx = larc(run, learning_rate, weight_decay=weight_decay, warmup=10, epochs=800)
  return Parts(method, tx, source, views)


@experiment(
  method="SEED",
  data=DATA,
  reaches="no published number for a teacher of your own, not measured here",
  cost=COST,
  slices=on_v5e(),
)
def seed_imagenet(
  run: Run = imagenet_run(200, batch=256),
  *,
  teacher: str = "",
  data: str = "tfds:imagenet2012",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 224,
  hidden: int = 2048,
  projection: int = 2048,
  queue_size: int = 65536,
  student_temperature: float = 0.2,
  teacher_temperature: float = 1e-4,
  learning_rate: float = 0.03,
  weight_decay: float = 1e-4,
) -> Parts:
  """SEED, a ResNet-18 that learns from a finished run: no number for it.

  The official one has, with its best teachers, EfficientNet-B0 67.6 %, MobileNetV3-L
  68.2 % and ResNet-50 74.3 %. Its teachers keep their projector (128 wide); here the
  teacher gives its features. SGD, cosine to 0; the teacher's temperature is the
  code's, nearly one-hot (paper: 0.01, unverified).

  Protocol: a linear probe; one seed. Cost: see `jaxssl plan`.

  Args:
    run: Settings of every run.
    teacher: Folder of the teacher's run, such as runs/moco_v2_imagenet/1.
    data: The data set: tfds:NAME, a folder of images, or an .npz.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of a convolutional encoder, the student.
    size: Side of the view in pixels.
    hidden: Width of the projector's hidden layer.
    projection: Width of the teacher's features, 2048 for a ResNet-50.
    queue_size: Teacher features kept; a multiple of the batch.
    student_temperature: Of the student's softmax.
    teacher_temperature: Of the teacher's softmax.
    learning_rate: Peak for 256 rows; scaled linearly.
    weight_decay: Of all parameters.
  """
  views = many_views(moco_view(size))
  head = models.moco_head(hidden=hidden, out=projection)
  method = methods.seed(
    models.Siamese(torchvision_encoder(encoder, run, size=size), head),
    views,
    open_teacher(teacher, "seed_imagenet"),
    queue_size=queue_size,
    student_temperature=student_temperature,
    teacher_temperature=teacher_temperature,
  )
  rate = scaled_cosine(run, learning_rate, warmup=0, epochs=200)
  tx = optim.sgd(rate, momentum=0.9, weight_decay=weight_decay)
  return Parts(method, tx, imagenet_data(data, data_dir), views)
