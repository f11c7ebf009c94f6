"""What a person sees of an example, as HTML: text, sound, frames, graph, row."""

import base64
import io
import wave
from collections.abc import Sequence
from html import escape

import numpy as np

from jaxssl.data.kinds import Frames, Sketch, Sound, Tile
from jaxssl.report import plots

MOST_FRAMES = 8
LAYOUT = (((str, Frames), " stacked"), (Sketch, " large"))  # else side by side


def are_images(rows: Sequence[Sequence[Tile]]) -> bool:
  """Whether all tiles are images of one shape, which one picture can show."""
  tiles = [tile for row in rows for tile in row]
  arrays = [tile for tile in tiles if isinstance(tile, np.ndarray)]
  alike = len({tile.shape for tile in arrays}) == 1 and arrays[0].ndim == 3
  return bool(tiles) and len(arrays) == len(tiles) and alike


def as_row(tiles: Sequence[Tile], captions: Sequence[tuple[str, str]]) -> str:
  """Draws tiles side by side, or below each other where they are wide.

  Args:
    tiles: of one kind.
    captions: (CSS class, text) of each; an empty text has none.

  Returns:
    HTML.
  """
  if all(isinstance(tile, dict) for tile in tiles):
    return _table(tiles, captions)
  kind = next((name for kinds, name in LAYOUT if isinstance(tiles[0], kinds)), "")
  cells = [
    f"<figure>{as_html(tile, _alt(role, text))}{_caption(role, text)}</figure>"
    for tile, (role, text) in zip(tiles, captions, strict=True)
  ]
  return f'<div class="row{kind}">{"".join(cells)}</div>'


def as_html(tile: Tile, alt: str) -> str:
  """Draws one tile; `alt` says what it is to those who don't see it."""
  if isinstance(tile, str):
    return f'<p class="text">{escape(tile)}</p>'
  if isinstance(tile, Sound):
    return _sound(tile, alt)
  if isinstance(tile, Frames):
    return _frames(tile, alt)
  if isinstance(tile, Sketch):
    return _sketch(tile, alt)
  if isinstance(tile, dict):
    return _table([tile], [("", "")])
  if isinstance(tile, list):
    return "".join(as_html(part, alt) for part in tile)
  return image(plots.sheet(np.asarray(tile)[None, None]), alt, kind="tile")


def image(png: bytes, alt: str, *, kind: str = "plot") -> str:
  """An image inside the page; `kind` is its CSS class."""
  return f'<img class="{kind}" src="{inline(png)}" alt="{escape(alt)}">'


def inline(data: bytes, media: str = "image/png") -> str:
  """A file as an address that holds it."""
  return f"data:{media};base64," + base64.b64encode(data).decode("ascii")


def themed(drawn: dict[str, bytes], alt: str) -> str:
  """A plot that was drawn for light and for dark pages."""
  dark = f'media="(prefers-color-scheme: dark)" srcset="{inline(drawn["dark"])}"'
  return f"<picture><source {dark}>{image(drawn['light'], alt)}</picture>"


def _alt(kind, text):
  before = {"query": "Query: ", "same": "Neighbour: ", "other": "Neighbour: "}
  return before.get(kind, "") + text


def _caption(kind, text):
  return f'<figcaption class="{kind}">{escape(text)}</figcaption>' if text else ""


def _sound(sound, alt):
  picture = image(plots.spectrum(sound.spectrum), f"Spectrum. {alt}", kind="spectrum")
  player = f'<audio controls src="{inline(_wav(sound), "audio/wav")}"></audio>'
  return picture + player


def _wav(sound):
  """The recording as a WAV file of 16 bits."""
  samples = np.clip(np.nan_to_num(np.asarray(sound.wave, np.float64)), -1.0, 1.0)
  buffer = io.BytesIO()
  with wave.open(buffer, "wb") as file:
    file.setparams((1, 2, sound.rate, len(samples), "NONE", ""))
    file.writeframes(np.round(32767 * samples).astype("<i2").tobytes())
  return buffer.getvalue()


def _frames(frames, alt):
  images = np.asarray(frames.images)
  count = min(len(images), MOST_FRAMES)
  chosen = images[np.linspace(0, len(images) - 1, count).astype(int)]
  said = f"{count} of {len(images)} frames. {alt}"
  return image(plots.sheet(chosen[None], apart=False), said, kind="frames")


def _sketch(sketch, alt):
  drawn = {
    name: plots.graph(
      np.asarray(sketch.places),
      np.asarray(sketch.edges),
      np.asarray(sketch.colours),
      theme=theme,
    )
    for name, theme in plots.THEMES.items()
  }
  return themed(drawn, f"A graph. {alt}")


def _table(tiles, captions):
  """Columns of the data as rows; what differs from the first example stands out."""
  head = "".join(f'<th scope="col">{escape(text)}</th>' for _, text in captions)
  head = (
    f"<thead><tr><th></th>{head}</tr></thead>" if any(c[1] for c in captions) else ""
  )
  rows = "".join(_columns(name, tiles) for name in tiles[0])
  return f'<div class="wide"><table class="values">{head}{rows}</table></div>'


def _columns(name, tiles):
  first = str(tiles[0].get(name, ""))
  cells = "".join(_cell(str(tile.get(name, "")), first) for tile in tiles)
  return f'<tr><th scope="row">{escape(str(name))}</th>{cells}</tr>'


def _cell(value, first):
  kind = "" if value == first else ' class="differs"'
  return f"<td{kind}>{escape(value)}</td>"
