"""`prepare`: cut all clips of a dataset once, into a store for training."""

import os
import re
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any
from zlib import crc32

import typer

from stdl_events.cli.next_step import say_next
from stdl_events.cli.options.data_options import data_settings
from stdl_events.cli.options.geometry_options import (
    CenterCropOption,
    CropOption,
    FlipOption,
    RotateOption,
    ScaleByOption,
    ScaleOption,
    geometry_settings,
)
from stdl_events.cli.options.label_options import LabelsOption, LabelTimesOption, LayoutOption, label_settings
from stdl_events.cli.options.recording_options import (
    ColumnsOption,
    FormatOption,
    OrientationOption,
    RepairOption,
    SensorOption,
    StreamOption,
    StrictOption,
    TimeUnitOption,
    parse_sensor_size,
)
from stdl_events.cli.options.registry_options import FilterOption, argument_of
from stdl_events.cli.options.split_options import SplitOption, ValidationOption, split_settings
from stdl_events.cli.output import messages, print_json, results
from stdl_events.errors import RecipeError
from stdl_events.events.defects import count_of
from stdl_events.recordings.registry import DATASETS
from stdl_events.recordings.splits.sides import COUNTED, Side

if TYPE_CHECKING:
    from stdl_events.frames import FrameSpec
    from stdl_events.prepared import Preparation

MB = 10**6
MAX_WORD = 24


def register(app: typer.Typer) -> None:
    """Add this stage's commands to `app`."""
    app.command()(prepare)
    app.command()(webdataset)


def prepare(
    dataset: Annotated[str, argument_of(DATASETS, "DATASET", "The kind of recordings.")],
    frames: Annotated[
        str,
        typer.Option(
            help="T=10 frames per clip with by=count or by=time (one clip of a whole recording), or with dt=20ms or "
            "n=5000 (as many clips as fit); grid=clock puts clips of dt on multiples of their length in the clock; "
            "size=64 or downscale=2; cap=255."
        ),
    ],
    data: Annotated[Path | None, typer.Option(help="Folder of the recordings.")] = None,
    filters: FilterOption = None,
    rotate: RotateOption = None,
    flip: FlipOption = None,
    crop: CropOption = None,
    center_crop: CenterCropOption = None,
    scale: ScaleOption = None,
    scale_by: ScaleByOption = None,
    out: Annotated[
        Path | None, typer.Option(metavar="STORE", help="Folder of the store.  [default: prepared/<dataset>-<frames>]")
    ] = None,
    split: SplitOption = None,
    validation: ValidationOption = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes.  [default: one per core]")] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="tcp://HOST:PORT",
            help="Cut the clips on the workers of this Dask scheduler instead. STORE and the recordings are on a file "
            "system that all share.",
        ),
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Skip unreadable recordings, and list them.")] = False,
    repair: RepairOption = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare all recordings by content, not by size and modification time.")
    ] = False,
    format: FormatOption = None,
    sensor: SensorOption = None,
    stream: StreamOption = None,
    time_unit: TimeUnitOption = None,
    columns: ColumnsOption = None,
    strict: StrictOption = False,
    orientation: OrientationOption = None,
    labels: LabelsOption = None,
    label_times: LabelTimesOption = None,
    layout: LayoutOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Cut all clips of a dataset once, into a store for training: train RECIPE --data STORE.

    The same command resumes an interrupted run, and cuts changed recordings again.

    Example: stdl-events prepare nmnist --data recordings/nmnist --frames T=10,by=count
    """
    from stdl_events.events.filter_spec import FilterSpec
    from stdl_events.prepared import prepare as prepare_store
    from stdl_events.prepared.frames_text import parse_frames
    from stdl_events.recordings.orientation import parse_orientations
    from stdl_events.training.data_settings import FrameSettings
    from stdl_events.training.load_recordings import recordings_folder, split_recordings

    if workers is not None and scheduler is not None:
        raise RecipeError(
            "prepare", got="--workers and --scheduler", expected="one of them", todo="leave --workers out: the cluster "
            "has its own",
        )  # fmt: skip
    asked, asked_filters = parse_frames(frames), FilterSpec.parse(filters or ())
    asked_split = split_settings(split, validation)
    settings = data_settings(
        {
            "dataset": dataset,
            "path": None if data is None else str(data.absolute()),
            "format": format,
            "sensor_size": parse_sensor_size(sensor),
            "stream": stream,
            "time_unit": time_unit,
            "columns": columns,
            "orientation": parse_orientations(orientation or ()),
            "split": asked_split,
            **label_settings(labels, label_times, layout),
            "skip_bad": skip_bad,
            "repair": repair,
            "strict": strict,
        }
    )
    with messages.status("looking at the recordings"):
        chosen = split_recordings(settings, FrameSettings.model_validate(asked.settings), "prepare")
    geometry = geometry_settings(rotate, flip, crop, center_crop, scale, scale_by)
    frame_spec = asked.spec(chosen.train.sensor_size, asked_filters, geometry)
    with _Bar() as bar:
        preparation = prepare_store(
            chosen,
            frame_spec,
            out or default_store(dataset, frame_spec),
            dataset=dataset,
            root=recordings_folder(settings, "prepare"),
            split_settings=asked_split.model_dump(),
            workers=workers or len(os.sched_getaffinity(0)),
            scheduler=scheduler,
            skip_bad=skip_bad,
            verify=verify,
            progress=bar.show,
        )
    if as_json:
        print_json(summary(preparation))
    else:
        _print_summary(preparation)


def webdataset(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A complete store that prepare wrote.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder for the shards.")],
    shard_mb: Annotated[int, typer.Option("--shard-mb", min=1, help="Megabytes of a shard.")] = 256,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order of the clips to train on.")] = 0,
    verify: Annotated[bool, typer.Option("--verify", help="Compare all recordings with the store by content.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Write the clips of a store as tar shards that the package webdataset reads.

    Each clip is KEY.npy (frames, uint8), KEY.cls (label) and KEY.json (recording, subject, session, time);
    OUT/dataset.json has the classes, the frame spec and the list of shards.
    """
    from stdl_events.prepared import PreparedSet
    from stdl_events.prepared.tar_shards import write_tar_shards

    opened = PreparedSet.open(store, verify=verify)
    with _Bar("writing", "clips") as bar:
        bar.show(0, len(opened))
        written = write_tar_shards(opened, out, shard_mb=shard_mb, seed=seed, progress=bar.show)
    shards = {side: [shard.file for shard in shards] for side, shards in written.items()}
    clips = {side: sum(shard.clips for shard in shards) for side, shards in written.items()}
    size = sum(shard.bytes for shards in written.values() for shard in shards)
    if as_json:
        print_json({"path": str(out), "shards": shards, "clips": clips, "bytes": size})
    else:
        parts = [
            f"{side} {count_of(clips[side], 'clip')} in {count_of(len(files), 'shard')}"
            for side, files in shards.items()
        ]
        results.print(f"{out}: {', '.join(parts)}; {size / MB:.1f} MB")
        last = len(shards["train"]) - 1
        messages.print(f'next: webdataset.WebDataset("{out}/train-{{000000..{last:06d}}}.tar", shardshuffle=True)')


