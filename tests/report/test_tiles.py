"""Text, sound, frames, graphs and rows of tables on the page of a run."""

import base64
import io
import re
import wave

import numpy as np
import pytest

from jaxssl import report
from jaxssl.data.kinds import Frames, Sketch, Sound
from jaxssl.report import tiles

RATE = 8000
WAVE = np.sin(np.arange(800) * 0.3).astype(np.float32)
SOUND = Sound(WAVE, RATE, np.abs(np.random.default_rng(0).normal(size=(20, 16))))
CLIP = Frames(np.random.default_rng(1).uniform(size=(12, 8, 8, 1)), 10.0)
RING = Sketch(
  np.stack([np.cos(np.arange(6)), np.sin(np.arange(6))], axis=1),
  np.stack([np.arange(6), (np.arange(6) + 1) % 6]),
  np.arange(6) % 2 - 1,
)
PERSON = {"age": "39", "work": "<State-gov>"}
EXAMPLES = {
  "text": ["a <b>bold</b> claim", "another"],
  "sound": [SOUND, SOUND],
  "clip": [CLIP, CLIP],
  "graph": [RING, RING],
  "row": [PERSON, {**PERSON, "age": "40"}],
  "several": [[np.zeros((4, 4, 3)), "a caption"]] * 2,
}


def page(folder, **parts):
  return report.write(folder, title="run", **parts).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_kind_of_example_is_on_the_page(name, tmp_path):
  examples = EXAMPLES[name]
  text = page(
    tmp_path,
    examples=examples,
    embedding=np.eye(2),
    views=[examples, examples],
    pictures={"original | rebuilt": [examples]},
    neighbours=np.array([[0, 1], [1, 0]]),
  )
  assert "<h2>Nearest neighbours</h2>" in text and "<h2>Original | rebuilt</h2>" in text
  assert text.count(">view 1<") == 2 and text.count(">rebuilt<") == 1
  assert "<b>bold" not in text and "<State" not in text


def test_a_sound_is_its_spectrum_and_a_player():
  html = tiles.as_html(SOUND, "a tone")
  assert html.count("<img") == 1 and "<audio controls" in html
  data = re.search(r"data:audio/wav;base64,([^\"]+)", html)[1]
  with wave.open(io.BytesIO(base64.b64decode(data))) as file:
    assert (file.getframerate(), file.getnframes()) == (RATE, len(WAVE))
    samples = np.frombuffer(file.readframes(800), "<i2") / 32767
  np.testing.assert_allclose(samples, WAVE, atol=1e-4)


def test_a_sound_that_is_not_finite_is_silent_there():
  broken = Sound(np.array([np.nan, 2.0, -2.0]), RATE, np.full((4, 4), np.nan))
  assert "<audio" in tiles.as_html(broken, "")


def test_a_clip_is_at_most_eight_frames():
  assert "8 of 12 frames" in tiles.as_html(CLIP, "a clip")


def test_what_differs_in_a_row_of_a_table_stands_out():
  html = tiles.as_row(EXAMPLES["row"], [("name", "original"), ("name", "corrupted")])
  assert html.count('class="differs"') == 1 and '<td class="differs">40</td>' in html
  assert '<th scope="col">corrupted</th>' in html


def test_only_images_of_one_shape_are_one_picture():
  square, wide = np.zeros((4, 4, 1)), np.zeros((4, 8, 1))
  assert tiles.are_images([[square, square], [square, square]])
  assert not tiles.are_images([[square, wide]])
  assert not tiles.are_images([[square, "a caption"]])


def test_the_last_name_of_a_caption_is_that_of_all_further_columns(tmp_path):
  text = page(tmp_path, pictures={"a word | its nearest": [["sea", "lake", "pond"]]})
  assert text.count(">its nearest<") == 2
