"""The sink `terminal`: a bar for each class, drawn over and over in a terminal; lines where there is none."""

import atexit
import threading
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.text import Text

from stdl_events.errors import UserError, printable
from stdl_events.live.decision import WORDS
from stdl_events.live.protocols import Sink
from stdl_events.live.recogniser import Prediction
from stdl_events.live.sinks.lines import Lines, short, tell
from stdl_events.live.summary import LiveSummary

# Shortest interval between two pictures.
REDRAW_S = 0.1
CLOSE_S = 1.0
COLUMNS, NAME_COLUMNS, ROWS = 80, 16, 12
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def open_terminal(where: str) -> Sink:
    """Open the sink `terminal`, which is `lines` where the standard output is none."""
    if where:
        raise UserError(f"sink terminal:{where}", got=where, expected="terminal alone", todo="leave it out")
    console = Console(highlight=False)
    return Bars(console) if console.is_terminal and not console.is_dumb_terminal else Lines()


@dataclass(frozen=True)
class Scene:
    """What a picture shows.

    Attributes:
        t0_us: start of the run in the source's clock.
        summary: the newest counts; None in the first second.
    """

    prediction: Prediction
    t0_us: int
    summary: LiveSummary | None = None


class Bars:
    """A `StatusSink` that draws by a thread of its own, so that a terminal that is held stops nothing."""

    name = "terminal"

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)
        self._scene: Scene | None = None
        self._summary: LiveSummary | None = None
        self._changed, self._ended = threading.Event(), threading.Event()
        atexit.register(self._live.stop)  # the cursor is shown again, whatever ends the program
        self._thread = threading.Thread(target=self._draw, name="stdl-events terminal", daemon=True)
        self._thread.start()

    def predicted(self, prediction: Prediction) -> None:
        t_us = prediction.t_us if prediction.t_start_us is None else prediction.t_start_us
        before = self._scene
        starts = before is None or prediction.t_us < before.prediction.t_us
        self._show(Scene(prediction, t_us if starts or before is None else before.t0_us, self._summary))

    def overloaded(self, dropped_frames: int) -> None:
        """The picture counts dropped frames."""

    def status(self, summary: LiveSummary) -> None:
        self._summary = summary
        if self._scene is not None:
            self._show(Scene(self._scene.prediction, self._scene.t0_us, summary))

    def ended(self, summary: LiveSummary) -> None:
        self._ended.set()
        self._changed.set()
        self._thread.join(CLOSE_S)
        atexit.unregister(self._live.stop)
        if not self._thread.is_alive():
            tell(summary.to_text())

    def _show(self, scene: Scene) -> None:
        self._scene = scene
        self._changed.set()

    def _draw(self) -> None:
        self._changed.wait()
        if self._scene is None:
            return
        with self._live:
            while self._changed.wait() and not self._ended.is_set():
                self._changed.clear()
                self._live.update(self._picture(), refresh=True)
                self._ended.wait(REDRAW_S)
            self._live.update(self._picture(), refresh=True)

    def _picture(self) -> Text:
        columns = min(COLUMNS, self._live.console.width)
        return Text() if self._scene is None else picture(self._scene, columns)


def picture(scene: Scene, columns: int = COLUMNS) -> Text:
    """Return the decision, a bar for each of the most probable classes in the model's order, and the counts."""
    prediction = scene.prediction
    ranked = sorted(prediction.probabilities, key=lambda label: -prediction.probabilities[label])[:ROWS]
    lines = [Text(_cut(_headline(scene), columns), style="bold")]
    for label, probability in prediction.probabilities.items():
        if label in ranked:
            believed = label == prediction.decision
            lines.append(Text(_bar(label, probability, columns), style="green" if believed else ""))
    if len(prediction.probabilities) > ROWS:
        lines.append(Text(f"and {len(prediction.probabilities) - ROWS} more classes", style="dim"))
    if scene.summary is not None:
        lines.append(Text(_cut(_counts(scene.summary), columns), style="dim"))
    return Text("\n").join(lines)


def _headline(scene: Scene) -> str:
    prediction = scene.prediction
    word = prediction.decision or WORDS.get(prediction.state, "undecided")
    why = f"  ({printable(prediction.why)})" if prediction.why else ""
    return f"{(prediction.t_us - scene.t0_us) / 1e6:.1f} s  {short(word)}{why}  {prediction.latency_us / 1e3:.2f} ms"


def _bar(label: str, probability: float, columns: int) -> str:
    name = printable(label)
    name = name if len(name) <= NAME_COLUMNS else f"{name[: NAME_COLUMNS - 1]}…"
    room = max(1, columns - NAME_COLUMNS - 6)
    eighths = round(min(max(probability, 0.0), 1.0) * room * 8)
    bar = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    return f"{name:<{NAME_COLUMNS}} {bar:<{room}} {probability:.2f}"


def _counts(summary: LiveSummary) -> str:
    lost = {"dropped frames": summary.dropped_frames, "late events": summary.late_events} | summary.source
    said = [f"{name.replace('_', ' ')} {count:,}" for name, count in lost.items() if count]
    p99_us = summary.latency_us["p99"]
    latency = [] if p99_us is None else [f"p99 {p99_us / 1e3:.1f} ms"]
    return ", ".join([f"{summary.events_per_s:,.0f} events/s", f"{summary.clips:,} clips", *latency, *said])


def _cut(text: str, columns: int) -> str:
    return text if len(text) <= columns else f"{text[: columns - 1]}…"
