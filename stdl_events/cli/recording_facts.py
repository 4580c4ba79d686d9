"""Facts of a recording, for `info` and `show`."""

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

    from stdl_events.events.other_streams import OtherStreams, Rows
    from stdl_events.events.recording import Recording

TIME_UNIT_ORIGINS = {
    "header": "from the header",
    "format": "by the format",
    "option": "as given",
    "guessed": "a guess: state it with --time-unit",
}


def describe(recording: "Recording", others: "OtherStreams | None", part: "Recording | None" = None) -> dict[str, Any]:
    """Return the facts of a recording; None for those undefined without events.

    Args:
        others: the streams of its file besides the events, None if there are none.
        part: of the recording, for events, times and rate; None is the whole.

    Raises:
        TruncatedRecordingError, CorruptRecordingError: the file is damaged, and `repair` is off.
    """
    summary = recording.summary
    knows_size = summary.events > 0 or recording.sensor_size_from != "inferred"
    width, height = recording.sensor_size if knows_size else (None, None)
    shown = summary if part is None else part.summary
    t_first_us, t_last_us = shown.t_first_us, shown.t_last_us
    duration_us = None if t_first_us is None or t_last_us is None else t_last_us - t_first_us
    return {
        "format": recording.format,
        "width": width,
        "height": height,
        "sensor_size_from": recording.sensor_size_from if knows_size else None,
        "time_unit": recording.time_unit,
        "time_unit_from": recording.time_unit_from,
        "events": shown.events,
        "t_first_us": t_first_us,
        "t_last_us": t_last_us,
        "duration_us": duration_us,
        "rate_hz": shown.events * 1e6 / duration_us if duration_us else None,
        "on_fraction": shown.on_events / shown.events if shown.events else None,
        "time_ordered": summary.backward_steps == 0,
        "backward_steps": summary.backward_steps,
        "damage": summary.damage,
        "outside": summary.outside,
        "strays": summary.strays,
        "takes": [take._asdict() for take in summary.takes],
        "other_streams": [] if others is None else [_stream_facts(*part) for part in others.by_stream()],
        "other_streams_unread": None if others is None else others.unread,
    }


def describe_filters(recording: "Recording", words: list[str] | None, find_hot_pixels: bool) -> dict[str, Any]:
    """Return the number of events that each filter would drop after those before it, and the hot pixels if requested.

    Raises:
        FrameSpecError: a filter is unknown, or its setting is invalid.
    """
    from stdl_events.events.filter_spec import FilterSpec
    from stdl_events.events.filters import find_hot_pixels as find

    facts: dict[str, Any] = {}
    filters, has_events = FilterSpec.parse(words or ()), recording.summary.events > 0
    if filters:
        chain = filters.start(recording.sensor_size) if has_events else None
        for events in recording.chunks():
            assert chain is not None
            chain(events)
        dropped = {} if chain is None else chain.dropped
        facts["dropped"] = {word: dropped.get(word.partition("=")[0], 0) for word in filters.words}
    if find_hot_pixels:
        pixels = find(recording.chunks(), recording.sensor_size).nonzero() if has_events else ((), ())
        facts["hot_pixels"] = "+".join(f"{x}:{y}" for y, x in zip(*pixels, strict=True))
    return facts


def _stream_facts(stream: int, kind: str, rows: "Rows") -> dict[str, Any]:
    """Return the facts of one stream of pictures, IMU samples or triggers."""
    t_first_us, t_last_us = int(rows["t"].min()), int(rows["t"].max())
    span_us = t_last_us - t_first_us
    facts: dict[str, Any] = {
        "stream": stream,
        "kind": kind,
        "count": len(rows),
        "t_first_us": t_first_us,
        "t_last_us": t_last_us,
        "rate_hz": (len(rows) - 1) * 1e6 / span_us if span_us else None,
    }
    if kind == "pictures":
        facts |= {name: int(rows[name].max()) for name in ("width", "height", "channels", "bits")}
    if kind == "triggers":
        facts["sources"] = _trigger_counts(rows)
    return facts


