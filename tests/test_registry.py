"""Experiments by name: found, built, and wrong ones refused with a hint."""

import textwrap

import jax
import pytest

from jaxssl import registry, train
from jaxssl.errors import InputError
from jaxssl.mesh import data_mesh

SIX = ("simclr", "moco_v2", "byol", "simsiam", "barlow_twins", "vicreg")


def test_the_six_methods_on_digits_are_registered():
  names = registry.names()
  assert {f"{method}_digits" for method in SIX} <= set(names)
  for name, entry in names.items():
    assert entry.function.__name__ == name
    assert entry.method and entry.data and entry.reaches and entry.cost


def test_aliases_build_but_are_not_listed():
  assert "moco_digits" not in registry.names()
  assert registry.build("moco_digits").name == "moco_v2_digits"


def test_files_are_loaded_once():
  assert registry.find("simclr_digits") is registry.find("simclr_digits")


@pytest.mark.parametrize("method", SIX)
def test_every_digits_experiment_traces(method):
  experiment = registry.build(f"{method}_digits", steps=2, batch=32)
  train.check(experiment, data_mesh(jax.devices()[:1]))
  assert experiment.settings["steps"] == experiment.run.steps == 2


def test_settings_have_defaults_and_can_be_changed():
  default = registry.build("simclr_digits")
  changed = registry.build("simclr_digits", temperature=0.5, seed=3)
  assert default.settings["temperature"] != 0.5
  assert changed.settings == {**default.settings, "temperature": 0.5, "seed": 3}


def test_an_integer_is_a_float():
  assert registry.build("simclr_digits", temperature=1).settings["temperature"] == 1


@pytest.mark.parametrize(
  ("name", "settings", "message"),
  [
    ("simclr_digit", {}, "Did you mean 'simclr_digits'"),
    ("simclr_digits", {"temprature": 0.1}, "Did you mean 'temperature'"),
    ("simclr_digits", {"temperature": "warm"}, "temperature.* must be float.*str"),
    ("simclr_digits", {"steps": 1.5}, "steps.* must be int.*float"),
    ("simclr_digits", {"steps": True}, "steps.* must be int.*bool"),
    ("simclr_digits", {"steps": 0}, "steps is 0; it must be 1 or more"),
    ("simclr_digits", {"seed": -1}, "seed is -1; it must be 0 or more"),
    ("simclr_digits", {"batch": 5000}, "larger than the 1297 examples of digits"),
    ("nowhere.py:run", {}, "There is no file nowhere.py"),
  ],
)
def test_wrong_input_is_refused(name, settings, message):
  with pytest.raises(InputError, match=message):
    registry.build(name, **settings)


@pytest.mark.parametrize(
  ("settings", "devices", "message"),
  [
    ({"batch": 100}, 8, "100 does not divide over 8 devices.*96"),
    ({"batch": 100}, 1, "100 does not divide a queue of 512"),
  ],
)
def test_wrong_batches_are_refused_before_any_compute(settings, devices, message):
  experiment = registry.build("moco_v2_digits", **settings)
  with pytest.raises(InputError, match=message):
    train.check(experiment, data_mesh(jax.devices()[:devices]))


def test_a_users_own_file(tmp_path):
  file = tmp_path / "mine.py"
  file.write_text(
    textwrap.dedent("""
      import jaxssl
      from jaxssl import registry

      @jaxssl.experiment(method="SimCLR", data="digits", reaches="-", cost="-")
      def my_run(run: jaxssl.Run = jaxssl.Run(steps=3, batch=8), *, scale: float = 1.0):
        parts = registry.build("simclr_digits")
        return jaxssl.Parts(parts.method, parts.tx, parts.data, parts.views)

      @jaxssl.experiment(method="SimCLR", data="digits", reaches="-", cost="-")
      def clash(run: jaxssl.Run = jaxssl.Run(steps=3, batch=8), *, seeds: int = 5):
        return my_run(run)
    """)
  )
  experiment = registry.build(f"{file}:my_run", scale=2.0)
  assert experiment.run.steps == 3
  assert experiment.source == f"{file}:my_run"
  with pytest.raises(InputError, match="has a setting 'seeds' of its own, which every"):
    registry.build(f"{file}:clash")
  with pytest.raises(InputError, match="Did you mean 'my_run'"):
    registry.build(f"{file}:my_rum")
