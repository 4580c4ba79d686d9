"""Facts of a recording, for `info` and `show`."""

from collections import Counter
from dataclasses import asdict
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


def describe(recording: "Recording", others: "OtherStreams | None") -> dict[str, Any]:
    """Return the facts of a recording; None for those undefined without events.

    Args:
        others: the streams of its file besides the events, None if there are none.

    Raises:
        TruncatedRecordingError, CorruptRecordingError: the file is damaged, and `repair` is off.
    """
    summary = recording.summary
    knows_size = summary.events > 0 or recording.sensor_size_from != "inferred"
    width, height = recording.sensor_size if knows_size else (None, None)
    t_first_us, t_last_us = summary.t_first_us, summary.t_last_us
    duration_us = None if t_first_us is None or t_last_us is None else t_last_us - t_first_us
    return {
        "format": recording.format,
        "width": width,
        "height": height,
        "sensor_size_from": recording.sensor_size_from if knows_size else None,
        "time_unit": recording.time_unit,
        "time_unit_from": recording.time_unit_from,
        "events": summary.events,
        "t_first_us": t_first_us,
        "t_last_us": t_last_us,
        "duration_us": duration_us,
        "rate_hz": summary.events * 1e6 / duration_us if duration_us else None,
        "on_fraction": summary.on_events / summary.events if summary.events else None,
        "time_ordered": summary.backward_steps == 0,
        "backward_steps": summary.backward_steps,
        "damage": summary.damage,
        "outside": summary.outside,
        "strays": summary.strays,
        "takes": [asdict(take) for take in summary.takes],
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

    order = "in order" if facts["time_ordered"] else f"steps back {facts['backward_steps']} times; sorted when read"
    size = "unknown" if facts["width"] is None else f"{facts['width']} x {facts['height']}"
    source = f" (from the {facts['sensor_size_from']})" if facts["sensor_size_from"] in ("header", "format") else ""
    source = source or {"argument": " (as given)", "inferred": " (inferred from the events)"}.get(
        facts["sensor_size_from"], ""
    )
    table = Table.grid(padding=(0, 2))
    rows = {
        "format": facts["format"],
        "sensor": size + source,
        "events": text("events"),
        "first": text("t_first_us", "{:,} us", "none"),
        "last": text("t_last_us", "{:,} us", "none"),
        "duration": "none" if facts["duration_us"] is None else f"{facts['duration_us'] / 1e6:.6f} s",
        "rate": text("rate_hz", "{:,.0f} events/s"),
        "brighter": text("on_fraction", "{:.1%}"),
        "time": order,
        "unit": f"{facts['time_unit']} ({TIME_UNIT_ORIGINS[facts['time_unit_from']]})",
    }
    if facts["damage"] is not None:
        rows["damage"] = facts["damage"]
    if facts["outside"]:
        rows["outside"] = f"{facts['outside']:,} events outside the sensor, skipped"
    if facts["strays"]:
        rows["stray"] = f"{facts['strays']:,} events far from all others in time, left out"
    if len(facts["takes"]) > 1:
        for number, take in enumerate(facts["takes"], 1):
            times = f"{take['t_first_us']:,} to {take['t_last_us']:,} us"
            rows[f"take {number}"] = f"{take['events']:,} events, {times} as stored"
    for word, dropped in facts.get("dropped", {}).items():
        rows[word] = f"drops {dropped:,} events ({dropped / max(1, facts['events']):.1%})"
    if "hot_pixels" in facts:
        rows["hot pixels"] = facts["hot_pixels"] or "none"
    for name, value in rows.items():
        table.add_row(name, value)
    for stream in facts["other_streams"]:
        table.add_row(stream["kind"], stream_text(stream))
    if facts["other_streams_unread"] is not None:
        table.add_row("not read", facts["other_streams_unread"])
    return table


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
