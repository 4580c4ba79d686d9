"""The bars of a terminal: at most 80 columns, labels as text, and a terminal that is held stops nothing."""

import io
import os
import pty
import re
import threading
from dataclasses import replace

import pytest
from rich.console import Console

from stdl_events.live import Prediction, StatusSink
from stdl_events.live.sinks import open_sink, terminal
from stdl_events.live.sinks.lines import Lines
from stdl_events.live.sinks.terminal import Bars, Scene, picture
from stdl_events.live.summary import LiveSummary

EPOCH_US = 1_700_000_000_000_000
SUMMARY = replace(
    LiveSummary.before_the_start(2.0), events=3_000_000, clips=4, dropped_frames=7, source={"lost_packets": 2},
    latency_us={"p50": 1.0, "p95": 1.0, "p99": 1_234.0, "max": 1.0},
)  # fmt: skip


def prediction(**changes):
    entries = {
        "t_us": EPOCH_US + 1_500_000, "label": "walk", "probabilities": {"run": 0.25, "walk": 0.75, "[red]x": 0.0},
        "latency_us": 1_500, "clip": 0, "step": 3, "final": True, "decision": "walk", "state": "recognised",
        "t_start_us": EPOCH_US,
    }  # fmt: skip
    return Prediction(**(entries | changes))


def test_a_picture_has_a_bar_for_each_class():
    first, *bars, last = picture(Scene(prediction(), EPOCH_US, SUMMARY)).plain.splitlines()
    assert first == "1.5 s  walk  1.50 ms"
    assert last == "1,500,000 events/s, 4 clips, p99 1.2 ms, dropped frames 7, lost packets 2"
    assert [len(line) for line in bars] == [80, 80, 80]
    assert [line.split()[0] for line in bars] == ["run", "walk", "[red]x"]
    filled = [line.count("█") for line in bars]
    assert filled == [int(58 * share) for share in (0.25, 0.75, 0.0)]
    assert [line[-4:] for line in bars] == ["0.25", "0.75", "0.00"]


def test_hostile_labels_are_text_and_everything_fits():
    evil = "\x1b[2J\n[bold]" + "y" * 100
    said = prediction(probabilities={evil: 1.0}, decision=evil, why="\x07" + "z" * 200)
    text = picture(Scene(said, EPOCH_US, replace(SUMMARY, source={"lost_packets" * 9: 1}))).plain
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\\x1b[2J\\n[bold]" in text
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) == 3


def test_many_classes_are_the_most_probable_ones_in_the_order_of_the_model():
    probabilities = {f"c{number}": (number % 20) / 400 for number in range(40)}
    shown = picture(Scene(prediction(probabilities=probabilities), EPOCH_US)).plain.splitlines()
    assert [line.split()[0] for line in shown[1:-1]] == [f"c{n}" for n in range(40) if n % 20 >= 14]
    assert shown[-1] == "and 28 more classes"


def test_a_decision_that_is_none_says_so():
    words = {"unknown": "unknown", "still": "nothing there", "open": "undecided"}
    for state, word in words.items():
        first = picture(Scene(prediction(decision=None, state=state, why="because"), EPOCH_US)).plain.splitlines()[0]
        assert first.startswith(f"1.5 s  {word}")


class Held(io.StringIO):
    """A terminal that takes nothing until it is released, and counts its pictures."""

    def __init__(self):
        super().__init__()
        self.free, self.reached = threading.Event(), threading.Event()

    def write(self, text):
        self.reached.set()
        assert self.free.wait(60)
        return super().write(text)


def test_a_terminal_that_is_held_stops_nothing_and_sees_the_last_picture(monkeypatch):
    held = Held()
    sink = Bars(Console(file=held, force_terminal=True, width=80, color_system=None))
    assert isinstance(sink, StatusSink)
    sink.predicted(prediction())
    assert held.reached.wait(60)
    for number in range(1_000):
        sink.predicted(prediction(t_us=EPOCH_US + number * 1_000_000))
        sink.status(SUMMARY)
    held.free.set()
    sink.ended(SUMMARY)
    text = held.getvalue()
    assert "999.0 s  walk" in text
    assert len(re.findall(r"\d s  walk", text)) <= 3


def test_a_clock_that_went_back_begins_again_at_zero():
    sink = Bars(Console(file=io.StringIO(), force_terminal=True, width=80))
    sink.predicted(prediction())
    sink.predicted(prediction(t_us=900_000, t_start_us=400_000))
    assert sink._scene.t0_us == 400_000
    sink.ended(SUMMARY)


@pytest.mark.parametrize(("kind", "made"), [("xterm", Bars), ("dumb", Lines)])
def test_bars_are_for_terminals(monkeypatch, kind, made):
    monkeypatch.setenv("TERM", kind)
    main, side = pty.openpty()
    with os.fdopen(main, "rb"), os.fdopen(side, "w") as out:
        monkeypatch.setattr("sys.stdout", out)
        sink = open_sink("terminal")
        assert type(sink) is made
        sink.ended(SUMMARY)


def test_elsewhere_it_is_lines(capsys):
    assert type(open_sink("terminal")) is Lines
    assert terminal.REDRAW_S >= 0.1
