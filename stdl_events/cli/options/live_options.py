"""The options of a live run: its model, its source, and what happens when one of them is too slow or gone."""

import math
import os
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stdl_events.cli.options.registry_options import address_of, one_of
from stdl_events.cli.output import print_warning
from stdl_events.errors import RecordingError, UserError
from stdl_events.events.sources import SOURCES
from stdl_events.live.providers import PROVIDERS


class Overload(StrEnum):
    """What happens when events come faster than the model takes them."""

    fresh = "fresh"
    complete = "complete"


def _finite(option: typer.CallbackParam, value: float | None) -> float | None:
    """Refuse an infinite number, which a least value lets through.

    Raises:
        UserError: the number is infinite.
    """
    if value is None or math.isfinite(value):
        return value
    raise UserError(option.opts[0], got=str(value), expected="a finite number", todo="correct it, or leave it out")


SourceOption = Annotated[
    str | None,
    address_of(
        SOURCES,
        "The source of events; a file, replayed in real time, also without file:. A USB camera is eventcv:NAME or "
        "eventcv:SERIAL, as stdl-events cameras lists it; for chips that can, with settings behind a ?, joined by &: "
        "roi=X,Y,WxH, rate_cap=EVENTS_A_SECOND, adaptive_bias=on.",
        "--source",
    ),
]
ModelOption = Annotated[Path | None, typer.Option("--model", help="The exported .onnx model, if no argument is.")]
OverloadOption = Annotated[
    Overload | None,
    typer.Option(
        "--overload",
        help="If the model is too slow: fresh sheds late windows and counts them; complete loses nothing, later "
        "and later.  [default: fresh; complete for stdin, --follow and --speed max]",
    ),
]
ReconnectOption = Annotated[
    float | None,
    typer.Option(
        "--reconnect",
        min=0,
        metavar="SECONDS",
        help="Open a lost source again for so long.  [default: 0, its loss is the end]",
    ),
]
FollowOption = Annotated[
    bool,
    typer.Option(
        "--follow", help="The file is still written: go on with what is appended, and lose nothing. Ctrl-C ends it."
    ),
]
FollowIdleOption = Annotated[
    str | None,
    typer.Option(
        "--follow-idle", metavar="10s", help="Follow, and end when nothing came for so long.  [default: never]"
    ),
]

LoopOption = Annotated[
    bool, typer.Option("--loop", help="Replay the file over and over, with a clock that goes on. Ctrl-C ends it.")
]


def parse_idle(text: str | None) -> float | None:
    """Parse "10s", "500ms" or "2min" to seconds.

    Raises:
        RecordingError: the text has another form.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|min)?", text)
    if found is None:
        raise RecordingError("--follow-idle", got=repr(text), expected="a time such as 10s or 500ms", todo="correct it")
    return float(found[1]) * {"ms": 1e-3, "s": 1.0, "min": 60.0}[found[2] or "s"]


SinkOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sink",
        metavar="NAME[:WHERE]|MODULE:FUNCTION",
        help="Where predictions go, repeatable: terminal, bars in one and lines elsewhere; lines; json-lines, also to "
        "a FILE, tcp://HOST:PORT or udp://HOST:PORT; mqtt://HOST/TOPIC or mqtts://; prometheus:HOST:PORT, metrics to "
        "scrape; or a function of yours, called with each.  [default: terminal]",
    ),
]


RecordOption = Annotated[
    str | None,
    typer.Option(
        "--record",
        metavar="FILE.aedat4|.h5|.mcap",
        help="Record the source's events while the model runs, all of them, and the predictions beside, in "
        "FILE.predictions.jsonl; %Y%m%d-%H%M%S in the name is the time.",
    ),
]

SignatureOption = Annotated[
    Path | None,
    typer.Option(
        "--require-signature",
        metavar="KEY.pub",
        help="Run the model only if MODEL.sig is its signature by this Ed25519 key; see export --sign.",
    ),
]
BudgetOption = Annotated[
    float | None,
    typer.Option(
        "--budget-ms",
        callback=_finite,
        min=0,
        metavar="MS",
        help="Exit code 6 if p99 of the latency, from the end of a window to its decision, is more.",
    ),
]
CheckOption = Annotated[
    float | None,
    typer.Option(
        "--check",
        callback=_finite,
        min=0,
        metavar="SECONDS",
        help="Measure what this machine keeps up with instead, with events from memory at rising rates, for so long at "
        "most. Needs a model alone.",
    ),
]
MaxRateOption = Annotated[
    float | None,
    typer.Option(
        "--max-rate",
        callback=_finite,
        min=1,
        metavar="EVENTS/S",
        help="In a storm, drop events evenly above this rate, such as 5e6, and count them. A recording has them all.",
    ),
]


def _within_cores(asked: int | list[int] | None) -> int | list[int] | None:
    """Return at most as many threads as there are cores: more are slower, and a thousand take a minute to start."""
    cores = os.cpu_count() or 1
    if asked is None or max(numbers := asked if isinstance(asked, list) else [asked], default=0) <= cores:
        return asked
    print_warning(f"--threads {max(numbers)}: this machine has {cores} cores, so {cores} threads are used")
    return list(dict.fromkeys(min(each, cores) for each in numbers)) if isinstance(asked, list) else cores


ThreadsOption = Annotated[
    int,
    typer.Option("--threads", callback=_within_cores, min=1, help="Threads within one step of an exported model."),
]
ThreadCountsOption = Annotated[
    list[int] | None,
    typer.Option(
        "--threads",
        callback=_within_cores,
        min=1,
        help="Threads within a step; give it again for more.  [default: 1, 2, 4 ... all cores]",
    ),
]
ProviderOption = Annotated[
    str,
    one_of(
        PROVIDERS,
        "What computes an exported model, if the installed onnxruntime has it. Its first ten steps are compared with "
        "the CPU's; a disagreement ends the run (exit code 5).",
        "--provider",
    ),
]


def model_and_source(arguments: Sequence[str], model: Path | None, source: str | None) -> tuple[Path, str]:
    """Return the model and the source: those that are no options are the arguments, the model first.

    Raises:
        UserError: one of them is missing, or given twice.
    """
    left = list(arguments)
    if model is None and left:
        model = Path(left.pop(0))
    if source is None and left:
        source = left.pop(0)
    if model is not None and source is not None and not left:
        return model, source
    if left:
        got = f"one too many: {left[0]}"
    else:
        got = "no model and no source" if model is source else "no source" if source is None else "no model"
    raise UserError(
        "live", got=got, expected="a model and a source",
        todo="write stdl-events live MODEL SOURCE, such as models:walkers recording.aedat4",
    )  # fmt: skip


def model_alone(arguments: Sequence[str], model: Path | None, source: str | None) -> Path:
    """Return the model where no source is needed.

    Raises:
        UserError: a source is given, or no model.
    """
    models = [*([] if model is None else [model]), *map(Path, arguments)]
    if source is None and len(models) == 1:
        return models[0]
    if not models:
        raise UserError("live --check", got="no model", expected="a model alone", todo="name one")
    raise UserError(
        "live --check",
        got="a source too",
        expected="a model alone",
        todo="leave the source out: events come from memory",
    )
