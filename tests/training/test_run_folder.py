"""A run never overwrites another one, and is resumed only with its own configuration."""

from pathlib import Path

import pytest

from stdl_events.errors import RunError
from stdl_events.folder_lock import LOCK_FILE
from stdl_events.recipes import load_recipe
from stdl_events.recordings.splits.split_list import SPLIT_FILE
from stdl_events.training.run_folder import CONFIG_FILE, check_run_folder, load_config, write_json
from stdl_events.training.settings import TrainConfig


@pytest.fixture
def config() -> TrainConfig:
    return load_recipe("folder").derive(learning={"budget": "2GiB"}, optimiser={"lr": 0.001}, epochs=30)


def start(folder: Path, config: TrainConfig) -> None:
    folder.mkdir()
    write_json(folder / CONFIG_FILE, config.model_dump(mode="json"))


def test_new_and_empty_folders_are_free(tmp_path: Path, config: TrainConfig) -> None:
    check_run_folder(tmp_path / "new" / "run", config, resume=False)
    check_run_folder(tmp_path, config, resume=False)
    assert list(tmp_path.iterdir()) == []


def test_what_a_run_killed_before_its_configuration_leaves_is_free(tmp_path: Path, config: TrainConfig) -> None:
    for name in (LOCK_FILE, SPLIT_FILE, ".config.json.123-0.part"):
        (tmp_path / name).write_text("{}")
    check_run_folder(tmp_path, config, resume=False)
    write_json(tmp_path / CONFIG_FILE, config.model_dump(mode="json"))
    with pytest.raises(RunError, match="already there"):
        check_run_folder(tmp_path, config, resume=False)


def test_a_folder_in_use_is_refused(tmp_path: Path, config: TrainConfig) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError) as caught:
        check_run_folder(tmp_path, config, resume=False)
    assert str(caught.value) == (
        f"{tmp_path}: got something that is already there; expected a new folder for this run; "
        "give another folder with --out"
    )
    start(tmp_path / "run", config)
    with pytest.raises(RunError, match="; give --resume to go on with it, or another folder with --out"):
        check_run_folder(tmp_path / "run", config, resume=False)
    with pytest.raises(RunError, match="already there"):
        check_run_folder(tmp_path / "notes.txt", config, resume=False)


def test_resume_needs_a_run(tmp_path: Path, config: TrainConfig) -> None:
    with pytest.raises(RunError, match=r"no run to resume; expected a folder with config\.json; correct the path"):
        check_run_folder(tmp_path / "none", config, resume=True)


def test_resume_needs_the_same_settings_but_for_device_and_epochs(tmp_path: Path, config: TrainConfig) -> None:
    folder = tmp_path / "run"
    start(folder, config)
    check_run_folder(folder, config, resume=True)
    check_run_folder(folder, config.derive(device="cpu", checkpoint_every_steps=3, epochs=90), resume=True)
    with pytest.raises(RunError) as caught:
        check_run_folder(folder, config.derive(batch_size=7, optimiser={"lr": 0.5}), resume=True)
    assert "got another setting of optimiser.lr (0.001, now 0.5), batch_size (32, now 7)" in str(caught.value)


def test_config_comes_back_and_a_strange_one_is_named(tmp_path: Path, config: TrainConfig) -> None:
    folder = tmp_path / "run"
    start(folder, config)
    assert load_config(folder) == config
    write_json(folder / CONFIG_FILE, config.model_dump(mode="json") | {"colour": "red"})
    with pytest.raises(RunError, match=r"config\.json: colour: got an unknown key; expected only known keys; use"):
        load_config(folder)
    write_json(folder / CONFIG_FILE, config.model_dump(mode="json") | {"learning": {"loss": "my_loss"}})
    with pytest.raises(RunError, match=r"learning\.loss: got 'my_loss'; .*; if it is your own, give .* --plugin"):
        load_config(folder)
    (folder / CONFIG_FILE).write_text("{")
    with pytest.raises(RunError, match=r"config\.json: got text that is no JSON \(EOF .*; expected a JSON document"):
        load_config(folder)
    with pytest.raises(RunError, match=r"got no config\.json; expected the folder of a run"):
        load_config(tmp_path)
    (folder / CONFIG_FILE).write_bytes(b'{"seed": "\x94"}')
    with pytest.raises(
        RunError, match=r"config\.json: got a file that does not read \(.* byte 0x94 .*; use the version"
    ):
        load_config(folder)
