"""Sinks of lines: for people, or JSON for programs, to the standard output, a file or a socket."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TextIO
from urllib.parse import urlsplit

from stdl_events.errors import UserError, printable
from stdl_events.live.decision import WORDS
from stdl_events.live.protocols import StopRun
from stdl_events.live.recogniser import Prediction
from stdl_events.live.sinks.outlets import FileOutlet, Outlet, TcpOutlet, UdpOutlet
from stdl_events.live.summary import LiveSummary

_COLUMNS = 80
_NAME_COLUMNS = 24
_AFTER_THE_WORD = {"held": " stays", "decided": " decided"}


class Output(Protocol):
    """What lines are written to; a text file is one."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> None: ...


class JsonLines:
    """One JSON object per line; the summary is the last one, {"summary": ...}.

    Where nothing more can be written, a standard output ends the run; a file is left as it is, with a warning.
    """

    name = "json-lines"

    def __init__(self, out: Output | None = None, messages: TextIO | None = None) -> None:
        self._lines, self._messages = _Lines(out, messages), messages or sys.stderr

    def predicted(self, prediction: Prediction) -> None:
        self._lines.write(prediction.to_json())

    def overloaded(self, dropped_frames: int) -> None:
        say_overloaded(dropped_frames, self._messages)

    def ended(self, summary: LiveSummary) -> None:
        self._lines.write(summary.to_json(), ends=True)


class Lines:
    """One readable line per prediction, of at most 80 columns; the summary goes to `messages`.

    Args:
        shown: number of the most probable classes in a line, as far as they fit.
    """

    name = "lines"

    def __init__(self, out: Output | None = None, messages: TextIO | None = None, *, shown: int = 3) -> None:
        self._lines, self._messages, self._shown = _Lines(out, messages), messages or sys.stderr, shown

    def predicted(self, prediction: Prediction) -> None:
        self._lines.write(_line(prediction, self._shown))

    def overloaded(self, dropped_frames: int) -> None:
        say_overloaded(dropped_frames, self._messages)

    def ended(self, summary: LiveSummary) -> None:
        tell(summary.to_text(), self._messages)


def open_lines(where: str) -> Lines:
    """Open the sink `lines`, which writes to the standard output."""
    if where:
        raise UserError(f"sink lines:{where}", got=where, expected="lines alone", todo="use json-lines for a file")
    return Lines()


def open_json_lines(where: str) -> JsonLines:
    """Open the sink `json-lines`: to the standard output, a file's end, tcp://HOST:PORT or udp://HOST:PORT.

    Raises:
        UserError: the address is wrong, or the file cannot be opened or holds something else, such as events.
    """
    if where in ("", "-"):
        return JsonLines()
    if "://" in where:
        return JsonLines(_outlet(where))
    _require_json_lines(where)
    try:
        return JsonLines(FileOutlet(where))
    except OSError as error:
        raise UserError(
            f"sink json-lines:{where}", got=str(error.strerror).lower(), expected="a file that can be written",
            todo="choose another place",
        ) from None  # fmt: skip


def say_overloaded(dropped_frames: int, messages: TextIO | None = None) -> None:
    """Say that the model is too slow."""
    say(f"the model is too slow: dropped {dropped_frames} frames", messages)


class _Lines:
    """Lines to an output, until it takes no more."""

    def __init__(self, out: Output | None, messages: TextIO | None) -> None:
        self._out, self._messages = out or sys.stdout, messages
        self._broken = False

    def write(self, line: str, *, ends: bool = False) -> None:
        """Write a line, and with `ends` close the output if it is an `Outlet`.

        Raises:
            StopRun: the standard output was closed by the program that reads it.
        """
        if not self._broken:
            self._write(line)
        if ends and isinstance(self._out, Outlet):
            lost = self._out.close()
            if lost:
                say(f"{self._out.name}: {lost} lines were not sent", self._messages)

    def _write(self, line: str) -> None:
        try:
            self._out.write(f"{line}\n")
            self._out.flush()
        except BrokenPipeError:
            self._broken = True
            _discard_standard_output(self._out)
            raise StopRun from None
        except OSError as error:
            self._broken = True
            where = self._out.name if isinstance(self._out, Outlet) else "standard output"
            reason = str(error.strerror or error).lower()
            say(f"{where}: {reason}: no more predictions are written there", self._messages)


def _discard_standard_output(out: object) -> None:
    """Keep the interpreter from writing what is left in the buffer, which would fail again at its end."""
    if out is sys.__stdout__ and sys.__stdout__ is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.__stdout__.fileno())
        os.close(nowhere)


def _require_json_lines(where: str) -> None:
    """Check that a file that has a content begins as JSON lines do, so that no recording or model is written to."""
    with suppress(OSError):  # Opening it for writing says why it cannot be.
        if Path(where).is_file():
            with Path(where).open("rb") as file:
                beginning = file.read(1)
            if beginning not in (b"", b"{"):
                raise UserError(
                    f"sink json-lines:{where}", got="a file of something else",
                    expected="a new file, or one of JSON lines, at whose end others follow", todo="choose another name",
                )  # fmt: skip


def _outlet(where: str) -> Outlet:
    try:
        parts = urlsplit(where)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or parts.scheme not in ("tcp", "udp"):
        raise UserError(
            f"sink json-lines:{where}", got="another address", expected="tcp://HOST:PORT or udp://HOST:PORT",
            todo="correct it",
        )  # fmt: skip
    return TcpOutlet(where, host, port, say) if parts.scheme == "tcp" else UdpOutlet(where, host, port)


def _line(prediction: Prediction, shown: int) -> str:
    """Return a line of `shown` classes, or of as many as fit."""
    begin = f"{prediction.t_us / 1e6:.3f} s{_told(prediction)}"
    end = f"  {prediction.latency_us / 1e3:.2f} ms"
    if not prediction.final:
        is_early = prediction.decided_after == prediction.step + 1
        end += f"  ({'early, ' if is_early else ''}frame {prediction.step + 1} of its clip)"
    columns = shutil.get_terminal_size((_COLUMNS, 24)).columns if sys.stdout.isatty() else _COLUMNS
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])[:shown]
    line = begin
    for index, (label, probability) in enumerate(ranked):
        longer = f"{line}  {short(label)} {probability:.2f}"
        if index and len(longer) + len(end) > columns:
            break
        line = longer
    return line + end


def _told(prediction: Prediction) -> str:
    """Return what was decided, where it is not the most probable class."""
    shown = prediction.state == "decided" and prediction.decision == prediction.label
    if shown or prediction.state in ("open", "recognised"):
        return ""
    word = prediction.decision or WORDS.get(prediction.state, prediction.why.partition(":")[0])
    return f"  {short(word)}{_AFTER_THE_WORD.get(prediction.state, '')} |"


def short(name: str) -> str:
    """Return a name as it is shown: without control characters, and not too long for a line."""
    name = printable(name)
    return name if len(name) <= _NAME_COLUMNS else f"{name[: _NAME_COLUMNS - 1]}…"


def say(text: str, messages: TextIO | None = None) -> None:
    """Write a warning for people."""
    tell(f"stdl-events: warning: {text}", messages)


def tell(text: str, messages: TextIO | None = None) -> None:
    """Write to people; where nothing reads the messages any more, they are lost and the run goes on."""
    with suppress(BrokenPipeError):
        print(text, file=messages or sys.stderr, flush=True)
