"""The command line, as a user meets it."""

import json
import pathlib
import re

import numpy as np
import pytest
from PIL import Image

from jaxssl import cli, registry, results, train
from jaxssl.errors import InputError

TOY = str(pathlib.Path(__file__).parent / "toy.py") + ":toy"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
  """Every command runs in an empty folder."""
  monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  """A finished run."""
  out = tmp_path_factory.mktemp("cli") / "run"
  assert cli.main(["train", TOY, "--steps", "6", "--out", str(out)]) == 0
  return str(out)


def fails(capsys, *argv):
  """Runs a command that must fail cleanly; returns what it printed."""
  code = cli.main([str(a) for a in argv])
  printed = capsys.readouterr()
  assert code == 2
  assert "Traceback" not in printed.err
  return printed.err


def test_no_command_shows_the_usage(capsys):
  assert cli.main(["--help"]) == 0
  assert "jaxssl train --resume RUN" in capsys.readouterr().out


def test_list_has_a_line_for_every_experiment(capsys):
  assert cli.main(["list"]) == 0
  lines = capsys.readouterr().out.splitlines()
  names = registry.names()
  assert [line.split()[0] for line in lines[1 : len(names) + 1]] == list(names)
  assert "1/5/10 labels" in "".join(lines)


def test_list_with_a_word_names_data_results_and_costs(capsys):
  assert cli.main(["list", "simclr_"]) == 0
  text = capsys.readouterr().out
  for word in ("simclr_digits", "fashion_mnist", "97", "min"):
    assert word in text
  assert "vicreg" not in text


def test_list_of_nothing_shows_the_nearest_name(capsys):
  assert cli.main(["list", "swav_digit5"]) == 2
  assert "swav_digits" in capsys.readouterr().err


def test_help_shows_settings_with_defaults_and_meanings(capsys):
  with pytest.raises(SystemExit) as leave:
    cli.main(["train", "simclr_digits", "--help"])
  assert leave.value.code == 0
  text = re.sub(r"\s+", " ", capsys.readouterr().out)
  for words in ("--temperature", "0.2", "--steps", "Optimiser steps", "--out"):
    assert words in text
  for words in ("--distributed", "--coordinator", "--num-processes", "--process-id"):
    assert words in text
  assert "--topology" in text and "--resume" in text


def test_train_ends_with_the_table_and_the_report(run, capsys):
  assert (pathlib.Path(run) / "report.html").stat().st_size > 10_000


def test_eval_prints_one_protocol(run, capsys):
  assert cli.main(["eval", run, "knn"]) == 0
  text = capsys.readouterr().out
  assert "kNN" in text and "raw pixels" in text and "linear" not in text


def test_eval_fine_tunes_and_the_report_shows_it(run, capsys):
  argv = ["--fractions", "0.1", "1.0", "--epochs", "1", "--minimum-steps", "2"]
  assert cli.main(["eval", run, "finetune", *argv, "--augment", "light"]) == 0
  text = capsys.readouterr().out
  for words in ("finetune 10 %", "finetune 100 %", "untrained", "step 2/2", "flip"):
    assert words in text
  assert re.search(r"raw pixels +- +-\n", text)
  written = json.loads((pathlib.Path(run) / "finetune.json").read_text())
  assert list(written["rows"][2]["finetune"]) == ["0.1", "1.0"]
  assert cli.main(["report", run]) == 0
  page = (pathlib.Path(run) / "report.html").read_text()
  assert "fine-tuned 10\u00a0%" in page and "kNN" in page


def test_the_nearest_neighbour_is_kept_and_the_report_shows_it(run, capsys):
  assert cli.main(["eval", run, "nearest"]) == 0
  assert "Euclidean" in capsys.readouterr().out
  path, page = pathlib.Path(run) / "nearest.json", pathlib.Path(run) / "report.html"
  assert cli.main(["report", run]) == 0
  assert "1-NN" in page.read_text()
  kept = json.loads(path.read_text())
  path.write_text(json.dumps({**kept, "step": kept["step"] - 1}))  # of another state
  assert cli.main(["report", run]) == 0
  assert "1-NN" not in page.read_text()
  path.unlink()


