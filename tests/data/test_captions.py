"""Captioned images: digits, folders, .npz files, and everything wrong with them."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from jaxssl import data
from jaxssl.data import captions
from jaxssl.data.caption_files import captioned_folder
from jaxssl.data.tokenizers import END, FIRST, PAD, tokenizer_from
from jaxssl.errors import InputError

OPTIONS = {"length": 16, "tokenizer": "characters"}


LONG = "x" * 200_000  # more than a field of the csv module


def picture(path, value=100, mode="RGB"):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.new(mode, (6, 4), value if mode == "L" else (value,) * 3).save(path)


@pytest.fixture
def folder(tmp_path):
  """Four pictures: with two captions, with one, without, and broken."""
  for name in ("a.png", "b.png", "sub/c.png"):
    picture(tmp_path / name)
  (tmp_path / "broken.png").write_bytes(b"no picture")
  rows = ["file,caption", "a.png,a cat", '"a.png","one, two"', "b.png,a dog"]
  rows += ["broken.png,a bird", "missing.png,a cow", "sub/c.png,  "]
  (tmp_path / "captions.csv").write_text("\n".join(rows))
  return tmp_path


def sentences(source, kind, column=0):
  inputs = source.arrays()["input"]
  turned = inputs._replace(text=np.roll(inputs.text, -column, axis=1))
  return [tile[1] for tile in kind.tiles(turned)]


def test_digits_need_no_file_and_no_package():
  made = data.open_captions("digits_captions")
  assert len(made.train) == 1297 and len(made.test) == 500
  inputs = made.test.arrays()["input"]
  assert inputs.image.shape == (500, 8, 8, 1) and inputs.text.shape == (500, 4, 40)
  label = made.test.arrays()["label"]
  said = sentences(made.test, made.kind)
  assert said[0] == captions.digits_captions().test.captions[0][0]
  assert len({(s, i) for s, i in zip(said, label, strict=True)}) == 10
  made.kind.check(inputs)


def test_a_caption_is_framed_and_padded():
  made = data.open_captions("digits_captions")
  ids = made.train.arrays()["input"].text[0, 0]
  end = int(np.flatnonzero(ids == END)[0])
  assert ids[0] == FIRST and (ids[end + 1 :] == PAD).all() and (ids[1:end] > END).all()


def test_a_folder(folder):
  made = data.open_captions(str(folder), size=4, **OPTIONS)
  assert made.train.files == ("a.png", "b.png") and made.test is None
  assert made.train.arrays()["input"].image.shape == (2, 4, 4, 3)
  assert sentences(made.train, made.kind) == ["a cat", "a dog"]
  assert sentences(made.train, made.kind, 1) == ["one, two", "a dog"]


def test_what_is_missing_or_broken_is_skipped_and_named(folder):
  made = data.open_captions(str(folder), size=4, **OPTIONS)
  said = "; ".join(made.train.skipped)
  assert len(made.train.skipped) == 3
  assert "missing.png: there is no such image" in said
  assert "sub/c.png: no caption" in said
  assert "broken.png: " in said
  assert "skipped 3" in data.skipped_message(made)


@pytest.mark.parametrize("ending", ["tsv", "jsonl"])
def test_other_tables_with_split_and_label(tmp_path, ending):
  rows = [("a.png", "a cat", "train", "pet"), ("b.png", "a cow", "test", "farm")]
  keys = ("file", "caption", "split", "label")
  lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in rows]
  if ending == "tsv":
    lines = ["\t".join(row) for row in (keys, *rows)]
  (tmp_path / f"captions.{ending}").write_text("\n".join(lines))
  for row in rows:
    picture(tmp_path / row[0])
  made = data.open_captions(str(tmp_path), size=4, **OPTIONS)
  assert made.classes == ("farm", "pet")
  assert made.train.arrays()["label"].tolist() == [1]
  assert made.test.arrays()["label"].tolist() == [0]
  assert sentences(made.test, made.kind)[0].startswith("a c")


def test_labels_that_some_images_lack_are_left_out_and_counted(tmp_path):
  rows = "a.png,a cat,pet\nb.png,a stone,\nc.png,a cow,\nc.png,one cow,farm\n"
  (tmp_path / "captions.csv").write_text("file,caption,label\n" + rows)
  for name in "abc":
    picture(tmp_path / f"{name}.png")
  made = data.open_captions(str(tmp_path), size=4, **OPTIONS)
  assert made.classes == () and made.train.files == ("a.png", "b.png", "c.png")
  assert "label" not in made.train.arrays()
  said = data.skipped_message(made)
  assert said.endswith("skipped 2 labels: 1 of 3 images have none")
  (tmp_path / "captions.csv").write_text("file,caption,label\na.png,a cat,\n")
  made = data.open_captions(str(tmp_path), size=4, **OPTIONS)
  assert made.classes == () and "label" not in made.train.arrays()


@pytest.mark.parametrize("sign", ["\u2028", "\x85", "\x0b", "\x0c"])
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_only_line_feeds_end_the_lines_of_a_table(tmp_path, sign, ending):
  picture(tmp_path / "a.png")
  caption = f"a{sign}cat"
  text = f"file,caption\na.png,{caption}\n"
  if ending == "jsonl":
    text = json.dumps({"file": "a.png", "caption": caption}, ensure_ascii=False)
  (tmp_path / f"captions.{ending}").write_text(text, encoding="utf-8")
  assert captioned_folder(tmp_path, size=4).train.captions == [(caption,)]


@pytest.mark.parametrize(
  "text",
  [
    "File,Caption\na.png,a cat\n",
    "\nfile, caption\n\na.png, a cat\n",
    'file;caption\na.png;"a cat"\n',
    "file\tcaption\na.png\ta cat\n",
  ],
)
def test_how_a_table_may_be_written(tmp_path, text):
  picture(tmp_path / "a.png")
  (tmp_path / "captions.csv").write_text(text)
  assert captioned_folder(tmp_path, size=4).train.captions == [("a cat",)]


def test_missing_images_and_columns_are_named_with_the_nearest(tmp_path):
  for name in ("im0.png", "im1.png"):
    picture(tmp_path / name)
  rows = ["im0.png,a cat", "IM1.png,a dog", ".\\im1.png,a cow", "x,a bird"]
  (tmp_path / "captions.csv").write_text("\n".join(["file,caption", *rows]))
  assert captioned_folder(tmp_path, size=4).train.skipped == (
    "IM1.png: there is no such image. Did you mean 'im1.png'?",
    ".\\im1.png: there is no such image. Did you mean 'im1.png'?",
    "x: there is no such image",
    "im1.png: no caption",
  )
  (tmp_path / "captions.csv").write_text("file,captions\nim0.png,a cat\n")
  with pytest.raises(InputError, match="no caption.*Did you mean 'captions'"):
    captioned_folder(tmp_path, size=4)


@pytest.mark.parametrize(
  ("text", "message"),
  [
    pytest.param(f"file,caption\na.png,{LONG}\n", "line 2: field larger", id="long"),
    pytest.param(f"file,{LONG}\na.png,a\n", "line 1: field larger", id="head"),
    ("file,caption\na.png,a cat, of course\n", "line 2"),
    ("file,caption\na.png\n", "line 2"),
    ("image,caption\na.png,a cat\n", "no file"),
    ("file,caption\n", "no rows"),
    ("file,caption\nz.png,a cat\n", "no image with a caption"),
    ("file,caption,split\na.png,a cat,dev\n", "train, test"),
  ],
)
def test_bad_tables(tmp_path, text, message):
  picture(tmp_path / "a.png")
  (tmp_path / "captions.csv").write_text(text)
  with pytest.raises(InputError, match=message):
    data.open_captions(str(tmp_path), size=4, **OPTIONS)


def test_bytes_that_are_no_utf8(tmp_path):
  picture(tmp_path / "a.png")
  (tmp_path / "captions.csv").write_bytes(b"file,caption\na.png,caf\xe9\n")
  with pytest.raises(InputError, match="UTF-8"):
    data.open_captions(str(tmp_path), size=4, **OPTIONS)


def test_captions_in_json_are_strings_lists_of_them_or_null(tmp_path):
  given = {"a": "a cat", "b": None, "c": ["a cow", "cattle"], "d": []}
  rows = [{"file": f"{n}.png", "caption": c, "label": None} for n, c in given.items()]
  (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
  for name in given:
    picture(tmp_path / f"{name}.png")
  made = data.open_captions(str(tmp_path), size=4, **OPTIONS)
  assert made.train.skipped == ("b.png: no caption", "d.png: no caption")
  assert [sentences(made.train, made.kind, i) for i in range(2)] == [
    ["a cat", "a cow"],
    ["a cat", "cattle"],
  ]
  assert made.classes == ()


@pytest.mark.parametrize("caption", [5, {"en": "a cat"}, ["a cat", None]])
def test_captions_in_json_that_are_no_strings(tmp_path, caption):
  picture(tmp_path / "a.png")
  lines = [{"file": "a.png", "caption": "a cat"}, {"file": "a.png", "caption": caption}]
  (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, lines)))
  with pytest.raises(InputError, match="line 2: caption holds"):
    data.open_captions(str(tmp_path), size=4, **OPTIONS)


def test_lines_that_are_no_json(tmp_path):
  picture(tmp_path / "a.png")
  (tmp_path / "captions.jsonl").write_text('{"file": "a.png", "caption": "x"}\n{"f')
  with pytest.raises(InputError, match="line 2"):
    data.open_captions(str(tmp_path), size=4, **OPTIONS)


def test_a_folder_needs_a_table_and_a_size(tmp_path):
  picture(tmp_path / "a.png")
  with pytest.raises(InputError, match=r"captions\.csv"):
    data.open_captions(str(tmp_path), size=4, **OPTIONS)
  with pytest.raises(InputError, match="size"):
    data.open_captions(str(tmp_path), **OPTIONS)
  with pytest.raises(InputError, match="no folder digits_caption.*'digits_captions'"):
    data.open_captions("digits_caption", **OPTIONS)
  with pytest.raises(InputError, match="no folder"):
    data.open_captions(str(tmp_path / "not_there"), size=4, **OPTIONS)


def test_captions_that_are_too_long_are_left_out(folder):
  made = data.open_captions(str(folder), size=4, length=7, tokenizer="characters")
  assert sentences(made.train, made.kind, 1) == ["a cat", "a dog"]
  with pytest.raises(InputError, match="at most 6 tokens"):
    data.open_captions(str(folder), size=4, length=6, tokenizer="characters")


def packed(count=4, side=6):
  """Encoded images one after the other, with their bounds."""
  files = []
  for i in range(count):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (10 * i,) * 3).save(buffer, "PNG")
    files.append(buffer.getvalue())
  bounds = np.cumsum([0, *map(len, files)])
  return {"bytes": np.frombuffer(b"".join(files), np.uint8), "offsets": bounds}


def archive(tmp_path, **arrays):
  path = tmp_path / "pairs.npz"
  np.savez(path, **arrays)
  return str(path)


def test_an_npz_of_encoded_images_with_everything(tmp_path):
  path = archive(
    tmp_path,
    **packed(),
    caption=np.array(["a cat", "a cow", "", "a cot"]),
    keywords=np.array(["pet|small", "", "", "pet"]),
    group=np.array([1, 0, 0, 1]),
    group_names=np.array(["farm", "home"]),
    split=np.array(["train", "train", "train", "test"]),
  )
  made = data.open_captions(path, size=4, length=24, tokenizer="characters")
  assert made.classes == ("farm", "home") and len(made.test) == 1
  assert made.train.arrays()["input"].image[:, 0, 0, 0].tolist() == [0, 10]
  assert made.train.skipped == ("image 2: no caption",)
  said = [sentences(made.train, made.kind, i)[0] for i in range(5)]
  assert said == ["a cat", "pet", "small", "a cat, pet, small", "a cat"]
  assert sentences(made.test, made.kind, 2) == ["a cot, pet"]


def test_an_npz_of_arrays(tmp_path):
  images = np.zeros((3, 5, 5), np.uint8)
  path = archive(tmp_path, x=images, caption=np.array(["one", "two", "three"]))
  made = data.open_captions(path, **OPTIONS)
  assert made.train.arrays()["input"].image.shape == (3, 5, 5, 1)
  assert "label" not in made.train.arrays()


IMAGES = {"x": np.zeros((2, 5, 5), np.uint8)}
CAPTION = {"caption": np.array(["one", "two"])}


@pytest.mark.parametrize(
  ("arrays", "message"),
  [
    (IMAGES, "captions are looked for"),
    (CAPTION, "images are looked for"),
    ({**IMAGES, "caption": np.array(["one"])}, "one string per image"),
    ({**IMAGES, "caption": np.arange(2)}, "one string per image"),
    ({**IMAGES, "caption": np.array(["", " "])}, "no image with a caption"),
    ({**IMAGES, **CAPTION, "split": np.array(["train", "dev"])}, "train, test"),
    ({**IMAGES, **CAPTION, "split": np.array(["test", "test"])}, "no training"),
    ({**CAPTION, **packed(2), "offsets": np.array([0, 9, 4])}, "bounds"),
    ({**CAPTION, "bytes": np.zeros(9, np.uint8), "offsets": np.arange(3)}, "be read"),
  ],
)
def test_bad_npz(tmp_path, arrays, message):
  with pytest.raises(InputError, match=message):
    data.open_captions(archive(tmp_path, **arrays), **OPTIONS)


def test_broken_encoded_images_are_skipped_and_named(tmp_path):
  whole = packed(3)
  whole["bytes"] = whole["bytes"].copy()
  whole["bytes"][whole["offsets"][1] : whole["offsets"][2]] = 7
  path = archive(tmp_path, **whole, caption=np.array(["a", "b", "c"]))
  made = data.open_captions(path, **OPTIONS)
  assert len(made.train) == 2
  assert made.train.skipped[0].startswith("image 1: ")


def test_arrays_of_another_size_are_refused(tmp_path):
  path = archive(tmp_path, **IMAGES, **CAPTION)
  with pytest.raises(InputError, match="5x5, not 4x4"):
    data.open_captions(path, size=4, **OPTIONS)
  with pytest.raises(InputError, match="8 pixels"):
    data.open_captions("digits_captions", size=4)


def test_other_data_is_opened_in_the_same_form(folder):
  """Grey for grey, the same tokens; images without captions have empty ones."""
  made = data.open_captions("digits_captions")
  (folder / "captions.csv").write_text("file,caption\na.png,the number seven\n")
  like = made.like(str(folder))
  assert like.train.arrays()["input"].image.shape == (1, 8, 8, 1)
  assert like.files == made.files
  assert sentences(like.train, like.kind) == ["the number seven"]
  plain = made.like("digits")
  assert len(plain.train) == 1297
  assert sentences(plain.train, plain.kind)[0] == ""


def test_sentences_become_the_tokens_of_the_data(folder):
  made = data.open_captions("digits_captions")
  tokenizer = tokenizer_from(made.files["tokenizer.json"])
  said = captions.digits_captions().train.captions[0]
  tokens = data.caption_tokens(tokenizer, said, length=40)
  np.testing.assert_array_equal(tokens, made.train.arrays()["input"].text[0])
  with pytest.raises(InputError, match="sentence 1 has 22 tokens"):
    data.caption_tokens(tokenizer, ["one", "the number seven one"], length=8)


def test_what_is_no_captioned_image_is_refused():
  made = data.open_captions("digits_captions")
  inputs = made.train[np.arange(3)]["input"]
  for wrong, message in (
    (inputs.image, r"Captioned\(image, text\)"),
    (inputs._replace(image=inputs.image[0]), "image has shape"),
    (inputs._replace(text=inputs.text[:, 0]), "integers"),
    (inputs._replace(text=inputs.text[:2]), "integers"),
  ):
    with pytest.raises(InputError, match=message):
      made.kind.check(wrong)
  with pytest.raises(InputError, match="Captioned"):
    made.kind.tiles(inputs.image)


def test_the_floor_are_pixels():
  made = data.open_captions("digits_captions")
  inputs = made.train[np.arange(3)]["input"]
  raw = np.asarray(made.kind.raw(inputs))
  np.testing.assert_allclose(raw, inputs.image.reshape(3, -1) / 255, rtol=1e-5)
  assert "pixels" in made.kind.raw_name(inputs)
