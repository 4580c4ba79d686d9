"""What a training prints: lines that fit, classes that can be told apart, progress without a terminal."""

import io
import json
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

import stdl_events.cli.working as working_module
import stdl_events.training.progress as progress_module
from stdl_events.cli.confusion import confusion_lines
from stdl_events.cli.fixed_width import cells_of, padded, shortened
from stdl_events.cli.next_step import say_next
from stdl_events.cli.output import print_json
from stdl_events.cli.streams import prepare_standard_streams
from stdl_events.training.progress import Heartbeat, LineProgress, TrainingProgress, duration, fitted

WALKERS = [f"walker {number}" for number in range(1, 9)]


def identity(size: int, count: int = 7) -> list[list[int]]:
    return [[count if row == column else 0 for column in range(size)] for row in range(size)]


def test_columns_have_names_where_they_fit() -> None:
    assert confusion_lines(["stand_up", "sit"], [[12, 0], [3, 4]], 80) == [
        "true \\ recognised as  stand_up  sit",
        "stand_up                    12    .",
        "sit                          3    4",
    ]


def test_eight_walkers_can_be_told_apart_in_80_columns() -> None:
    lines = confusion_lines(WALKERS, identity(8, 40), 80)
    assert max(map(len, lines)) <= 80
    assert lines[0].split()[-8:] == list("12345678")
    assert [line.split("  ")[0] for line in lines[1:]] == [f"{number} walker {number}" for number in range(1, 9)]
    assert lines[3].split()[3:] == [".", ".", "40", ".", ".", ".", ".", "."]


@pytest.mark.parametrize("width", [36, 60, 80])
def test_long_names_lose_their_middle_and_keep_their_number(width: int) -> None:
    labels = [f"a person who walks towards the camera, number {number}" for number in range(3)]
    lines = confusion_lines(labels, identity(3), width)
    assert max(map(len, lines)) <= width
    rows = [line.split()[0] for line in lines[1:]]
    assert rows == ["1", "2", "3"]
    assert len({shortened(label, 9) for label in labels}) == 3


def epoch_row(**changes: Any) -> dict[str, Any]:
    row = {"epoch": 100, "loss": 0.1234, "accuracy": 0.99, "held_out_accuracy": 0.5, "samples_per_s": 12345.6}
    return row | {"peak_rss_bytes": 123_400_000_000, "peak_cuda_bytes": 139_000_000_000} | changes


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("terminal", [False, True])
def test_epoch_lines_fit(width: int, terminal: bool) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=terminal, highlight=False, color_system=None)
    progress = TrainingProgress(total_steps=200, done_steps=0, quiet=False, console=console)
    progress.at(1)
    progress.epoch(100, epoch_row(), 100)
    (line,) = stream.getvalue().splitlines()
    assert len(line) <= width
    assert line.startswith("epoch 100/100  loss 0.123")
    if width >= 80:
        assert "accuracy 0.990  held out 0.500" in line
        assert " left" in line
    assert ("139.00 GB CUDA  123.40 GB RAM" in line) == (width == 200)


def test_a_plain_stream_hears_of_a_long_step() -> None:
    """A line comes although no step ends; none after the end."""
    heard = threading.Event()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if "step 4/8" in text:
                heard.set()
            return super().write(text)

    stream = Stream()
    console = Console(file=stream, width=80, highlight=False)
    with TrainingProgress(total_steps=8, done_steps=2, quiet=False, console=console, every_s=0.001) as progress:
        progress.at(3)
        progress.at(4)
        assert heard.wait(60)
    said = stream.getvalue()
    assert " left" in said
    assert max(map(len, said.splitlines())) <= 80


def test_a_plain_stream_hears_how_long_the_first_step_takes() -> None:
    heard = threading.Event()

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            if text.startswith("step 0/8  for "):
                heard.set()
            return super().write(text)

    console = Console(file=Stream(), width=80, highlight=False)
    with TrainingProgress(total_steps=8, done_steps=0, quiet=False, console=console, every_s=0.001):
        assert heard.wait(60)


def test_the_first_step_says_nothing_of_the_time_left() -> None:
    """It may compile loops for a minute."""
    stream = io.StringIO()
    progress = TrainingProgress(total_steps=8, done_steps=0, quiet=False, console=Console(file=stream, width=80))
    progress.epoch(1, epoch_row(), 8)
    assert " left" not in stream.getvalue()
    progress.epoch(2, epoch_row(), 8)
    assert " left" in stream.getvalue()


def test_nothing_is_said_where_quiet() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80)
    with TrainingProgress(total_steps=8, done_steps=0, quiet=True, console=console, every_s=0.0) as progress:
        progress.say("a plan")
        progress.epoch(1, epoch_row(), 8)
    assert stream.getvalue() == ""


