"""From a name to batches: open_data, resident data under jit, prefetching."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxssl.data import (
  ArraySource,
  LazySource,
  digits,
  gather,
  index_block,
  loader,
  open_data,
  prefetch,
  resident,
  take,
)
from jaxssl.errors import InputError

IMAGES = np.arange(20 * 2 * 2, dtype=np.uint8).reshape(20, 2, 2, 1)
SOURCE = ArraySource({"input": IMAGES, "label": np.arange(20, dtype=np.int32)})
BLOCK = index_block(0, 12, examples=20, batch=4, seed=0)


# --- on the device


def test_take_inside_jit_equals_gather():
  data = jax.device_put(resident(SOURCE))
  batch = jax.jit(take)(data, jnp.asarray(BLOCK[3]))
  expected = gather(SOURCE, BLOCK[3])
  assert set(batch) == set(expected) == {"input", "label", "index"}
  for name, values in expected.items():
    np.testing.assert_array_equal(batch[name], values)
    assert batch[name].dtype == values.dtype
  assert batch["index"].dtype == jnp.int32


def test_take_keeps_rows_on_their_devices():
  mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:4]), ("data",))
  rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
  everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
  data = jax.device_put(resident(SOURCE), everywhere)
  batch = jax.jit(take)(data, jax.device_put(BLOCK[0], rows))
  np.testing.assert_array_equal(batch["input"], IMAGES[BLOCK[0]])


def test_resident_needs_arrays_of_images():
  with pytest.raises(InputError, match="decoded as they are needed"):
    resident(LazySource(lambda rows: {"input": IMAGES[rows]}, 20))
  with pytest.raises(InputError, match="input has shape"):
    resident(ArraySource({"input": IMAGES[0]}))


# --- ahead of the device


def slow_source(log=None, fail_at=None):
  """Returns a source that notes what it reads and can fail at one position."""

  def read(rows):
    if log is not None:
      log.append(rows.tolist())
    if fail_at in rows:
      raise OSError("disk gone")
    return {"input": IMAGES[rows]}

  return LazySource(read, len(IMAGES))


def prefetch_threads():
  names = [thread.name for thread in threading.enumerate()]
  return [name for name in names if name.startswith("jaxssl-prefetch")]


@pytest.mark.parametrize("ahead", [1, 2, 50])
@pytest.mark.parametrize("source", [SOURCE, slow_source()], ids=["memory", "host"])
def test_prefetch_yields_the_stream_in_order(source, ahead):
  with prefetch(source, BLOCK, ahead=ahead) as batches:
    found = list(batches)
  assert len(found) == len(BLOCK)
  for batch, rows in zip(found, BLOCK, strict=True):
    np.testing.assert_array_equal(batch["index"], rows)
    np.testing.assert_array_equal(batch["input"], IMAGES[rows])
    assert batch["index"].dtype == np.int32
  assert prefetch_threads() == []


def test_prefetch_reads_no_further_than_it_should():
  taken = []
  stream = (taken.append(rows) or rows for rows in itertools.cycle(BLOCK))
  with prefetch(SOURCE, stream, ahead=3) as batches:
    assert taken == []
    next(batches)
    assert len(taken) == 4
    next(batches)
    assert len(taken) == 5


def test_prefetch_works_before_it_is_asked():
  ready = threading.Event()

  class Source(ArraySource):
    def __getitem__(self, indices):
      if (indices == BLOCK[2]).all():
        ready.set()
      return super().__getitem__(indices)

  with prefetch(Source(SOURCE.data), BLOCK, ahead=2) as batches:
    next(batches)
    assert ready.wait(timeout=60)  # made while nobody asks for it


def test_prefetch_raises_in_place_of_the_batch():
  stream = np.arange(20).reshape(5, 4)
  found = []
  with (
    pytest.raises(OSError, match="disk gone"),
    prefetch(slow_source(fail_at=9), stream, ahead=2) as batches,
  ):
    for batch in batches:
      found.append(batch["index"].tolist())
  assert found == stream[:2].tolist()
  assert prefetch_threads() == []


def test_prefetch_raises_what_the_stream_raises():
  def stream():
    yield BLOCK[0]
    raise KeyError("stream")

  with (
    pytest.raises(KeyError, match="stream"),
    prefetch(SOURCE, stream(), ahead=1) as batches,
  ):
    list(batches)
  assert prefetch_threads() == []


def test_prefetch_stopped_early_leaves_no_thread():
  log = []
  with prefetch(slow_source(log), itertools.cycle(BLOCK), ahead=4) as batches:
    next(batches)
    assert len(prefetch_threads()) == 1
  assert prefetch_threads() == []
  assert sum(len(rows) for rows in log) <= 5 * 4  # at most what was under way


def test_prefetch_stopped_early_drops_what_was_not_begun(monkeypatch):
  begun, leaving = [], threading.Event()

  class Source(ArraySource):
    def __getitem__(self, indices):
      begun.append(indices.tolist())
      if len(begun) == 2:  # the thread is held here until the context is being left
        leaving.wait(timeout=60)
      return super().__getitem__(indices)

  class Pool(ThreadPoolExecutor):
    def shutdown(self, wait=True, *, cancel_futures=False):
      super().shutdown(wait=False, cancel_futures=cancel_futures)
      leaving.set()
      super().shutdown(wait=wait)

  monkeypatch.setattr(loader, "ThreadPoolExecutor", Pool)
  with prefetch(Source(SOURCE.data), BLOCK, ahead=8) as batches:
    next(batches)
  assert len(begun) <= 2


def test_prefetch_stopped_by_the_consumers_exception():
  with pytest.raises(RuntimeError, match="mine"), prefetch(SOURCE, BLOCK, ahead=2) as b:
    next(b)
    raise RuntimeError("mine")
  assert prefetch_threads() == []


def test_prefetch_needs_one_ahead():
  with (
    pytest.raises(InputError, match="ahead is 0"),
    prefetch(SOURCE, BLOCK, ahead=0),
  ):
    pass


# --- by name


def test_open_digits():
  expected = digits().train.arrays()["input"]
  for size in (None, 8):
    data = open_data("digits", size=size)
    np.testing.assert_array_equal(data.train.arrays()["input"], expected)


def test_open_npz(tmp_path):
  path = tmp_path / "mine.npz"
  np.savez(path, x=IMAGES)
  assert open_data(str(path)).name == "mine"
  with pytest.raises(InputError, match="images of mine are 2x2, not 32x32; pass"):
    open_data(str(path), size=32)


def test_open_folder(tmp_path, monkeypatch):
  Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
  assert len(open_data(str(tmp_path), size=4).train) == 1
  monkeypatch.chdir(tmp_path.parent)
  assert len(open_data(tmp_path.name, size=4).train) == 1  # a bare name that exists
  with pytest.raises(InputError, match="is a folder of images; pass `size`"):
    open_data(str(tmp_path))


@pytest.mark.parametrize("size", [None, 4])
def test_open_what_is_no_data(tmp_path, size):
  (tmp_path / "a.zip").write_text("x")
  with pytest.raises(InputError, match=r"a\.zip is a file; give a folder"):
    open_data(str(tmp_path / "a.zip"), size=size)
  with pytest.raises(InputError, match="there is no folder"):
    open_data(str(tmp_path / "nowhere"), size=size)
  with pytest.raises(InputError, match="there is no file"):
    open_data("nowhere.npz", size=size)
