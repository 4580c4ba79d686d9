"""Simulated walkers: a generated dataset of any size of people recognised by their gait. No person was recorded.

`generate_walkers` writes recordings of timestamped events, `read_walkers` reads them as a given split:

    <root>/walkers.json                              the request
    <root>/{train,test}/walker_<person>/take_<take>.h5      (or .aedat4 with faery)

The held-out takes differ. The ranges of speed (0.9 to 1.1 of the person's own), azimuth (-20 to 20 degrees off the
picture plane, walking right or left), start phase (0 to 1 of a cycle) and noise (0.3 to 1.2 background events per
second and pixel) are each cut into 8 equal bands. Training takes draw from the 1st, 3rd, 5th and 7th, held-out takes
from the 2nd, 4th, 6th and 8th, so that no held-out take has the speed, direction, start phase or noise of a training
take. Distance (body height 60 to 86 % of the picture's), position, drift and clothes vary in both alike. The people,
and the camera with its pixel mismatch, are the same on both sides.
"""

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from stdl_events.errors import DatasetError
from stdl_events.events import EventArray, open_recording, write_recording
from stdl_events.events.convert import convert
from stdl_events.recordings.datasets.folder import read_given_split
from stdl_events.recordings.entry import Split
from stdl_events.recordings.registry import Dataset
from stdl_events.recordings.simulated.dvs_pixel import PixelModel, make_sensor, simulate
from stdl_events.recordings.simulated.render import render
from stdl_events.recordings.simulated.walker import Gait, Take, draw_gaits, pose
from stdl_events.validation import JSON_ERRORS
from stdl_events.whole_file import make_folder, whole_file

GENERATOR = "stdl-events simulated walkers, version 1"
REQUEST_FILE = "walkers.json"
SUFFIXES = {"stdl-hdf5": ".h5", "aedat4": ".aedat4"}
HELD_OUT_SHARE = 0.2
BANDS = 8
RENDER_STEP_US = 4_000
_BLOCK_PICTURES = 64


@dataclass(frozen=True)
class WalkersRequest:
    """Parameters of the generator; equal requests give equal bytes.

    Attributes:
        people: number of classes.
        train_takes, test_takes: recordings of each person on each side.
        sensor_size: (width, height).
        duration_us: of each recording.
        format: "stdl-hdf5", whose files store the parameters of the simulation, or "aedat4".
    """

    people: int
    train_takes: int
    test_takes: int
    sensor_size: tuple[int, int]
    duration_us: int
    seed: int
    format: Literal["stdl-hdf5", "aedat4"] = "stdl-hdf5"

    def takes(self) -> list[tuple[str, int, int]]:
        """Return (side, person, take) of every recording."""
        sides = (("train", self.train_takes), ("test", self.test_takes))
        return [(side, person, take) for side, count in sides for person in range(self.people) for take in range(count)]

    def path(self, root: Path, side: str, person: int, take: int) -> Path:
        return root / side / f"walker_{person:02d}" / f"take_{take:03d}{SUFFIXES[self.format]}"


def generate_walkers(
    root: str | Path,
    *,
    people: int = 8,
    per_person: int = 40,
    sensor_size: tuple[int, int] = (48, 48),
    duration_us: int = 1_600_000,
    seed: int = 0,
    format: Literal["stdl-hdf5", "aedat4"] = "stdl-hdf5",
    progress: Callable[[int, int], None] | None = None,
) -> Split:
    """Write recordings of simulated walkers into `root` and return them as a split; a fifth is held out.

    Existing recordings are kept, so that the same call finishes an interrupted run. Each file is written to a temporary
    name and renamed.

    Args:
        per_person: recordings of each person, both sides together.
        format: of the files.
        progress: called with (recordings done, recordings in all) after each one.

    Raises:
        DatasetError: the request is invalid, or `root` holds something else.
        MissingExtraError: `format` is AEDAT 4, and faery is not installed.
    """
    root = Path(root)
    test_takes = max(1, round(HELD_OUT_SHARE * per_person))
    request = WalkersRequest(people, per_person - test_takes, test_takes, sensor_size, duration_us, seed, format)
    _check_request(root, request)
    _claim(root, request)
    gaits, sensor = _cast(request)
    takes = request.takes()
    for done, (side, person, number) in enumerate(takes, start=1):
        path = request.path(root, side, person, number)
        if not path.exists():
            make_folder(path.parent, error=DatasetError)
            rng = np.random.default_rng((seed, 1 + (side == "test"), person, number))
            take, noise_hz = draw_take(sensor_size, rng, held_out=side == "test")
            events = record(gaits[person], take, sensor, duration_us=duration_us, noise_hz=noise_hz, rng=rng)
            _write(path, events, sensor_size, _attributes(person, take, noise_hz))
        if progress is not None:
            progress(done, len(takes))
    return read_walkers(root)


