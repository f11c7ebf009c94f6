"""Clips: their kind, moving digits, folders, packed frames, too short videos."""

import gzip
import io
import sys
import types

import numpy as np
import pytest
from PIL import Image

from jaxssl.data import moving_digits, open_clips, read_idx, skipped_message, videos
from jaxssl.data.kinds import Frames
from jaxssl.data.moving import DIRECTIONS, STEPS, bouncing
from jaxssl.data.video import check_clips, raw_pixels, video_kind
from jaxssl.errors import InputError

DIGITS = {"frames": 6, "size": 16}


def picture(value, size=(12, 10)):
  return Image.fromarray(np.full((size[1], size[0], 3), value, np.uint8))


def write_video(folder, frames):
  """A folder of frames whose colours are their numbers, the first one a 9."""
  folder.mkdir(parents=True)
  for i in range(frames):
    picture(10 * i).save(folder / f"frame{9 + i}.png")


def packed(path, lengths=(6, 3)):
  """An .npz of packed frames of videos of these lengths."""
  data, video = [], np.repeat(np.arange(len(lengths)), lengths)
  for value in range(len(video)):
    file = io.BytesIO()
    picture(value, (8, 8)).save(file, "PNG")
    data.append(file.getvalue())
  offsets = np.cumsum([0, *map(len, data)])
  arrays = {"bytes": np.frombuffer(b"".join(data), np.uint8), "offsets": offsets}
  np.savez(path, **arrays, video=video, video_names=["a", "b"], fps=[20.0, 30.0])


def first_pixels(clips):
  return clips[:, :, 0, 0, 0].tolist()


def test_things_bounce_and_stay_inside():
  places = bouncing(np.array([0, 3]), np.array([2, -1]), frames=6, room=5)
  assert places.tolist() == [[0, 2, 4, 4, 2, 0], [3, 2, 1, 0, 1, 2]]


def test_moving_digits_are_the_same_each_time_and_disjoint():
  data, again = moving_digits(**DIGITS), moving_digits(**DIGITS)
  train, test = data.train.arrays(), data.test.arrays()
  assert train["input"].shape == (1297, 6, 16, 16, 1)
  assert train["input"].dtype == np.uint8
  np.testing.assert_array_equal(train["input"], again.train.arrays()["input"])
  crops = lambda split: {bytes(np.sort(c[0].ravel())) for c in split["input"]}
  assert not crops(train) & crops(test)
  assert np.bincount(train["label"]).min() > 100
  other = moving_digits(**DIGITS, seed=1).train.arrays()
  assert (other["input"] != train["input"]).any()
  np.testing.assert_array_equal(other["label"], train["label"])


def centres(clips):
  """Where the light of each frame is, [n, frames, 2]."""
  light = clips[..., 0].astype(np.float64)
  total = light.sum((2, 3))
  place = np.arange(clips.shape[2])
  down = (light.sum(3) * place).sum(2) / total
  return np.stack([down, (light.sum(2) * place).sum(2) / total], axis=-1)


def test_the_direction_is_that_of_the_first_step():
  data = moving_digits(**DIGITS, label="direction")
  arrays = data.train.arrays()
  step = np.diff(centres(arrays["input"][:200]), axis=1)[:, 0]
  expected = np.asarray(STEPS)[arrays["label"][:200]]
  np.testing.assert_array_equal(np.sign(np.round(step)), expected)
  assert data.classes == DIRECTIONS


def test_copies_move_in_other_ways():
  data = moving_digits(**DIGITS, copies=2).train.arrays()
  first, second = np.split(data["input"], 2)
  assert (first != second).any(axis=(1, 2, 3, 4)).mean() > 0.9
  np.testing.assert_array_equal(*np.split(data["label"], 2))


def write_idx(path, values, pack=gzip.compress):
  head = bytes([0, 0, 8, values.ndim]) + np.array(values.shape, ">i4").tobytes()
  path.write_bytes(pack(head + values.astype(np.uint8).tobytes()))


def test_digits_of_mnist_files(tmp_path):
  images = np.random.default_rng(0).integers(0, 255, (10, 28, 28))
  write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", images)
  write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.arange(10))
  file = tmp_path / "t10k-images-idx3-ubyte.gz"
  np.testing.assert_array_equal(read_idx(file), images)
  for path in (file, tmp_path):
    data = open_clips(f"moving_digits:{path}", frames=4, size=32)
    assert data.train.arrays()["input"].shape == (8, 4, 32, 32, 1)
    assert data.test.arrays()["label"].tolist() == [4, 9]
  again = data.like(f"moving_digits:{file}").train.arrays()
  np.testing.assert_array_equal(again["input"], data.train.arrays()["input"])


def test_digits_of_an_npz(tmp_path):
  np.savez(tmp_path / "x.npz", x=np.ones((10, 8, 8), np.uint8), y=np.arange(10) % 2)
  data = open_clips(f"moving_digits:{tmp_path / 'x.npz'}", frames=4, size=16)
  assert data.train.arrays()["input"].shape == (8, 4, 16, 16, 1)
  np.savez(tmp_path / "x.npz", x=np.ones((10, 8, 8), np.uint8))
  with pytest.raises(InputError, match="no labels"):
    moving_digits(tmp_path / "x.npz")