@pytest.mark.parametrize(
  ("argv", "message"),
  [
    (["knn", "--batch", "8"], "eval RUN finetune --batch"),
    (["--learning-rate", "1"], "--learning-rate is for fine-tuning"),
    (["finetune", "--fractions", "2"], "fraction of 2.0"),
    (["finetune", "--layer-decay", "0"], "layer_decay is 0.0"),
  ],
)
def test_options_of_fine_tuning(run, capsys, argv, message):
  assert message in fails(capsys, "eval", run, *argv)


def test_the_augmentation_of_fine_tuning_keeps_the_shape():
  experiment = registry.build(TOY)
  assert results.make_augment(experiment, "views")[1] == "the run's first view"
  assert results.make_augment(experiment, "none")[1] == "none"
  small = experiment._replace(views=lambda key, x: (x[:4], x))
  assert results.make_augment(small, "views")[1] == "none"
  with pytest.raises(InputError, match="Did you mean 'light'"):
    results.make_augment(experiment, "ligth")


def test_report_is_written_again(run, capsys):
  page = pathlib.Path(run) / "report.html"
  page.unlink()
  assert cli.main(["report", run]) == 0
  assert page.exists() and str(page) in capsys.readouterr().out


@pytest.mark.parametrize("joined", [False, True])
def test_resume_of_a_finished_run_with_the_same_settings(run, capsys, joined):
  resume = [f"--resume={run}"] if joined else ["--resume", run]
  assert cli.main(["train", *resume, "--steps", "6"]) == 0
  assert "Going on from step 6" in capsys.readouterr().out


