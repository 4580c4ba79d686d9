"""Recognise what an event camera sees, and print changes of the class. Copy this file and edit it.

    python apps/live_camera.py model.onnx recording.aedat4 [speed]

The source is a recording that is replayed as a camera; any other event source has the same interface.
"""

import sys

from stdl_events.errors import StdlEventsError
from stdl_events.events import ReplaySource, open_recording
from stdl_events.live import LiveSummary, OnnxSession, Prediction, Recogniser, run_live


class SayChanges:
    """Prints a line when the recognised class changes; edit `predicted` to do something else."""

    def __init__(self) -> None:
        self.label: str | None = None

    def predicted(self, prediction: Prediction) -> None:
        if prediction.label != self.label:
            self.label = prediction.label
            print(
                f"{prediction.t_us / 1e6:.2f} s: {self.label} ({prediction.probabilities[self.label]:.0%})", flush=True
            )

    def overloaded(self, dropped_frames: int) -> None:
        print(f"this device is too slow for the model: {dropped_frames} frames dropped", file=sys.stderr)

    def ended(self, summary: LiveSummary) -> None:
        print(summary.to_text(), file=sys.stderr)


def main(model: str, source: str, speed: str = "1.0") -> None:
    session = OnnxSession(model)
    recording = open_recording(source)
    recogniser = Recogniser(session, recording.sensor_size)
    run_live(ReplaySource(recording, speed=float(speed)), recogniser, [SayChanges()])


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except StdlEventsError as error:
        print(f"live_camera: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