def read_walkers(root: str | Path) -> Split:
    """Return the split that `generate_walkers` wrote.

    Raises:
        DatasetError: there are no walkers, or recordings of the request are missing.
    """
    root = Path(root)
    request = _read_request(root)
    if request is None:
        raise DatasetError(
            str(root),
            got=f"no {REQUEST_FILE}",
            expected="simulated walkers",
            todo="generate them with generate_walkers",
        )
    wanted = [request.path(root, *take) for take in request.takes()]
    missing = sum(not path.exists() for path in wanted)
    if missing:
        raise DatasetError(
            str(root), got=f"{len(wanted) - missing} of {len(wanted)} recordings", expected="all of them",
            todo="finish with the same call of generate_walkers",
        )  # fmt: skip
    split = read_given_split(root, sensor_size=request.sensor_size, labels=None, own_files=(REQUEST_FILE,))
    return Split(split.train, split.test, "of the simulated walkers: other speeds, directions, phases and noise")


def draw_take(sensor_size: tuple[int, int], rng: np.random.Generator, *, held_out: bool) -> tuple[Take, float]:
    """Draw (take, background events per second and pixel) from the bands of one side; see the module."""
    width, height = sensor_size

    def banded(low: float, high: float) -> float:
        band = 2 * int(rng.integers(BANDS // 2)) + held_out
        return low + (high - low) * (band + rng.random()) / BANDS

    # A wide picture is not filled: the figure's size and position scale with the shorter side.
    side = min(width, height)
    take = Take(
        speed=banded(0.9, 1.1),
        heading=1 if rng.random() < 0.5 else -1,
        azimuth=math.radians(banded(-20, 20)),
        start_phase=banded(0, 1),
        height_px=side * rng.uniform(0.60, 0.86),
        x_px=0.5 * width + side * rng.uniform(-0.14, 0.14),
        ground_px=0.5 * height + side * rng.uniform(0.37, 0.49),
        drift_px_per_s=side * rng.uniform(-0.03, 0.03),
        shade=(rng.uniform(0.30, 0.40), rng.uniform(0.30, 0.40), rng.uniform(0.43, 0.53), rng.uniform(0.53, 0.63)),
    )
    return take, banded(0.3, 1.2)


def record(
    gait: Gait, take: Take, sensor: PixelModel, *, duration_us: int, noise_hz: float, rng: np.random.Generator
) -> EventArray:
    """Return the events of the simulated camera for one take, from 0 to `duration_us`."""
    t_us = np.arange(0, duration_us + 1, RENDER_STEP_US)

    def log_pictures() -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
        for start in range(0, len(t_us), _BLOCK_PICTURES):
            block_us = t_us[start : start + _BLOCK_PICTURES]
            pictures_THW = np.log(render(pose(gait, take, block_us * 1e-6), sensor.sensor_size))
            yield from zip(block_us.tolist(), pictures_THW, strict=True)

    return simulate(sensor, log_pictures(), noise_hz=noise_hz, rng=rng)


def _write(
    path: Path, events: EventArray, sensor_size: tuple[int, int], attributes: dict[str, str | int | float]
) -> None:
    if path.suffix == SUFFIXES["stdl-hdf5"]:
        write_recording(path, events, sensor_size, attributes)
        return
    first = path.with_name(f".{path.stem}.{os.getpid()}.h5")
    try:
        write_recording(first, events, sensor_size, attributes)
        convert(open_recording(first), path)
    finally:
        first.unlink(missing_ok=True)


def _attributes(person: int, take: Take, noise_hz: float) -> dict[str, str | int | float]:
    plain = {name: value for name, value in asdict(take).items() if name != "shade"}
    return {"simulated": 1, "generator": GENERATOR, "person": person, "noise_hz_per_pixel": noise_hz, **plain}


def _cast(request: WalkersRequest) -> tuple[tuple[Gait, ...], PixelModel]:
    """Draw the people and the camera of a request."""
    rng = np.random.default_rng((request.seed, 0))
    return draw_gaits(request.people, rng), make_sensor(request.sensor_size, rng)


def _check_request(root: Path, request: WalkersRequest) -> None:
    checks = (
        (request.people >= 2, f"{request.people} people", "at least 2"),
        (request.train_takes >= 1, f"{request.train_takes + request.test_takes} recordings per person", "at least 2"),
        (min(request.sensor_size) >= 16, "a sensor of {}x{}".format(*request.sensor_size), "at least 16x16 pixels"),
        (request.duration_us >= RENDER_STEP_US, f"{request.duration_us} us", f"at least {RENDER_STEP_US} us"),
        (request.seed >= 0, f"the seed {request.seed}", "0 or more"),
        (request.format in SUFFIXES, f"the format {request.format!r}", " or ".join(SUFFIXES)),
    )
    for good, got, expected in checks:
        if not good:
            raise DatasetError(f"simulated walkers in {root}", got=got, expected=expected, todo="correct the request")


def _claim(root: Path, request: WalkersRequest) -> None:
    """Write the request into an empty folder, or check that the folder's request is the same."""
    made = _read_request(root)
    if made == request:
        return
    if made is not None or (root.exists() and any(root.iterdir())):
        found = f"walkers of another request, {made}" if made else "a folder with other things in it"
        raise DatasetError(
            str(root), got=found, expected=f"an empty folder, or walkers of {request}", todo="use another folder"
        )
    make_folder(root, error=DatasetError)
    with whole_file(root / REQUEST_FILE, room_for="request", error=DatasetError) as file:
        file.write(f"{json.dumps({'generator': GENERATOR} | asdict(request), indent=2)}\n".encode())


def _read_request(root: Path) -> WalkersRequest | None:
    path = root / REQUEST_FILE
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text())
        generator = document.pop("generator")
        request = WalkersRequest(**document | {"sensor_size": tuple(document["sensor_size"])})
    except (*JSON_ERRORS, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            str(path), got=f"an unreadable file ({error})", expected="the request of generate_walkers",
            todo="generate the walkers in another folder",
        ) from None  # fmt: skip
    if generator != GENERATOR:
        raise DatasetError(
            str(path), got=f"{generator!r}", expected=f"{GENERATOR!r}", todo="simulate into another folder"
        )
    return request


def walkers_folder(*, people: int, per_person: int, sensor_size: tuple[int, int], duration_us: int, seed: int) -> Path:
    """Return a folder under `runs/` for each request of `generate_walkers`."""
    width, height = sensor_size
    return Path("runs") / f"walkers-{people}x{per_person}-{width}x{height}-{duration_us}us-{seed}"


def _sensor_and_classes(*, people: int, sensor_size: tuple[int, int], **_: int) -> tuple[tuple[int, int], int]:
    return sensor_size, people


DATASET = Dataset(
    "Simulated walkers: people recognised by their gait; made where they are missing",
    split=generate_walkers,
    options=("walkers",),
    default_folder=walkers_folder,
    makes=_sensor_and_classes,
    page="datasets/walkers/README.md",
)
