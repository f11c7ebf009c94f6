"""Contrastive methods on CIFAR-10: 32x32 pixels, 50,000 images to train on.

None of them was run here; what a run is published to reach is in its docstring.
Numbers of solo-learn and lightly are of one run. solo-learn's protocol is a linear
classifier trained along with the encoder on its detached features, the last epoch's
top-1 on the 10,000 test images; lightly's is kNN with k = 200 and temperature 0.1,
the best epoch's. Here it is what `jaxssl eval` does: a linear probe on frozen pooled
features, and kNN with k = 20. The shared recipe, and what differs in it from
solo-learn's, is in `jaxssl/presets/cifar10.py`.
"""

import optax

from jaxssl import methods, models, optim, presets
from jaxssl.augment import byol_views, crop_view, many_views, moco_v1_view, two_views
from jaxssl.ops import cosine_ema
from jaxssl.presets import cifar10, run_of
from jaxssl.registry import Parts, Run, experiment


@experiment(
  method="SimCLR",
  data="cifar10 (tfds)",
  reaches="published: 90.74 % (solo-learn, online linear); not measured here",
  cost="1,000 epochs, not measured here",
)
def simclr_cifar10(
  run: Run = cifar10.SOLO,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  hidden: int = 2048,
  projection: int = 256,
  temperature: float = 0.2,
  learning_rate: float = 0.4,
  weight_decay: float = 1e-4,
) -> Parts:
  """SimCLR on CIFAR-10 by solo-learn's recipe: full colour jitter, and blur.

  Target: 90.74 % by solo-learn's online linear classifier after 1,000 epochs, one run.
  (The official code's recipe reaches about 91 %: batch 512, temperature 0.5, half the
  jitter, no blur.) The head has no norms, and each view its own batch statistics.
  Cost: not measured here; one GPU there.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    hidden: Width of the hidden layers of the heads.
    projection: Width of the projection.
    temperature: Divides the cosines in the softmax.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = cifar10.symmetric(size)
  net = cifar10.net(
    encoder, run, models.moco_head(hidden=hidden, out=projection), size=size
  )
  method = methods.simclr(net, views, temperature=temperature, apply=models.apply_views)
  tx = cifar10.lars(run, learning_rate, weight_decay=weight_decay)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)


@experiment(
  method="SimCLR v2",
  data="cifar10 (tfds)",
  reaches="no published number",
  cost="1,000 epochs, not measured here",
)
def simclr_v2_cifar10(
  run: Run = cifar10.SOLO,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  hidden: int = 2048,
  projection: int = 256,
  temperature: float = 0.2,
  learning_rate: float = 0.4,
  weight_decay: float = 1e-4,
) -> Parts:
  """SimCLR with version 2's head of three layers, all with norms, on CIFAR-10.

  Target: no published number. All but the head is as in `simclr_cifar10`. Protocol:
  linear probe. 1,000 epochs; cost: not measured here.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    hidden: Width of the hidden layers of the heads.
    projection: Width of the projection.
    temperature: Divides the cosines in the softmax.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = cifar10.symmetric(size)
  head = models.simclr_head(hidden=hidden, out=projection, layers=3)
  net = cifar10.net(encoder, run, head, size=size)
  method = methods.simclr(net, views, temperature=temperature)
  tx = cifar10.lars(run, learning_rate, weight_decay=weight_decay)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)


@experiment(
  method="MoCo v1",
  data="cifar10 (tfds)",
  reaches="published: kNN 82.6 % (official demo, k=200); not measured here",
  cost="200 epochs, not measured here",
)
def moco_v1_cifar10(
  run: Run = run_of(200, examples=cifar10.EXAMPLES, batch=512),
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  projection: int = 128,
  temperature: float = 0.1,
  queue_size: int = 4096,
  momentum: float = 0.99,
  learning_rate: float = 0.03,
  weight_decay: float = 5e-4,
) -> Parts:
  """MoCo with one linear layer as head on CIFAR-10: the authors' demo.

  Target: 82.6, 86.3 and 88.7 % after 200, 400 and 800 epochs, one run each, by kNN
  with k = 200 and temperature 0.1 on the projection (here: on the features). The demo
  splits its batch norm in 8 and shuffles the keys, and says that without it about 4
  points are lost at 800 epochs; here batch norm sees the whole batch. Cost: not
  measured here; one GPU there.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    projection: Width of the projection.
    temperature: Divides the cosines in the softmax.
    queue_size: Keys kept; a multiple of the batch.
    momentum: Of the key encoder.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: Of all parameters.
  """
  views = cifar10.symmetric(size, strength=0.5, blur=0.0)
  net = cifar10.net(encoder, run, models.linear_head(out=projection), size=size)
  method = methods.moco_v1(
    net, views, queue_size=queue_size, momentum=momentum, temperature=temperature
  )
  tx = cifar10.sgd(run, learning_rate, weight_decay=weight_decay, warmup=0)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)


