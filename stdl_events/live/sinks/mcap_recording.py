"""Recording a run to MCAP, which Foxglove opens: events, pictures of them and predictions; the only door to mcap.

| topic | schema | content |
|---|---|---|
| /events | stdl_events.Events | each packet of events, as base64 of packed records |
| /picture | foxglove.RawImage | the packet's pixels: brighter red, darker blue; at most `PICTURE_SIDE` pixels a side |
| /predictions | stdl_events.Prediction | the objects of `json-lines` |

All messages are JSON and their schemas JSON Schema. Their times are those of the source's clock. `events.formats.mcap`
reads the events back, without the package.

Source: docs.foxglove.dev, schemas, RawImage.
"""

import base64
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stdl_events.errors import RecordingError
from stdl_events.events.formats.format import require_sides
from stdl_events.events.formats.mcap import EVENTS_SCHEMA, RECORD_DTYPE
from stdl_events.events.stream import EventArray
from stdl_events.growing_file import GrowingFile
from stdl_events.live.recogniser import Prediction
from stdl_events.live.sinks.extras import missing_extra

MAX_PIXELS = 65536
PICTURE_SIDE = 320
FLUSH_S = 1.0
_MESSAGE_EVENTS = 1 << 18
_CHUNK_BYTES = 4 << 20
_BACKGROUND, _DARKER, _BRIGHTER = (24, 24, 27), (96, 165, 250), (248, 113, 113)

_TIME = {
    "type": "object", "title": "time",
    "properties": {"sec": {"type": "integer", "minimum": 0},
                   "nsec": {"type": "integer", "minimum": 0, "maximum": 999_999_999}},
}  # fmt: skip
_COUNT = {"type": "integer", "minimum": 0}
_BYTES = {"type": "string", "contentEncoding": "base64"}
_NAME = {"type": ["string", "null"]}
SCHEMAS: dict[str, tuple[str, dict[str, Any]]] = {
    "/events": (EVENTS_SCHEMA, {
        "timestamp": _TIME, "width": _COUNT, "height": _COUNT, "count": _COUNT,
        "events": _BYTES | {"description": "records of 13 bytes, little-endian: int64 t in us, uint16 x, uint16 y, "
                            "uint8 p, 1 for brighter; the origin is at the top left"},
    }),
    "/picture": ("foxglove.RawImage", {
        "timestamp": _TIME, "frame_id": {"type": "string"}, "width": _COUNT, "height": _COUNT,
        "encoding": {"type": "string"}, "step": _COUNT, "data": _BYTES,
    }),
    "/predictions": ("stdl_events.Prediction", {
        "timestamp": _TIME, "t_us": {"type": "integer"}, "t_start_us": {"type": ["integer", "null"]},
        "label": {"type": "string"}, "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
        "decision": _NAME, "state": {"type": "string"}, "why": {"type": "string"}, "clip": _COUNT, "step": _COUNT,
        "final": {"type": "boolean"}, "latency_us": _COUNT, "decided_after": {"type": ["integer", "null"]},
    }),
}  # fmt: skip


