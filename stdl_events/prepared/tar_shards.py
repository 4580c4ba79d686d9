"""A store as tar shards in the convention of webdataset, for training elsewhere; writing them needs no package.

    <folder>/dataset.json          classes, frame spec, split, and the shards with their numbers of clips
    <folder>/train-000000.tar ...  KEY.npy: frames, KEY.cls: label, KEY.json: facts of each clip; `test-...` likewise

Clips to train on are written in a seeded random order, since readers shuffle little beyond a shard. Equal stores, seeds
and sizes give equal bytes.

Shape letters: T frames of a clip, C=2 polarities, H rows, W columns.
"""

import io
import itertools
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stdl_events import __version__
from stdl_events.errors import DatasetError
from stdl_events.prepared.manifest import SIDES, Side
from stdl_events.prepared.store import PreparedSet
from stdl_events.whole_file import whole_folder

DATASET_FILE = "dataset.json"
_MB = 10**6


@dataclass(frozen=True)
class TarShard:
    """A shard: its file's name, its number of clips, and the bytes of the file."""

    file: str
    clips: int
    bytes: int


def write_tar_shards(
    store: PreparedSet,
    folder: str | Path,
    *,
    shard_mb: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[Side, list[TarShard]]:
    """Write all clips of `store` into a new folder, atomically; return the shards of each side that has clips.

    Args:
        shard_mb: a shard ends when it has so many megabytes.
        seed: of the order of the clips to train on.
        progress: called with (clips done, clips in all).

    Raises:
        DatasetError: the folder is not empty or not writable, or a clip is damaged.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(
            str(folder), got="something that is already there", expected="a new or an empty folder",
            todo="choose another OUT",
        )  # fmt: skip
    written: dict[Side, list[TarShard]] = {}
    done = itertools.count(1)
    with whole_folder(folder, room_for="clips", error=DatasetError) as partial:
        for side in SIDES:
            number_N = store.side(side).number_N
            if side == "train":
                number_N = np.random.default_rng(seed).permutation(number_N)
            samples = enumerate(number_N.tolist())
            for first in samples:
                shards = written.setdefault(side, [])
                path = partial / f"{side}-{len(shards):06d}.tar"
                clips = 0
                with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
                    for position, number in itertools.chain([first], samples):
                        _add(tar, position, number, store)
                        clips += 1
                        if progress is not None:
                            progress(next(done), len(store))
                        if tar.offset >= shard_mb * _MB:
                            break
                shards.append(TarShard(path.name, clips, path.stat().st_size))
        text = json.dumps(_description(store, written, seed), indent=2, ensure_ascii=False)
        (partial / DATASET_FILE).write_text(f"{text}\n", encoding="utf-8")
    return written


def _add(tar: tarfile.TarFile, position: int, number: int, store: PreparedSet) -> None:
    """Add the three files of clip `number`, which is at `position` on its side."""
    frames = io.BytesIO()
    np.lib.format.write_array(frames, store.table.read(number), version=(1, 0), allow_pickle=False)
    label, entry = int(store.table.label_N[number]), store.manifest.entries[store.table.entry_N[number]]
    facts = {
        "recording": entry.key, "class": store.classes[label], "subject": entry.subject, "session": entry.session,
        "t_start_us": int(store.table.t_start_us_N[number]),
    }  # fmt: skip
    text = json.dumps(facts, ensure_ascii=False).encode()
    for suffix, data in (("npy", frames.getvalue()), ("cls", str(label).encode()), ("json", text)):
        member = tarfile.TarInfo(f"{position:08d}.{suffix}")  # without time and owner: equal stores, equal bytes
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))


def _description(store: PreparedSet, written: Mapping[Side, list[TarShard]], seed: int) -> dict[str, Any]:
    manifest = store.manifest
    return {
        "made_by": f"stdl-events {__version__}",
        "dataset": manifest.dataset,
        "classes": manifest.classes,
        "sensor_size": manifest.sensor_size,
        "frames": manifest.frames.model_dump(mode="json"),
        "shape_TCHW": store.table.shape_TCHW,
        "split": manifest.split.checked,
        "seed": seed,
        "shards": {side: [asdict(shard) for shard in shards] for side, shards in written.items()},
    }
