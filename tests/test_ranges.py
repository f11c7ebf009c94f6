"""Numbers that a setting can't be are refused before anything is read or built."""

import dataclasses
import math
import textwrap

import pytest

from jaxssl import cli, ranges, registry
from jaxssl.errors import InputError
from tests import (
  experiments_cifar10,
  experiments_imagenet,
  experiments_imagenette,
  experiments_kinds,
)

NAMES = registry.names()
SHARED = {f.name for f in dataclasses.fields(registry.Run)}
TINY = {
  **experiments_cifar10.TINY,
  **experiments_imagenet.TINY,
  **experiments_imagenette.TINY,
  **experiments_kinds.TINY,
}


def own(name):
  """The settings of an experiment that are numbers, with their defaults."""
  settings = registry.defaults(NAMES[name]).items()
  return {n: v for n, v in settings if n not in SHARED and type(v) in (int, float)}


def bad_values(name, default):
  """Values on the wrong side of each end of what is allowed."""
  known = ranges.allowed(name, default)
  if type(default) is int:
    return [known.least - 1]
  ends = [known.least - 0.5, known.most + 0.5, known.least if known.above else math.nan]
  return {math.nan, *ends}


@pytest.mark.parametrize("name", NAMES)
def test_numbers_that_cannot_be_are_refused_before_the_experiment_is_called(
  name, monkeypatch
):
  def called(*args, **settings):
    raise AssertionError("the experiment was called")

  monkeypatch.setattr(registry, "build_exactly", called)
  for setting, default in own(name).items():
    for value in bad_values(setting, default):
      with pytest.raises(InputError, match=rf"^{setting} is {value}; allowed are "):
        registry.build(name, **{setting: value})


@pytest.mark.parametrize("name", NAMES)
def test_defaults_and_settings_of_the_tests_are_allowed(name):
  known = own(name)
  for settings in (known, TINY.get(name, {})):
    for setting in settings.keys() & known.keys():
      ranges.check_range(setting, settings[setting], known[setting])


def test_the_table_knows_every_whole_number_and_no_name_that_is_not_there():
  found = {(type(v), setting) for name in NAMES for setting, v in own(name).items()}
  assert set(ranges.ALLOWED) <= found
  assert {pair for pair in found if pair[0] is int} <= set(ranges.ALLOWED)


@pytest.mark.parametrize(
  ("name", "settings", "message"),
  [
    ("bert4rec", {"heads": 0}, "heads is 0; allowed are whole numbers from 1 on."),
    ("roberta", {"depth": -1}, "depth is -1; allowed are whole numbers from 1 on."),
    ("cbow", {"min_count": -1}, "min_count is -1; .* whole numbers from 0 on."),
    ("tcn", {"stride": -1}, "stride is -1; .* whole numbers from 0 on."),
    ("cola", {"crop": math.nan}, "crop is nan; allowed are finite numbers."),
    ("cola", {"crop": math.inf}, "crop is inf; allowed are finite numbers."),
    ("scarf", {"learning_rate": -1}, "learning_rate is -1; .* numbers from 0 on."),
    ("clip", {"weight_decay": math.nan}, "weight_decay is nan; .* from 0 on."),
    ("simcse", {"temperature": 0.0}, "temperature is 0.0; .* numbers above 0."),
    ("alignment", {"hard": 1.5}, "hard is 1.5; allowed are finite .* from 0 to 1."),
  ],
)
def test_the_message_says_what_is_allowed(name, settings, message):
  with pytest.raises(InputError, match=f"^{message}$"):
    registry.build(name, **settings)


def test_a_zero_that_stands_for_something_is_left_to_its_experiment():
  zeros = {
    "mae_imagenet": ("decoder_width", "decoder_depth", "decoder_heads"),
    "tcn_video": ("stride",),
    "clip_captions": ("size", "block_size"),
    "dino_digits": ("learning_rate", "weight_decay"),
    "vae_digits": ("beta",),
  }
  for name, settings in zeros.items():
    for setting in settings:
      default = own(name)[setting]
      ranges.check_range(setting, type(default)(0), default)
  with pytest.raises(InputError, match="from 1 on"):
    ranges.check_range("decoder_width", 0, own("videomae_video")["decoder_width"])


def test_rates_of_zero_are_allowed_as_whole_numbers_too():
  settings = registry.build("simclr_digits", learning_rate=0, weight_decay=0.0).settings
  assert settings["learning_rate"] == settings["weight_decay"] == 0


def test_a_run_from_before_still_opens():
  had = {**registry.defaults(NAMES["simclr_digits"]), "learning_rate": -1.0}
  assert registry.build_exactly("simclr_digits", had).settings == had


def test_in_a_file_of_ones_own_a_name_may_mean_anything(tmp_path):
  file = tmp_path / "mine.py"
  file.write_text(
    textwrap.dedent("""
      import jaxssl
      from jaxssl import registry

      @jaxssl.experiment(method="SimCLR", data="digits", reaches="-", cost="-")
      def mine(
        run: jaxssl.Run = jaxssl.Run(steps=3, batch=8),
        *,
        width: int = 1,
        temperature: float = 1.0,
      ):
        parts = registry.build("simclr_digits")
        return jaxssl.Parts(parts.method, parts.tx, parts.data, parts.views)
    """)
  )
  settings = {"width": -1, "temperature": math.inf}
  built = registry.build(f"{file}:mine", **settings)
  assert {n: built.settings[n] for n in settings} == settings


@pytest.mark.parametrize(
  ("argv", "message"),
  [
    (["bert4rec", "--heads", "0"], "heads is 0; allowed are whole numbers from 1 on."),
    (["cola", "--crop", "nan"], "crop is nan; allowed are finite numbers."),
  ],
)
def test_the_command_line_says_it_in_a_line(argv, message, tmp_path, capsys):
  out = tmp_path / "run"
  assert cli.main(["train", *argv, "--out", str(out)]) == 2
  said = capsys.readouterr().err
  assert message in said and "Traceback" not in said
  assert not out.exists()
