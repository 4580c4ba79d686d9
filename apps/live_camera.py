"""Recognise what an event camera sees, and print changes of what is decided. Copy this file and edit it.

    python apps/live_camera.py model.onnx eventcv:EVK4
    python apps/live_camera.py model.onnx tcp://127.0.0.1:7777
    python apps/live_camera.py model.onnx recording.aedat4 [speed]

The source is a camera on USB, which `stdl-events cameras` lists, another source of `stdl-events live`, or a recording
that is replayed as a camera. `GEOMETRY` makes the picture one of the size that the model was trained on.
"""

import sys

from stdl_events.errors import StdlEventsError, UserError
from stdl_events.events import open_source
from stdl_events.events.geometry import Geometry
from stdl_events.live import LiveSummary, OnnxSession, Prediction, Recogniser, run_live

# Such as Geometry(center_crop=(720, 720), scale=(128, 128)); this one takes the picture as it is.
GEOMETRY = Geometry()


class SayChanges:
    """Prints a line when the decision changes; edit `predicted` to do something else."""

    def __init__(self) -> None:
        self.decided: str | None = None

    def predicted(self, prediction: Prediction) -> None:
        decided = prediction.decision or prediction.state
        if decided != self.decided:
            self.decided = decided
            print(f"{prediction.t_us / 1e6:.2f} s: {decided} ({prediction.why})", flush=True)

    def overloaded(self, dropped_frames: int) -> None:
        print(f"this device is too slow for the model: {dropped_frames} frames dropped", file=sys.stderr)

    def ended(self, summary: LiveSummary) -> None:
        print(summary.to_text(), file=sys.stderr)


def recording_speed(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError("speed", got=repr(text), expected="a number, such as 0.5", todo="correct it") from None


def main(model: str, source: str, speed: str | None = None) -> None:
    session = OnnxSession(model)
    options = {} if speed is None else {"speed": recording_speed(speed)}
    opened = open_source(source, default_sensor_size=session.card.frame.sensor_size, **options)
    recogniser = Recogniser(session, opened.sensor_size, geometry=GEOMETRY)
    run_live(opened, recogniser, [SayChanges()])


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except StdlEventsError as error:
        print(f"live_camera: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