def _trigger_counts(rows: "Rows") -> dict[str, int]:
    """Return the number of triggers per source name."""
    from stdl_events.events.other_streams import TRIGGER_SOURCES

    counts = Counter(rows["source"].tolist())
    names = dict(enumerate(TRIGGER_SOURCES))
    return {names.get(source, f"source {source}"): counts[source] for source in sorted(counts)}


def facts_table(facts: dict[str, Any]) -> "Table":
    """Return the facts of `describe` as a table."""
    from rich.table import Table

    def text(key: str, form: str = "{:,}", missing: str = "unknown") -> str:
        return missing if facts[key] is None else form.format(facts[key])

    size = "unknown" if facts["width"] is None else f"{facts['width']} x {facts['height']}"
    source = f" (from the {facts['sensor_size_from']})" if facts["sensor_size_from"] in ("header", "format") else ""
    source = source or {"argument": " (as given)", "inferred": " (inferred from the events)"}.get(
        facts["sensor_size_from"], ""
    )
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")  # a long list of hot pixels is never cut
    rows = {
        "format": facts["format"],
        "sensor": size + source,
        "events": text("events"),
        "first": text("t_first_us", "{:,} us", "none"),
        "last": text("t_last_us", "{:,} us", "none"),
        "duration": "none" if facts["duration_us"] is None else f"{facts['duration_us'] / 1e6:.6f} s",
        "rate": text("rate_hz", "{:,.0f} events/s"),
        "brighter": text("on_fraction", "{:.1%}"),
        "time": time_text(facts),
        "unit": f"{facts['time_unit']} ({TIME_UNIT_ORIGINS[facts['time_unit_from']]})",
    }
    rows |= defect_rows(facts) | filter_rows(facts)
    for name, value in rows.items():
        table.add_row(name, value)
    for stream in facts["other_streams"]:
        table.add_row(stream["kind"], stream_text(stream))
    if facts["other_streams_unread"] is not None:
        table.add_row("not read", facts["other_streams_unread"])
    return table


def time_text(facts: dict[str, Any]) -> str:
    """Return whether the times of the file are in order."""
    if facts["time_ordered"]:
        return "in order"
    steps = facts["backward_steps"]
    return f"steps back {steps} time{'s' * (steps != 1)}; sorted when read"


def defect_rows(facts: dict[str, Any]) -> dict[str, str]:
    """Return what was found in the file and should not be there, by name."""
    from stdl_events.events.defects import count_of

    rows: dict[str, str] = {}
    if facts["damage"] is not None:
        rows["damage"] = facts["damage"]
    if facts["outside"]:
        rows["outside"] = f"{count_of(facts['outside'], 'event', ',')} outside the sensor, skipped"
    if facts["strays"]:
        rows["stray"] = (
            f"{count_of(facts['strays'], 'event', ',')} far from all others in time or at no possible time, left out"
        )
    if len(facts["takes"]) > 1:
        for number, take in enumerate(facts["takes"], 1):
            times = f"{take['t_first_us']:,} to {take['t_last_us']:,} us"
            rows[f"take {number}"] = f"{take['events']:,} events, {times} as stored"
    return rows


def filter_rows(facts: dict[str, Any]) -> dict[str, str]:
    """Return the events that each filter drops, and the hot pixels, by name."""
    total = max(1, facts["events"])
    rows = {
        word: f"drops {dropped:,} events ({dropped / total:.1%})" for word, dropped in facts.get("dropped", {}).items()
    }
    if "hot_pixels" in facts:
        rows["hot pixels"] = facts["hot_pixels"] or "none"
    return rows


def stream_text(stream: dict[str, Any]) -> str:
    """Return one stream's facts in a line."""
    text = f"{stream['count']:,}"
    if stream["kind"] == "pictures":
        colour = {1: "gray", 3: "RGB", 4: "RGBA"}.get(stream["channels"], f"{stream['channels']} channels")
        text += f" of {stream['width']} x {stream['height']}, {colour} of {stream['bits']} bits"
    if stream["kind"] == "triggers":
        text += f" ({', '.join(f'{source} {count:,}' for source, count in stream['sources'].items())})"
    elif stream["rate_hz"] is not None:
        text += f", {stream['rate_hz']:,.1f}/s"
    return text
