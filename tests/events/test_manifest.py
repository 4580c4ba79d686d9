"""Every real recording opens, and every field decodes to the checksum of the checked manifest."""

import json
from pathlib import Path

import manifest
import pytest

ENTRIES = json.loads(manifest.MANIFEST.read_text())


def test_manifest_covers_every_recording(recordings_dir: Path) -> None:
    assert sorted(manifest.groups(recordings_dir)) == sorted(ENTRIES)
    assert sum(entry["files"] for entry in ENTRIES.values()) > 1200


@pytest.mark.parametrize("key", ENTRIES)
def test_every_field_decodes_as_before(recordings_dir: Path, key: str) -> None:
    assert manifest.describe(manifest.groups(recordings_dir)[key]) == ENTRIES[key]


def test_files_without_events_are_no_recordings(recordings_dir: Path) -> None:
    for key in manifest.NO_EVENTS:
        with pytest.raises(ValueError, match="expected DVS or ATIS events"):
            manifest.describe([recordings_dir / key])
