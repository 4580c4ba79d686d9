"""Fixtures of small recordings at given paths, and of simulated walkers."""

from collections.abc import Callable
from pathlib import Path
from zlib import crc32

import pytest
from small_recordings import SIZE, draw_events

from stdl_events.events import write_recording
from stdl_events.events.stream import EventArray
from stdl_events.recordings import Split, generate_walkers


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a recording at a path below the test's folder; each path has different events."""

    def write_at(name: str, events: EventArray | None = None, size: tuple[int, int] = SIZE) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.with_name(f"{path.name}.h5")  # what a file is, its content says
        write_recording(written, draw_events(crc32(name.encode())) if events is None else events, size)
        return written.rename(path)

    return write_at


@pytest.fixture(scope="session")
def walkers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Split]:
    """Three simulated people, ten short takes each."""
    root = tmp_path_factory.mktemp("walkers") / "small"
    return root, generate_walkers(root, people=3, per_person=10, sensor_size=(32, 24), duration_us=200_000, seed=5)
