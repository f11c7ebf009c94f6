"""lightly on PyTorch as a competitor of `peers.py`, and its loss for `contrastive.py`.

As its examples have it: its transform in a `DataLoader`, here with 2 workers that stay,
its head and loss, SGD. Nets are channels-last, which is faster on processors.

  python -m workers.lightly_torch PAIRS DIM        prints what the loss takes, as JSON
"""

import contextlib
import functools
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

import PIL.Image
import torch
from workers import setting
from workers.setting import Setting

PACKAGES = ("lightly", "torch", "torchvision")


@functools.cache
def _packages():
  """Imports what needs torchvision, also beside a PyTorch it wasn't built for.

  Its transforms and nets are pure Python; the import alone asks for its operators.
  """
  library = torch.library.Library("torchvision", "FRAGMENT")
  try:
    import torchvision
  except RuntimeError:
    for name in ("nms", "qnms"):
      schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
      library.define(name + schema)
    import torchvision
  import lightly.loss
  import lightly.models.modules
  import lightly.transforms

  return lightly, torchvision, library


def make(given: Setting) -> Callable[[int], None]:
  """Returns a function that does so many steps (or batches of views)."""
  return _views(given) if given.task == "views" else _training(given)


class Views(torch.utils.data.Dataset):
  """Two views of each image, by lightly's transform."""

  def __init__(self, given: Setting):
    self.images = setting.images(given)
    lightly, *_ = _packages()
    self.transform = lightly.transforms.SimCLRTransform(
      input_size=given.side, cj_strength=0.5, gaussian_blur=0.0
    )

  def __len__(self) -> int:
    return len(self.images)

  def __getitem__(self, index: int) -> list[torch.Tensor]:
    return self.transform(PIL.Image.fromarray(self.images[index]))


def _views(given):
  torch.set_num_threads(1)
  data = Views(given)

  def advance(batches):
    for _ in range(batches):
      for index in range(given.batch):
        data[index]

  return advance


def _convnet():
  layers, before = [], 3
  for width, pool in zip(setting.WIDTHS, setting.POOLS, strict=True):
    conv = torch.nn.Conv2d(before, width, 3, padding=1, bias=False)
    layers += [conv, torch.nn.BatchNorm2d(width), torch.nn.ReLU()]
    layers += [] if pool == 1 else [torch.nn.AvgPool2d(pool)]
    before = width
  ends = torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
  return torch.nn.Sequential(*layers, *ends), before


def _resnet18():
  _, torchvision, _ = _packages()
  net = torchvision.models.resnet18()
  net.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
  net.maxpool = net.fc = torch.nn.Identity()
  return net, 512


def _endless(given):
  """Batches, epoch after epoch."""
  loader = torch.utils.data.DataLoader(
    Views(given),
    batch_size=given.batch,
    shuffle=True,
    drop_last=True,
    num_workers=2,
    persistent_workers=True,
  )
  while True:
    yield from loader


def _training(given):
  net, width = _convnet() if given.task == "convnet" else _resnet18()
  lightly, *_ = _packages()
  head = lightly.models.modules.SimCLRProjectionHead(width, width, setting.PROJECTION)
  model = torch.nn.Sequential(net, head).to(memory_format=torch.channels_last).train()
  options = {n: x for n, x in setting.SGD.items() if n != "rate"}
  sgd = torch.optim.SGD(model.parameters(), setting.SGD["rate"], **options)
  loss_of = lightly.loss.NTXentLoss(temperature=setting.TEMPERATURE)
  batches = _endless(given)

  def step():
    a, b = (x.to(memory_format=torch.channels_last) for x in next(batches))
    loss = loss_of(model(a), model(b))
    sgd.zero_grad()
    loss.backward()
    sgd.step()

  def advance(steps):
    for _ in range(steps):
      step()

  return advance


def loss_cost(pairs: int, dim: int, *, runs: int = 3) -> dict[str, float]:
  """Measures the loss and its gradient: MiB at the peak, and seconds (the median)."""
  seconds, loss_of = [], _packages()[0].loss.NTXentLoss(temperature=0.1)
  views = [torch.randn(pairs, dim, requires_grad=True) for _ in range(2)]
  before = _resident("VmRSS")
  with contextlib.suppress(OSError):
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
  for _ in range(runs):
    start = time.perf_counter()
    loss_of(*views).backward()
    seconds.append(time.perf_counter() - start)
  peak = _resident("VmHWM") - before
  return {"mebibytes": peak, "seconds": statistics.median(seconds)}


def _resident(name):
  """MiB of this process as Linux counts them: VmRSS now, VmHWM at the peak."""
  lines = pathlib.Path("/proc/self/status").read_text().splitlines()
  return next(int(x.split()[1]) for x in lines if x.startswith(name)) / 1024


if __name__ == "__main__":
  loss_cost(16, int(sys.argv[2]))  # what is allocated once
  print(json.dumps(loss_cost(int(sys.argv[1]), int(sys.argv[2]))))
