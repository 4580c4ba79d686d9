"""A user's dataset: one registered object, which every command accepts by its name."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stdl_events.errors import DatasetError, RecipeError
from stdl_events.recipes import load_recipe
from stdl_events.recordings import DATASETS, Dataset, RecordingSet, Split, by_recording, read_folder
from stdl_events.recordings.registry import SPLIT_RULES
from stdl_events.registry import Registry
from stdl_events.training.load_recordings import load_split
from stdl_events.training.overrides import apply_overrides

RunCli = Callable[..., tuple[int, str, str]]
REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = (
    "frames.steps=4",
    "network.notation=4C3-AP2-4C3",
    "learning.least_blocks=1",
    "epochs=1",
    "batch_size=8",
    "device=cpu",
)


def read_mine(root: Path) -> RecordingSet:
    """The training side of the test recordings as the whole dataset."""
    return read_folder(root / "train")


@pytest.fixture
def mine() -> Iterator[Dataset]:
    yield DATASETS.register("mine", Dataset("Three kinds of noise", read_mine))
    DATASETS.unregister("mine")


def sets(*assignments: str) -> list[str]:
    return [word for assignment in (*SMALL, *assignments) for word in ("--set", assignment)]


@pytest.mark.usefixtures("mine")
def test_it_is_trained_on_and_evaluated(run_cli: RunCli, folder_of_recordings: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    data = ("--data", folder_of_recordings, "--out", run, *sets("data.dataset=mine"))
    code, out, err = run_cli("train", "folder", *data, "--json")
    assert code == 0, err
    assert "split by recording, 20% of each class, seed 0: 15 to train, 3 held out" in err
    trained = json.loads(out)
    assert trained["recordings"] == 3
    code, out, err = run_cli("evaluate", run, "--json")
    assert code == 0, err
    assert json.loads(out)["confusion"] == trained["confusion"]


@pytest.mark.usefixtures("mine")
def test_it_is_prepared(run_cli: RunCli, folder_of_recordings: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    options = ("--frames", "T=4,dt=20ms", "--workers", 1, "--out", store, "--json")
    code, out, err = run_cli("prepare", "mine", "--data", folder_of_recordings, *options)
    assert code == 0, err
    facts = json.loads(out)
    assert (facts["dataset"], facts["recordings"]) == ("mine", 18)


def test_a_recipe_file_brings_its_own(run_cli: RunCli, folder_of_recordings: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.py"
    recipe.write_text(
        "from stdl_events.recipes import folder\n"
        "from stdl_events.recordings import DATASETS, Dataset, read_folder\n\n"
        "DATASETS.register('mine', Dataset('Mine', lambda root: read_folder(root / 'train')))\n\n\n"
        "def recipe():\n    return folder.recipe().derive(name='mine', data={'dataset': 'mine'})\n"
    )
    try:
        code, _, err = run_cli("train", recipe, "--data", folder_of_recordings, "--out", tmp_path / "run", *sets())
    finally:
        DATASETS.unregister("mine")
    assert code == 0, err
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"]["dataset"] == "mine"


def entries_of(registry: Registry[Any]) -> list[tuple[str, str]]:
    return [(name, entry.summary) for name, entry in registry.items()]


@pytest.mark.usefixtures("mine")
def test_help_names_it(run_cli: RunCli) -> None:
    code, out, _ = run_cli("prepare", "--help")
    assert code == 0
    joined = "".join(out.split())  # lines may end behind a hyphen
    described = [("mine", "Three kinds of noise"), *entries_of(DATASETS), *entries_of(SPLIT_RULES)]
    assert all("".join(f"{name}:{summary}".split()) in joined for name, summary in described)


@pytest.mark.usefixtures("mine")
def test_an_unknown_one_is_an_error_that_lists_the_names(run_cli: RunCli, tmp_path: Path) -> None:
    names = " or ".join(DATASETS.choices)
    with pytest.raises(RecipeError) as caught:
        apply_overrides(load_recipe("folder"), ["data.dataset=mien"])
    assert caught.value.expected == names
    code, _, err = run_cli("prepare", "mien", "--frames", "T=4,dt=20ms")
    assert code == 2
    assert err == f"stdl-events: error: dataset: got 'mien'; expected {names}; did you mean 'mine'?\n"
    recipe = tmp_path / "r.py"
    recipe.write_text(
        "from stdl_events.recipes import folder\n\n\n"
        "def recipe():\n    return folder.recipe().derive(data={'dataset': 'mien'})\n"
    )
    code, _, err = run_cli("train", recipe)
    assert code == 2
    assert err == f"stdl-events: error: {recipe}: data.dataset: got 'mien'; expected {names}; did you mean 'mine'?\n"


def test_its_own_split(folder_of_recordings: Path) -> None:
    def split_mine(root: Path, *, sensor_size: tuple[int, int] | None) -> Split:
        assert sensor_size == (16, 16)
        return by_recording(read_mine(root), held_out=0.5, seed=0)

    DATASETS.register("mine", Dataset("Mine", split=split_mine, options=("sensor_size",)))
    try:
        data = {"dataset": "mine", "path": str(folder_of_recordings), "sensor_size": (16, 16)}
        config = load_recipe("folder").derive(data=data)
        for rule in ("auto", "given"):
            split = load_split(config.derive(data={"split": {"rule": rule}}))
            assert (len(split.train), len(split.test)) == (9, 9)
        with pytest.raises(RecipeError, match="got order; expected auto or given, since mine comes with its own split"):
            load_split(config.derive(data={"split": {"rule": "order"}}))
    finally:
        DATASETS.unregister("mine")


@pytest.mark.usefixtures("mine")
def test_a_split_that_it_does_not_have(folder_of_recordings: Path) -> None:
    data = {"dataset": "mine", "path": str(folder_of_recordings), "split": {"rule": "given"}}
    with pytest.raises(RecipeError, match="got given; expected another rule, since mine has no split of its own"):
        load_split(load_recipe("folder").derive(data=data))


def test_a_dataset_without_recordings_is_refused() -> None:
    with pytest.raises(DatasetError, match="got neither read nor split"):
        Dataset("Nothing")


@pytest.mark.parametrize("name", DATASETS.names)
def test_every_dataset_has_a_page_that_agrees(name: str) -> None:
    dataset = DATASETS[name]
    assert dataset.page == f"datasets/{name}/README.md"
    text = (REPOSITORY / dataset.page).read_text(encoding="utf-8")
    for part in ("Licence", "How to obtain", "Layout", "Split rule"):
        assert f"**{part}" in text or (name == "folder" and part in ("Licence", "How to obtain")), part
    if dataset.sensor_size is not None:
        assert "{}x{}".format(*dataset.sensor_size) in text
    if dataset.classes is not None:
        assert f"{dataset.classes} " in text
    for function in (dataset.read, dataset.split):
        assert function is None or function.__name__ in text, "the page names the Python functions"
    assert not dataset.summary.endswith(".")
    assert "\n" not in dataset.summary


def test_every_page_is_one_of_a_dataset() -> None:
    assert {path.parent.name for path in (REPOSITORY / "datasets").glob("*/README.md")} == set(DATASETS.names)


def test_the_page_of_ones_own_recordings_lists_every_rule() -> None:
    text = (REPOSITORY / "datasets" / "folder" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{rule}`" in text for rule in SPLIT_RULES)
