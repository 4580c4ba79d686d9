"""Checksums of the decoded fields of every real recording: `python tests/events/manifest.py FOLDER` rewrites them.

A checksum that changes names the file, or the folder of small files, and the field whose decoding changed.
"""

import hashlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

from stdl_events.events import RecordingWarning, open_recording

MANIFEST = Path(__file__).with_name("recordings_manifest.json")
SINGLE_FILES = ("formats", "objects", "hand_wave", "walking")
FOLDERS_OF_SMALL_FILES = ("nmnist/train", "poker_dvs")
NO_EVENTS = {"formats/es/generic.es": "a stream of text, not of brightness changes"}
_OTHER_SUFFIXES = (".xml",)


def recording_files(folder: Path) -> list[Path]:
    """Return the recordings at any depth of `folder`, sorted by name."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("LICENSE"))
    return [path for path in files if path.suffix not in _OTHER_SUFFIXES]


def describe(files: list[Path]) -> dict[str, Any]:
    """Return format, size, number of events, and a checksum per field over all events of `files` in this order."""
    digests = {name: hashlib.sha256() for name in "txyp"}
    formats, sizes, count, backward_steps = set(), set(), 0, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordingWarning)
        for path in files:
            recording = open_recording(path)
            events = recording.read()
            formats.add(recording.format)
            sizes.add("x".join(map(str, recording.sensor_size)))
            count += len(events)
            backward_steps += recording.summary.backward_steps
            for name, digest in digests.items():
                digest.update(events[name].tobytes())
    facts = {"files": len(files), "formats": sorted(formats), "sizes": len(sizes) if len(sizes) > 1 else sizes.pop()}
    fields = {name: digest.hexdigest()[:16] for name, digest in digests.items()}
    return {**facts, "events": count, "backward_steps": backward_steps, **fields}


def groups(recordings_dir: Path) -> dict[str, list[Path]]:
    """Return the files of every entry: one file, or all small files of one folder."""
    found = {}
    for name in SINGLE_FILES:
        for path in recording_files(recordings_dir / name):
            key = path.relative_to(recordings_dir).as_posix()
            if key not in NO_EVENTS:
                found[key] = [path]
    for name in FOLDERS_OF_SMALL_FILES:
        for path in recording_files(recordings_dir / name):
            found.setdefault(path.parent.relative_to(recordings_dir).as_posix() + "/", []).append(path)
    return found


if __name__ == "__main__":
    entries = {key: describe(files) for key, files in sorted(groups(Path(sys.argv[1])).items())}
    lines = ",\n".join(f"  {json.dumps(key)}: {json.dumps(entry)}" for key, entry in entries.items())
    MANIFEST.write_text("{\n" + lines + "\n}\n")
