"""The frames of the present `FRAMING_VERSION`. A store names its version, and another version rejects it.

If this fails because frames are made differently on purpose, raise FRAMING_VERSION and put in the new digests: stores
of before are then refused instead of mixed with frames of now.
"""

import hashlib
from pathlib import Path

import pytest
from binary_recordings import SIZE, write_binary

from stdl_events.frames import FrameSpec
from stdl_events.prepared.manifest import FRAMING_VERSION
from stdl_events.recordings import Entry, clips_of

DIGESTS = {
    "count": (2, "f62af1384da1b429"),
    "time": (2, "5a771933b3df63c8"),
    "drop": (2, "c5c6c9d2301cdceb"),
    "dt": (2, "7b878e7b0aa94a18"),
    "n": (2, "10207093a7cbce1d"),
}


@pytest.mark.parametrize("name", ["count", "time", "drop", "dt", "n"])
def test_frames_are_those_of_the_version(tmp_path: Path, name: str) -> None:
    settings = {
        "count": {"kind": "recording", "by": "count"},
        "time": {"kind": "recording", "by": "time"},
        "drop": {"kind": "recording", "by": "count", "remainder": "drop"},
        "dt": {"kind": "stream", "dt_us": 7_000, "downscale": 3},
        "n": {"kind": "stream", "events_per_frame": 40, "cap": 1},
    }[name]
    spec = FrameSpec.parse({"steps": 7, "sensor_size": SIZE, "cap": 255, **settings})
    write_binary(tmp_path / "r.bin", seed=5, events=1000)
    frames_NTCHW, t_start_us_N = clips_of(Entry("r", tmp_path / "r.bin", 0, format="nmnist"), spec)
    assert len(frames_NTCHW) >= 1
    digest = hashlib.sha256(frames_NTCHW.astype("<u2").tobytes() + t_start_us_N.astype("<i8").tobytes()).hexdigest()
    assert (FRAMING_VERSION, digest[:16]) == DIGESTS[name]