@experiment(
  method="MoCo v2",
  data="cifar10 (tfds)",
  reaches="published: 92.94 % (solo-learn, MoCo V2+); not measured here",
  cost="1,000 epochs, not measured here",
  aliases=("moco_cifar10",),
)
def moco_v2_cifar10(
  run: Run = cifar10.SOLO,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  hidden: int = 2048,
  projection: int = 256,
  temperature: float = 0.2,
  queue_size: int = 32768,
  momentum: float = 0.99,
  learning_rate: float = 0.3,
  weight_decay: float = 1e-4,
) -> Parts:
  """MoCo v2 on CIFAR-10 with the settings of solo-learn's MoCo V2+.

  Target: 92.94 % by solo-learn's online linear classifier after 1,000 epochs, one run,
  but of V2+: that has the loss of both directions and a momentum that rises to 0.999;
  here it is the paper's one direction, and the momentum is constant. Cost: not
  measured here; one GPU there.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    hidden: Width of the hidden layers of the heads.
    projection: Width of the projection.
    temperature: Divides the cosines in the softmax.
    queue_size: Keys kept; a multiple of the batch.
    momentum: Of the key encoder.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: Of all parameters.
  """
  views = cifar10.symmetric(size, strength=0.5)
  net = cifar10.net(
    encoder, run, models.moco_head(hidden=hidden, out=projection), size=size
  )
  method = methods.moco_v2(
    net, views, queue_size=queue_size, momentum=momentum, temperature=temperature
  )
  tx = cifar10.sgd(run, learning_rate, weight_decay=weight_decay)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)