class McapRecording:
    """A new MCAP file.

    Attributes:
        events: number of events in the file on the disk.

    Raises:
        RecordingError: the file exists, or cannot be made.
        MissingExtraError: mcap is not installed.
    """

    def __init__(self, path: Path, sensor_size: tuple[int, int]) -> None:
        require_sides(path, sensor_size, MAX_PIXELS)
        try:
            from mcap.writer import CompressionType, Writer
        except ImportError:
            raise missing_extra(f"--record {path.name}", "mcap", "mcap") from None
        self.events = self._count = 0
        self._size = sensor_size
        self._stream = _Held(GrowingFile(path, room_for="events", error=RecordingError))
        self._writer = Writer(self._stream, chunk_size=_CHUNK_BYTES, compression=CompressionType.LZ4)  # type: ignore[arg-type]
        self._writer.start(library="stdl-events")
        self._channels = {topic: self._channel(topic, name, fields) for topic, (name, fields) in SCHEMAS.items()}
        self._flush()

    def append(self, events: EventArray) -> None:
        """Add `events` and a picture of them.

        Raises:
            OSError: they cannot be written; the file holds `events` of those before, and no index.
        """
        for start in range(0, len(events), _MESSAGE_EVENTS):
            self._add("/events", int(events["t"][start]), self._packed(events[start : start + _MESSAGE_EVENTS]))
        if len(events):
            self._add("/picture", int(events["t"][-1]), _picture(events, self._size))
        self._count += len(events)
        if time.monotonic() >= self._flushed_s + FLUSH_S or self._stream.held_bytes > _CHUNK_BYTES:
            self._flush()

    def predict(self, prediction: Prediction) -> None:
        """Add a prediction, at the end of its frame."""
        self._add("/predictions", prediction.t_us, json.loads(prediction.to_json()))

    def close(self) -> None:
        """Write the rest and the index.

        Raises:
            OSError: see `append`.
        """
        try:
            if not self._stream.is_full:
                self._writer.finish()
                self._stream.commit()
                self.events = self._count
        finally:
            self._stream.file.close()

    def _channel(self, topic: str, name: str, fields: dict[str, Any]) -> int:
        schema = json.dumps({"title": name, "type": "object", "properties": fields}).encode()
        return self._writer.register_channel(topic, "json", self._writer.register_schema(name, "jsonschema", schema))

    def _add(self, topic: str, t_us: int, message: dict[str, Any]) -> None:
        t_ns = max(0, t_us) * 1_000
        stamp = {"sec": t_ns // 1_000_000_000, "nsec": t_ns % 1_000_000_000}
        data = json.dumps({"timestamp": stamp, **message}).encode()
        self._writer.add_message(self._channels[topic], log_time=t_ns, publish_time=t_ns, data=data)

    def _packed(self, events: EventArray) -> dict[str, Any]:
        width, height = self._size
        packed = base64.b64encode(events.astype(RECORD_DTYPE).tobytes()).decode()
        return {"width": width, "height": height, "count": len(events), "events": packed}

    def _flush(self) -> None:
        self._writer.flush()
        self._stream.commit()
        self.events, self._flushed_s = self._count, time.monotonic()


class _Held:
    """A stream for the writer; `commit` brings all that was written to the disk, or nothing.

    Attributes:
        held_bytes: since the last `commit`.
        is_full: there was no room.
    """

    def __init__(self, file: GrowingFile) -> None:
        self.file = file
        self.is_full = False
        self.held_bytes = 0
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self.held_bytes += len(data)
        return len(data)

    def tell(self) -> int:
        return self.file.size + self.held_bytes

    def flush(self) -> None:
        """Hold on: `commit` writes."""

    def commit(self) -> None:
        """Write what is held.

        Raises:
            OSError: there is no room; the file is as it was before.
        """
        self.is_full = True
        self.file.write(b"".join(self._parts))
        self.is_full, self.held_bytes = False, 0
        self._parts.clear()


def _picture(events: EventArray, sensor_size: tuple[int, int]) -> dict[str, Any]:
    """Return a RawImage of the newest event of each pixel."""
    shrink = -(-max(sensor_size) // PICTURE_SIDE)
    width, height = (-(-side // shrink) for side in sensor_size)
    pixels_HWC: npt.NDArray[np.uint8] = np.full((height, width, 3), _BACKGROUND, np.uint8)
    colours = np.array([_DARKER, _BRIGHTER], np.uint8)
    pixels_HWC[events["y"] // shrink, events["x"] // shrink] = colours[events["p"].astype(np.intp)]
    data = base64.b64encode(pixels_HWC.tobytes()).decode()
    return {
        "frame_id": "camera", "width": width, "height": height, "encoding": "rgb8", "step": 3 * width, "data": data
    }  # fmt: skip
