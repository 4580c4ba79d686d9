"""Small recordings of three separable classes, and a configuration that trains in seconds."""

from pathlib import Path

import numpy as np
import pytest
from class_recordings import write_classes

from stdl_events.recipes import load_recipe
from stdl_events.training.fit import fit
from stdl_events.training.settings import TrainConfig


@pytest.fixture(scope="session")
def folder_of_recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`train/<class>/` with 6 and `test/<class>/` with 3 recordings of two clips each."""
    root = tmp_path_factory.mktemp("recordings")
    write_classes(root, {"train": 6, "test": 3}, np.random.default_rng(0))
    return root


@pytest.fixture
def config(folder_of_recordings: Path) -> TrainConfig:
    """Three layers in two blocks, with dropout and augmentation, on 36 clips of 4 frames."""
    return load_recipe("folder").derive(
        data={"path": str(folder_of_recordings), "split": {"rule": "given"}},
        frames={"steps": 4, "dt_us": 20_000},
        network={"notation": "8C3-8C3-AP2-DP(0.1)-12C3"},
        learning={"rho": 0.95, "memory": "plain"},
        augment={"shift_px": 1},
        optimiser={"lr": 5e-3},
        epochs=2,
        batch_size=8,
        log_every_steps=2,
        device="cpu",
    )


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, folder_of_recordings: Path) -> Path:
    """A finished run of one epoch on `folder_of_recordings`, for tests that only read it."""
    config = load_recipe("folder").derive(
        data={"path": str(folder_of_recordings), "split": {"rule": "given"}},
        frames={"steps": 4, "dt_us": 20_000},
        network={"notation": "8C3-AP2-8C3"},
        learning={"memory": "plain"},
        optimiser={"lr": 5e-3},
        epochs=1,
        batch_size=12,
        device="cpu",
    )
    run = tmp_path_factory.mktemp("small") / "run"
    fit(config, run, quiet=True)
    return run