@experiment(
  method="MoCo v3",
  data="cifar10 (tfds)",
  reaches="published: 93.10 % (solo-learn, online linear); not measured here",
  cost="1,000 epochs, not measured here",
)
def moco_v3_cifar10(
  run: Run = cifar10.SOLO,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  hidden: int = 4096,
  projection: int = 256,
  temperature: float = 0.2,
  momentum: float = 0.99,
  learning_rate: float = 0.3,
  weight_decay: float = 1e-6,
) -> Parts:
  """MoCo v3 on CIFAR-10 by solo-learn's recipe.

  Target: 93.10 % by solo-learn's online linear classifier after 1,000 epochs, one run.
  Cost: not measured here; one GPU there.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    hidden: Width of the hidden layers of the heads.
    projection: Width of the projection.
    temperature: Divides the cosines in the softmax.
    momentum: Of the target at the start; it rises to 1 by a cosine.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = cifar10.asymmetric(size)
  projector = models.moco_v3_projector(hidden=hidden, out=projection, layers=2)
  predictor = models.moco_v3_predictor(hidden=hidden, out=projection, last_norm=False)
  net = cifar10.net(encoder, run, projector, predictor, size=size)
  schedule = cosine_ema(momentum, steps=run.steps)
  method = methods.moco_v3(net, views, momentum=schedule, temperature=temperature)
  tx = cifar10.lars(run, learning_rate, weight_decay=weight_decay)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)


@experiment(
  method="NPID",
  data="cifar10 (tfds)",
  reaches="published: kNN 80.8 % (paper, unverified); not measured here",
  cost="200 epochs, not measured here",
)
def npid_cifar10(
  run: Run = cifar10.SHORT,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  projection: int = 128,
  temperature: float = 0.1,
  momentum: float = 0.5,
  learning_rate: float = 0.03,
  weight_decay: float = 5e-4,
) -> Parts:
  """Instance discrimination by the full softmax over all 50,000 images of CIFAR-10.

  Target: 80.8 % by kNN with k = 200 on the projection (here: on the features), which
  we could not verify. The official code's CIFAR-10 settings: MoCo v1's augmentation
  without the flip, 200 epochs at a constant learning rate. Cost: not measured here.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    projection: Width of the projection.
    temperature: Divides the cosines in the softmax.
    momentum: Of the bank's rows.
    learning_rate: Constant, and not scaled with the batch.
    weight_decay: Of all parameters.
  """
  views = many_views(moco_v1_view(size, flip_probability=0.0))
  source = cifar10.source(data, data_dir, size=size)
  net = cifar10.net(encoder, run, models.linear_head(out=projection), size=size)
  method = methods.npid_softmax(
    net,
    views,
    examples=len(source.train),
    temperature=temperature,
    momentum=momentum,
  )
  tx = optim.sgd(learning_rate, momentum=0.9, weight_decay=weight_decay)
  return Parts(method, tx, source, views)


@experiment(
  method="NNCLR",
  data="cifar10 (tfds)",
  reaches="published: 91.88 % (solo-learn, online linear); not measured here",
  cost="1,000 epochs, not measured here",
)
def nnclr_cifar10(
  run: Run = cifar10.SOLO,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  hidden: int = 2048,
  projection: int = 256,
  prediction_hidden: int = 4096,
  temperature: float = 0.2,
  queue_size: int = 65536,
  learning_rate: float = 0.4,
  weight_decay: float = 1e-5,
) -> Parts:
  """NNCLR on CIFAR-10 by solo-learn's recipe.

  Target: 91.88 % by solo-learn's online linear classifier after 1,000 epochs, one run.
  The queue is larger than the data set, so watch `neighbour_cosine`. Cost: not
  measured here; one GPU there.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    hidden: Width of the projector's hidden layer.
    projection: Width of the projection.
    prediction_hidden: Width of the predictor's hidden layer.
    temperature: Divides the cosines in the softmax.
    queue_size: Projections kept; a multiple of the batch.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: Of the weights; biases and norms have none.
  """
  views = cifar10.asymmetric(size)
  projector = models.nnclr_projector(hidden=hidden, out=projection, layers=2)
  predictor = models.nnclr_predictor(hidden=prediction_hidden, out=projection)
  net = cifar10.net(encoder, run, projector, predictor, size=size)
  method = methods.nnclr(net, views, queue_size=queue_size, temperature=temperature)
  tx = cifar10.lars(run, learning_rate, weight_decay=weight_decay)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)


@experiment(
  method="DCL",
  data="cifar10 (tfds)",
  reaches="published: kNN 84.4 % (lightly, k=200, best epoch); not measured here",
  cost="200 epochs, not measured here",
)
def dcl_cifar10(
  run: Run = cifar10.SHORT,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  hidden: int = 512,
  projection: int = 128,
  temperature: float = 0.1,
  learning_rate: float = 0.12,
  weight_decay: float = 5e-4,
) -> Parts:
  """Decoupled contrastive learning on CIFAR-10 by lightly's recipe.

  Target: 84.4 % by lightly's kNN (k = 200, best epoch) after 200 epochs at batch 128,
  87.4 % after 800 at 512; one run each. Half of SimCLR's jitter, no blur, no warm-up.
  Cost: not measured here.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    hidden: Width of the hidden layers of the heads.
    projection: Width of the projection.
    temperature: Divides the cosines in the softmax.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: Of all parameters.
  """
  views = cifar10.symmetric(size, strength=0.5, blur=0.0)
  head = models.simclr_head(hidden=hidden, out=projection)
  net = cifar10.net(encoder, run, head, size=size)
  method = methods.dcl(net, views, temperature=temperature, apply=models.apply_views)
  tx = cifar10.sgd(run, learning_rate, weight_decay=weight_decay, warmup=0)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)


@experiment(
  method="DCLW",
  data="cifar10 (tfds)",
  reaches="published: kNN 83.3 % (lightly, k=200, best epoch); not measured here",
  cost="200 epochs, not measured here",
)
def dclw_cifar10(
  run: Run = cifar10.SHORT,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  hidden: int = 512,
  projection: int = 128,
  temperature: float = 0.1,
  sigma: float = 0.5,
  learning_rate: float = 0.12,
  weight_decay: float = 5e-4,
) -> Parts:
  """DCL with weighted positives on CIFAR-10 by lightly's recipe.

  Target: 83.3 % by lightly's kNN (k = 200, best epoch) after 200 epochs at batch 128,
  87.1 % after 800 at 512; one run each. Cost: not measured here.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    hidden: Width of the hidden layers of the heads.
    projection: Width of the projection.
    temperature: Divides the cosines in the softmax.
    sigma: Of the weights of the positives.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: Of all parameters.
  """
  views = cifar10.symmetric(size, strength=0.5, blur=0.0)
  head = models.simclr_head(hidden=hidden, out=projection)
  net = cifar10.net(encoder, run, head, size=size)
  method = methods.dclw(
    net, views, temperature=temperature, sigma=sigma, apply=models.apply_views
  )
  tx = cifar10.sgd(run, learning_rate, weight_decay=weight_decay, warmup=0)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)


@experiment(
  method="SupCon",
  data="cifar10 (tfds)",
  reaches="published: 93.82 % (solo-learn, with labels); not measured here",
  cost="1,000 epochs, not measured here",
)
def supcon_cifar10(
  run: Run = cifar10.SOLO,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  hidden: int = 2048,
  projection: int = 256,
  temperature: float = 0.2,
  learning_rate: float = 0.4,
  weight_decay: float = 1e-5,
) -> Parts:
  """Supervised contrastive learning on CIFAR-10: it knows all labels, as a ceiling.

  Target: 93.82 % by solo-learn's online linear classifier after 1,000 epochs, one run.
  Cost: not measured here; one GPU there.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    hidden: Width of the hidden layers of the heads.
    projection: Width of the projection.
    temperature: Divides the cosines in the softmax.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: Of all parameters.
  """
  views = cifar10.symmetric(size)
  net = cifar10.net(
    encoder, run, models.moco_head(hidden=hidden, out=projection), size=size
  )
  method = methods.supcon(net, views, temperature=temperature, apply=models.apply_views)
  tx = cifar10.sgd(run, learning_rate, weight_decay=weight_decay)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)


@experiment(
  method="ReSSL",
  data="cifar10 (tfds)",
  reaches="published: 90.63 % (solo-learn, online linear); not measured here",
  cost="1,000 epochs, not measured here",
)
def ressl_cifar10(
  run: Run = cifar10.SOLO,
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  hidden: int = 4096,
  projection: int = 256,
  queue_size: int = 65536,
  momentum: float = 0.99,
  student_temperature: float = 0.1,
  teacher_temperature: float = 0.04,
  learning_rate: float = 0.05,
  weight_decay: float = 1e-4,
) -> Parts:
  """Relational self-supervised learning on CIFAR-10 by solo-learn's recipe.

  Target: 90.63 % by solo-learn's online linear classifier after 1,000 epochs, one run.
  There the teacher's momentum rises to 1, here it is constant. The teacher's view is
  cropped and flipped only. Cost: not measured here; one GPU there.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    hidden: Width of the hidden layers of the heads.
    projection: Width of the projection.
    queue_size: Vectors kept; a multiple of the batch.
    momentum: Of the teacher.
    student_temperature: Of the student's softmax over the queue.
    teacher_temperature: Of the teacher's, sharper.
    learning_rate: Peak of 256 rows; scaled with the batch.
    weight_decay: Of all parameters.
  """
  strong, _ = byol_views(
    size, blur_probability=(0.5, 0.0), solarize_probability=(0.0, 0.0)
  )
  views = two_views(strong, crop_view(size, scale=(0.08, 1.0)))
  net = cifar10.net(
    encoder, run, models.swav_head(hidden=hidden, out=projection), size=size
  )
  method = methods.ressl(
    net,
    views,
    queue_size=queue_size,
    momentum=momentum,
    student_temperature=student_temperature,
    teacher_temperature=teacher_temperature,
  )
  tx = cifar10.sgd(run, learning_rate, weight_decay=weight_decay)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)


@experiment(
  method="CPC",
  data="cifar10 (tfds)",
  reaches="no published number",
  cost="200 epochs, not measured here",
)
def cpc_cifar10(
  run: Run = run_of(200, examples=cifar10.EXAMPLES, batch=256),
  *,
  data: str = "tfds:cifar10",
  data_dir: str = "",
  encoder: str = "resnet18",
  size: int = 32,
  patch: int = 8,
  stride: int = 4,
  ahead: int = 3,
  width: int = 256,
  blocks: int = 5,
  learning_rate: float = 2e-4,
) -> Parts:
  """CPC for images on CIFAR-10: patches of 8 pixels on a grid of 7 x 7.

  Target: no published number; the paper is on ImageNet. As there, the encoder has
  layer norm, patches overlap by half, and Adam is constant at 2e-4 (unverified); rows
  ahead and length of the run are chosen. Protocol: linear probe on the mean over
  patches. Cost: not measured here.

  Args:
    run: Settings of every run.
    data: The data set; also an .npz or a folder of images in its place.
    data_dir: Where tensorflow-datasets keeps its data; empty for its own default.
    encoder: Name of the encoder.
    size: Side of the views in pixels.
    patch: Side of a patch in pixels.
    stride: Pixels between patches.
    ahead: Rows predicted.
    width: Channels of the context net.
    blocks: Its residual blocks.
    learning_rate: Of Adam, constant.
  """
  views = many_views(crop_view(size, scale=(0.3, 1.0)))
  method = methods.cpc(
    presets.encoder(encoder, run, size=patch, norm=models.LayerNorm),
    models.RowContext(width=width, blocks=blocks),
    views,
    patch=patch,
    stride=stride,
    steps=ahead,
  )
  tx = optax.adam(learning_rate)
  return Parts(method, tx, cifar10.source(data, data_dir, size=size), views)