def image_folder(folder, *, mode="RGB"):
  folder.mkdir()
  rng = np.random.default_rng(0)
  for i in range(3):
    pixels = rng.integers(0, 255, (20, 24, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(folder / f"{i}.png")
  return folder


@pytest.mark.parametrize("patches", [False, True])
def test_embed_writes_features_of_files(run, tmp_path, capsys, patches):
  folder, out = image_folder(tmp_path / "mine"), tmp_path / "f.npz"
  flag = ["--patches"] if patches else []
  argv = ["embed", run, "--data", str(folder), "--out", str(out), *flag]
  assert cli.main(argv) == 0
  features = np.load(out)["features"]
  assert features.shape == ((3, 1, 16) if patches else (3, 16))
  assert np.load(out)["path"].tolist() == ["0.png", "1.png", "2.png"]
  assert "3 examples" in capsys.readouterr().out


@pytest.mark.parametrize(
  ("argv", "message"),
  [
    (["trian"], "Did you mean 'train'"),
    (["train"], "Name an experiment"),
    (["train", "simclr_digit"], "Did you mean 'simclr_digits'"),
    (["train", "simclr_digits", "--batch", "9999"], "larger than the 1297 examples"),
    (["train", "simclr_digits", "--steps", "0"], "steps is 0"),
    (["train", "simclr_digits", "--num-processes", "2"], "need --coordinator"),
    (["train", "simclr_digits", "--process-id", "0"], "need --coordinator"),
    (["train", "simclr_digits", "--out", "gs://bucket/x"], "is no folder of this mach"),
    (["train", "--resume"], "needs the folder of a run"),
    (["train", "--resume="], "needs the folder of a run"),
    (["train", "--resume", "--steps", "6"], "needs the folder of a run"),
    (["train", "--resume", "nowhere"], "nowhere is not a run"),
    (["eval", "nowhere"], "nowhere is not a run"),
  ],
)
def test_wrong_input(capsys, argv, message):
  assert message in fails(capsys, *argv)


def test_an_unregistered_slice_is_refused(capsys):
  said = fails(capsys, "train", "simclr_imagenet", "--topology", "v5e:4x5")
  assert "Did you mean 'v5e:4x4'" in said and "v5e:16x16" in said
  said = fails(capsys, "train", "simclr_digits", "--topology", "v5e:4x4")
  assert "It has: none" in said


def test_a_slice_changes_the_defaults_and_the_mesh():
  entry = registry.find("dinov2_imagenet")
  argv = ["--topology", "v5e:4x4", "--steps", "7"]
  settings, rest = cli.on_slice(entry, argv)
  found = cli.parse_settings(entry, settings, rest, cli.LAUNCH)
  assert found["mesh"] == "data=4,fsdp=4" and found["steps"] == 7
  assert found["precision"] == "bfloat16" and found["remat"] == "full"


def test_a_slice_gives_a_resumed_run_its_mesh_alone(run, monkeypatch):
  slices, seen = {"v5e:2x4": {"mesh": "data=4,fsdp=2", "batch": 16}}, {}
  entry = registry.find(TOY)._replace(slices=slices)
  monkeypatch.setattr(registry, "find", lambda source: entry)
  monkeypatch.setattr(train, "fit", lambda experiment, out, **how: seen.update(how))
  assert cli.main(["train", "--resume", run, "--topology", "v5e:2x4"]) == 0
  assert dict(seen["mesh"].shape) == {"data": 4, "fsdp": 2}
  assert cli.main(["train", "--resume", run]) == 0
  assert seen["mesh"] is None


def test_unknown_and_mistyped_settings(capsys):
  for argv, words in (
    (["--temprature", "1"], ["--temprature", "--temperature"]),
    (["--temperature", "warm"], ["temperature", "warm"]),
  ):
    with pytest.raises(SystemExit) as leave:
      cli.main(["train", "simclr_digits", *argv])
    assert leave.value.code == 2
    text = capsys.readouterr().err
    for word in words:
      assert word in text


def test_resume_refuses_changes_and_names(run, capsys):
  message = fails(capsys, "train", "--resume", run, "--rate", "0.5")
  assert "rate: 0.01 in the run, 0.5 asked" in message
  assert "takes no experiment name" in fails(capsys, "train", "toy", "--resume", run)


def test_out_of_another_run(run, capsys):
  assert "holds a run already" in fails(capsys, "train", TOY, "--out", run)


def test_embed_writes_both_splits(run, tmp_path, capsys):
  x, y = np.zeros((5, 8, 8), np.uint8), np.arange(5)
  np.savez(tmp_path / "x.npz", x=x, y=y, x_test=x[:2], y_test=y[:2])
  assert cli.main(["embed", run, "--data", "./x.npz", "--out", "both"]) == 0
  assert "both.npz: features (7, 16) of 7 examples (5 train, 2 test)" in (
    capsys.readouterr().out
  )
  with np.load(tmp_path / "both.npz") as found:
    assert found["label"].tolist() == [0, 1, 2, 3, 4, 0, 1]
    assert found["split"].tolist() == ["train"] * 5 + ["test"] * 2


def test_embed_keeps_the_labels_of_one_split(run, tmp_path):
  x = np.zeros((3, 8, 8), np.uint8)
  np.savez(tmp_path / "x.npz", x=x, x_test=x[:2], y_test=np.arange(2))
  assert cli.main(["embed", run, "--data", "./x.npz", "--out", "f.npz"]) == 0
  assert np.load(tmp_path / "f.npz")["label"].tolist() == [-1, -1, -1, 0, 1]


def test_embed_looks_for_the_folder_first(run, tmp_path, capsys):
  image_folder(tmp_path / "mine")
  argv = ["embed", run, "--data", "./mine", "--out", "none/f.npz"]
  assert "no folder none to write f.npz to" in fails(capsys, *argv)


def test_embed_of_other_images(run, tmp_path, capsys):
  np.savez(tmp_path / "x.npz", x=np.zeros((2, 9, 9), np.uint8))
  message = fails(capsys, "embed", run, "--data", "x.npz", "--out", "f.npz")
  assert "(9, 9, 1)" in message and "(8, 8, 1)" in message
  message = fails(capsys, "embed", run, "--data", "./empty", "--out", "f.npz")
  assert "no folder" in message


def test_images_with_nan_or_of_the_wrong_type(tmp_path, capsys):
  images = np.full((300, 8, 8), 0.5, np.float32)
  images[7, 0, 0] = np.nan
  np.savez(tmp_path / "x.npz", x=images)
  argv = ("train", "simclr_images", "--data", "x.npz")
  assert "NaN" in fails(capsys, *argv)
  np.savez(tmp_path / "x.npz", x=np.zeros((300, 8, 8), np.int64))
  assert "int64" in fails(capsys, *argv)
  assert not list(tmp_path.glob("runs"))


def test_a_data_set_that_is_not_prepared(tmp_path, capsys):
  argv = ("train", "simclr_fashion_mnist", "--data-dir", str(tmp_path))
  message = fails(capsys, *argv)
  assert "download_and_prepare" in message