def test_bad_digits_say_what_is_wrong(tmp_path):
  with pytest.raises(InputError, match="Did you mean 'direction'"):
    moving_digits(label="directoin")
  with pytest.raises(InputError, match="2 or more"):
    moving_digits(frames=1)
  with pytest.raises(InputError, match="even side"):
    moving_digits(size=15)
  with pytest.raises(InputError, match="idx3"):
    moving_digits(tmp_path)
  with pytest.raises(InputError, match="after the colon"):
    open_clips("moving_digits:", frames=4, size=16)
  with pytest.raises(InputError, match="Did you mean 'moving_digits'"):
    open_clips("moving_digit", frames=4, size=16)
  file = tmp_path / "images-idx3-ubyte"
  write_idx(file, np.zeros((3, 4, 4)), pack=lambda data: data[:-1])
  with pytest.raises(InputError, match="cut short"):
    read_idx(file)
  file.write_bytes(b"\x1f\x8bnonsense")
  with pytest.raises(InputError, match="cannot unpack"):
    read_idx(file)
  file.write_bytes(b"GIF89a")
  with pytest.raises(InputError, match="no idx file"):
    read_idx(file)


def test_a_folder_of_folders_of_frames(tmp_path):
  write_video(tmp_path / "a", 7)
  write_video(tmp_path / "b", 3)
  data = videos(tmp_path, size=8, frames=3, stride=2)
  clips = data.train.arrays()["input"]
  assert clips.shape == (4, 3, 8, 8, 3)
  assert first_pixels(clips) == [[0, 10, 20], [20, 30, 40], [40, 50, 60], [0, 10, 20]]
  assert "label" not in data.train.arrays()
  assert data.test is None
  every = videos(tmp_path, size=8, frames=2, every=3).train.arrays()["input"]
  assert first_pixels(every) == [[0, 30]]


def test_classes_and_splits_are_folders(tmp_path):
  for split in ("train", "test"):
    for name in ("run", "jump"):
      write_video(tmp_path / split / name / "v", 4)
  data = videos(tmp_path, size=8, frames=2)
  assert data.classes == ("jump", "run")
  assert data.train.arrays()["label"].tolist() == [0, 0, 1, 1]
  assert data.test.arrays()["label"].tolist() == [0, 0, 1, 1]
  write_video(tmp_path / "test" / "fly" / "v", 4)
  with pytest.raises(InputError, match="classes fly"):
    videos(tmp_path, size=8, frames=2)


def test_short_and_broken_videos_are_counted_and_named(tmp_path):
  write_video(tmp_path / "long", 5)
  write_video(tmp_path / "short", 3)
  write_video(tmp_path / "broken", 5)
  (tmp_path / "broken" / "frame10.png").write_bytes(b"no image")
  data = videos(tmp_path, size=8, frames=4)
  assert len(data.train) == 1
  assert data.train.skipped[1] == "short: 3 frames, a clip takes 4"
  assert data.train.skipped[0].startswith("broken: ")
  assert "skipped 2 videos" in skipped_message(data)
  with pytest.raises(InputError, match="no clip of 9 frames.*5 frames, a clip takes 9"):
    videos(tmp_path, size=8, frames=9)


def test_large_data_are_read_as_needed(tmp_path):
  write_video(tmp_path / "a", 5)
  lazy = videos(tmp_path, size=8, frames=2, resident_bytes=0).train
  assert not lazy.resident
  assert first_pixels(lazy[np.array([1, 0])]["input"]) == [[20, 30], [0, 10]]


def test_packed_frames(tmp_path):
  packed(tmp_path / "x.npz")
  data = open_clips(str(tmp_path / "x.npz"), frames=4, size=8, stride=1)
  assert first_pixels(data.train.arrays()["input"])[2] == [2, 3, 4, 5]
  assert data.train.skipped == ("b: 3 frames, a clip takes 4",)
  assert data.kind.tiles(data.train.arrays()["input"])[0].rate == 25.0
  arrays = dict(np.load(tmp_path / "x.npz"))
  np.savez(tmp_path / "y.npz", **{**arrays, "offsets": arrays["offsets"][::-1]})
  with pytest.raises(InputError, match="'offsets'"):
    videos(tmp_path / "y.npz", size=8, frames=4)


def test_clips_as_an_array(tmp_path):
  x = np.arange(3 * 6, dtype=np.uint8).reshape(3, 6, 1, 1) * np.ones((8, 8), np.uint8)
  np.savez(tmp_path / "x.npz", x=x, y=[0, 1, 1], x_test=x[:1], y_test=[1])
  data = videos(tmp_path / "x.npz", size=8, frames=3)
  assert data.train.arrays()["input"].shape == (6, 3, 8, 8, 1)
  assert data.train.arrays()["label"].tolist() == [0, 0, 1, 1, 1, 1]
  assert len(data.test) == 2
  with pytest.raises(InputError, match="8x8, not 16x16"):
    videos(tmp_path / "x.npz", size=16, frames=3)
  np.savez(tmp_path / "x.npz", z=x)
  with pytest.raises(InputError, match="keys z"):
    videos(tmp_path / "x.npz", size=8, frames=3)