def default_store(dataset: str, frame_spec: "FrameSpec") -> Path:
    """Return a folder for each frame spec and its filters; a long list of pixels is named by its checksum."""
    from stdl_events.prepared.frames_text import frames_text

    cut = re.sub("[ -]+", "-", re.sub("[=:]", "", frames_text(frame_spec.unfiltered)).replace(",", "-"))
    words = [re.sub("[=:+]", "", word) for word in frame_spec.filters.words]
    short = [word if len(word) <= MAX_WORD else f"hot_pixels{crc32(word.encode()):08x}" for word in words]
    return Path("prepared") / "-".join([dataset.replace(":", "-"), cut, *short])


def summary(preparation: "Preparation") -> dict[str, Any]:
    """Return the summary as a JSON-ready dictionary."""

    manifest = preparation.manifest
    return {
        "store": str(preparation.store),
        "dataset": manifest.dataset,
        "frames": manifest.frames.model_dump(mode="json"),
        "split": manifest.split.checked,
        "recordings": len(manifest.entries),
        "takes": manifest.takes[0],
        "made": preparation.made,
        "kept": preparation.kept,
        "clips": {side: manifest.clips_on(side) for side in manifest.sides},
        "without_clips": sum(not entry.clips for entry in manifest.entries),
        "bytes": manifest.data_bytes,
        "bad": [{"key": bad.key, "error": str(bad)} for bad in manifest.bad],
    }


def _print_summary(preparation: "Preparation") -> None:
    from stdl_events.recordings.takes import takes_text

    facts = summary(preparation)
    manifest = preparation.manifest
    shape = " x ".join(map(str, (manifest.frames.steps, *manifest.frames.frame_shape_CHW)))
    clips = _clips(facts["clips"])
    messages.print(facts["split"])
    for bad in facts["bad"]:
        messages.print(f"left out {bad['key']}: {bad['error']}")
    recordings = count_of(facts["recordings"], "recording")
    results.print(
        f"{facts['store']}: {clips}, of {shape}, "
        f"from {recordings} ({facts['without_clips']} without one, {len(facts['bad'])} bad ones left out); "
        f"{facts['bytes'] / MB:.1f} MB; {facts['made']} cut now, {facts['kept']} there already"
    )
    if facts["takes"]:
        messages.print(f"of the recordings, {takes_text(*manifest.takes)}")
    say_next("train", "RECIPE", "--data", facts["store"])


def _clips(counts: dict[Side, int]) -> str:
    texts = [f"{count} {COUNTED[side]}" for side, count in counts.items()]
    return ", ".join([texts[0].replace(" to train", " clips to train"), *texts[1:]])


class _Bar:
    """Recordings or clips done, their rate and the time left, on stderr."""

    def __init__(self, work: str = "preparing", unit: str = "recordings") -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn(f"{{task.completed}}/{{task.total}} {unit}"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=messages,
        )
        self._work = work
        self._first = 0
        self._began_s = time.monotonic()

    def show(self, done: int, total: int) -> None:
        """Advance the bar; the first call gives the recordings kept, which do not count for the rate."""
        if not self._bar.tasks:
            self._first, self._began_s = done, time.monotonic()
            self._bar.add_task(self._work, total=total, completed=done, rate="")
            return
        rate_hz = (done - self._first) / max(time.monotonic() - self._began_s, 1e-9)
        self._bar.update(self._bar.tasks[0].id, completed=done, rate=f"{rate_hz:,.1f}/s")

    def __enter__(self) -> "_Bar":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