def test_a_heartbeat_waits_again_after_other_lines() -> None:
    calls: list[int] = []
    beat = Heartbeat(lambda: calls.append(1), every_s=3600)
    beat.start()
    for _ in range(3):
        beat.restart()
    beat.stop()
    assert calls == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59, "59 s"), (59.5, "1 min 00 s"), (200, "3 min 20 s"), (3600, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_at_least_one_part_is_shown() -> None:
    assert fitted(["too long for this", "b"], 5) == "too long for this"
    assert fitted(["a", "b", "too long", "c"], 6) == "a  b", "no gap"


def test_the_next_command_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    say_next("export", "my runs/a [1]", "--out", "model.onnx")
    assert capsys.readouterr().err == "next: stdl-events export 'my runs/a [1]' --out model.onnx\n"


def test_the_next_command_has_the_plugins_of_this_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stdl_events.plugins._loaded", ["my people.py", "a.module"])
    say_next("evaluate", "runs/a")
    assert capsys.readouterr().err == ("next: stdl-events evaluate runs/a --plugin 'my people.py' --plugin a.module\n")


@pytest.mark.parametrize("width", [9, 16, 40])
def test_wide_characters_and_escapes_take_their_cells(width: int) -> None:
    for name in (
        "歩く人が歩いて手を振る様子",
        "🚶\u200d♂️ walking on",
        "مرحبا بالعالم",
        "e\u0301\u0301cole",
        "a\x1b[2Jb",
    ):
        text = padded(shortened(name, width), width)
        assert text.isprintable()
        assert cells_of(text) == width
    lines = confusion_lines(["歩く", "\x1b[2J", "a"], identity(3), 80)
    assert len({cells_of(line) for line in lines}) == 1


@pytest.mark.parametrize("width", [40, 80])
def test_the_bar_leaves_out_numbers_that_do_not_fit(width: int) -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, highlight=False, color_system=None)
    with TrainingProgress(total_steps=12, done_steps=0, quiet=False, console=console) as progress:
        progress.step(10, epoch_row(mean_rate=0.1))
    last = stream.getvalue().split("\n")[-2]
    assert "steps" in last
    assert "10/12" in last
    assert "loss 0.123" in last
    assert "…" not in last
    assert ("accuracy 0.990" in last) == (width == 80)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_documents_are_valid_in_every_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content, document = io.BytesIO(), {"label": "é مشي 🚶", "file": "a\udcff"}
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(content, encoding=encoding))
    prepare_standard_streams()
    print_json(document)
    sys.stdout.flush()
    assert json.loads(content.getvalue().decode(encoding)) == document


def test_brackets_and_escapes_of_names_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress(total_steps=1, done_steps=0, quiet=False) as progress:
        progress.say("split by [red]name[/x] \x1b[2J")
    assert "split by [red]name[/x] \\x1b[2J" in capsys.readouterr().err


class Heard(io.StringIO):
    """A stream that says when a line of interest is written."""

    def __init__(self, wanted: str) -> None:
        super().__init__()
        self.wanted, self.heard = wanted, threading.Event()

    def write(self, text: str) -> int:
        if self.wanted in text:
            self.heard.set()
        return super().write(text)


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What each `Heartbeat` would call, which beats when a test says so."""
    calls: list[Callable[[], None]] = []

    class Told(Heartbeat):
        def __init__(self, call: Callable[[], None], every_s: float) -> None:
            super().__init__(lambda: None, 3600)
            calls.append(call)

    monkeypatch.setattr(progress_module, "Heartbeat", Told)
    return calls


@pytest.mark.parametrize(("quiet", "said"), [(False, "metering: 1 s so far\n"), (True, "")])
def test_work_of_unknown_length_says_how_long_it_has_gone_on(
    quiet: bool, said: str, beats: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(working_module, "messages", Console(file=stream, width=80))
    with working_module.working("metering", quiet=quiet) as status:
        beats[0]()
        status.update("training: time step 1 of 2")  # shown by the caller from here on
        beats[0]()
    assert stream.getvalue() == said


def test_a_terminal_shows_the_time_in_the_status(
    beats: list[Callable[[], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(working_module, "messages", Console(file=stream, width=80, force_terminal=True))
    with working_module.working("metering", quiet=True) as status:
        for _ in range(2):
            beats[0]()
            assert status.status == "metering: 1 s so far"
        status.update("training")
        beats[0]()
        assert status.status == "training"


def test_lines_of_progress_say_the_time_until_they_know_more() -> None:
    stream = Heard("planning: 1 s so far")
    with LineProgress("planning", console=Console(file=stream, width=80), every_s=0.001):
        assert stream.heard.wait(10)
    stream = Heard("reading: 1 of 3 done, now a")
    with LineProgress("reading", console=Console(file=stream, width=80), every_s=0.001) as progress:
        progress.at(1, 3, "a")
        assert stream.heard.wait(10)