def test_no_videos_say_what_a_video_is(tmp_path):
  with pytest.raises(InputError, match="no videos in"):
    videos(tmp_path, size=8, frames=3)
  with pytest.raises(InputError, match="no folder or file"):
    videos(tmp_path / "none", size=8, frames=3)
  with pytest.raises(InputError, match="must be 1"):
    videos(tmp_path, size=8, frames=0)


def test_video_files_need_what_decodes_them(tmp_path, monkeypatch):
  (tmp_path / "a.mp4").write_bytes(b"")
  monkeypatch.setitem(sys.modules, "av", None)
  with pytest.raises(InputError, match=r"jaxssl\[video\]"):
    videos(tmp_path, size=8, frames=3)


@pytest.fixture
def decodings(monkeypatch):
  """With a stand-in for the decoder, which is optional: which frames were decoded."""
  decoded = []

  def imiter(path, **options):
    assert options == {"plugin": "pyav", "format": "rgb24"}
    if path.stem == "broken":
      raise OSError("cannot decode")
    for i in range(6):
      decoded.append(i)
      yield np.asarray(picture(10 * i))

  reader = types.SimpleNamespace(imiter=imiter)
  monkeypatch.setitem(sys.modules, "av", types.ModuleType("av"))
  monkeypatch.setitem(sys.modules, "imageio", types.SimpleNamespace(v3=reader))
  monkeypatch.setitem(sys.modules, "imageio.v3", reader)
  return decoded


@pytest.mark.usefixtures("decodings")
def test_video_files_are_decoded(tmp_path):
  for name in ("a.mp4", "broken.mp4"):
    (tmp_path / name).write_bytes(b"")
  data = videos(tmp_path, size=8, frames=3)
  assert first_pixels(data.train.arrays()["input"]) == [[0, 10, 20], [30, 40, 50]]
  assert data.train.skipped == ("broken.mp4: cannot decode",)


def test_a_video_file_is_decoded_once_to_count_and_once_to_fill(tmp_path, decodings):
  (tmp_path / "a.mp4").write_bytes(b"")
  data = videos(tmp_path, size=8, frames=2, stride=1)
  assert first_pixels(data.train.arrays()["input"]) == [
    [10 * i, 10 * i + 10] for i in range(5)
  ]
  assert decodings == [*range(6), 0, *range(6)]  # and a frame for its form


@pytest.mark.usefixtures("decodings")
def test_clips_of_a_file_that_skip_frames_are_the_same_in_memory_and_not(tmp_path):
  (tmp_path / "a.mp4").write_bytes(b"")
  options = {"size": 8, "frames": 2, "stride": 1, "every": 3}
  kept = videos(tmp_path, **options).train
  read = videos(tmp_path, **options, resident_bytes=0).train
  assert kept.resident and not read.resident
  rows = np.arange(3)
  assert first_pixels(kept[rows]["input"]) == [[0, 30], [10, 40], [20, 50]]
  np.testing.assert_array_equal(kept[rows]["input"], read[rows]["input"])


def test_the_kind_checks_clips():
  check_clips(np.zeros((1, 2, 4, 4, 1), np.uint8))
  with pytest.raises(InputError, match=r"\[batch, frames"):
    check_clips(np.zeros((2, 4, 4, 1), np.uint8))
  with pytest.raises(InputError, match="from 0 to 2"):
    check_clips(2 * np.eye(4, dtype=np.float32)[None, None, :, :, None])


def test_raw_pixels_are_shrunk_frames():
  clips = np.random.default_rng(0).integers(0, 255, (2, 3, 32, 32, 1), np.uint8)
  assert raw_pixels(clips).shape == (2, 3 * 256)
  assert raw_pixels(clips, patches=True).shape == (2, 3, 256)
  small = clips[:, :, :8, :8]
  np.testing.assert_allclose(raw_pixels(small), small.reshape(2, -1) / 255, rtol=1e-6)
  kind = video_kind(12.0)
  assert kind.raw_name(clips) == "raw pixels at most 16x16"
  assert kind.raw_name(small) == "raw pixels"
  tiles = kind.tiles(small)
  assert isinstance(tiles[0], Frames)
  assert tiles[0].rate == 12.0
  with pytest.raises(InputError, match="clips are"):
    kind.tiles(small[0])


def test_an_npz_of_objects_is_refused(tmp_path):
  np.savez(tmp_path / "x.npz", x=np.array([None, 1], object))
  with pytest.raises(InputError, match="cannot read 'x'"):
    open_clips(str(tmp_path / "x.npz"), frames=4, size=8)


def test_an_npz_has_a_name_for_each_class(tmp_path):
  x, names = np.zeros((3, 4, 8, 8), np.uint8), np.array(["a", "b"])
  np.savez(tmp_path / "x.npz", x=x, y=np.arange(3), classes=names)
  with pytest.raises(InputError, match="2 class names but labels up to 2"):
    open_clips(str(tmp_path / "x.npz"), frames=4, size=8)
