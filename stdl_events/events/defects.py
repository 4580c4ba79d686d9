"""What a recording's warnings say."""

from collections.abc import Iterator

from stdl_events.events.ordering import Summary

# No sensor sees nothing for so long: its noise alone is more.
_LONG_PAUSE_US, _MANY_EVENTS = 60_000_000, 1000
# Longer than events are late on their way out of a camera.
_LONG_BACK_US = 100_000
_MIXED = (
    ", which mixes what was recorded before and after; if the clock was set back there, cut the file into two takes"
)


def defects_of(
    summary: Summary, size: tuple[int, int] | None, size_from: str | None, first_outside: str, joined: bool | None
) -> Iterator[str]:
    """Yield one line for each kind of defect that was handled.

    Args:
        size, size_from: the sensor's (width, height) and its origin; None if it is the smallest that holds all events.
        first_outside: the first event outside the sensor, in words.
        joined: takes are read as one recording (True), each for itself (False), or only one of them is (None).
    """
    if summary.damage is not None:
        yield f"{summary.damage}: kept the {count_of(summary.events, 'event')} before it"
    if summary.outside:
        share = summary.outside / (summary.outside + sum(each.events for each in summary.takes) + summary.strays)
        sensor = "every sensor" if size is None else f"the {size[0]}x{size[1]} sensor"
        sensor += ", inferred without outliers" if size is not None and size_from == "inferred" else ""
        events = f"{count_of(summary.outside, 'event')} ({share:.2g} of all)"
        yield f"{events} outside {sensor}: skipped; first {first_outside}"
    if summary.impossible:
        yield impossible_text(summary.impossible)
    if summary.strays > summary.impossible:
        between = f"{summary.stray_from_us} to {summary.stray_to_us} us"
        rest = f"{min(each.t_first_us for each in summary.takes)} to {max(each.t_last_us for each in summary.takes)} us"
        what = count_of(summary.strays - summary.impossible, "stray event")
        yield f"{what} at {between}, far from all others at {rest}: left out"
    if len(summary.takes) > 1 and joined is not None:
        counts = " + ".join(str(each.events) for each in summary.takes[:8]) + (" ..." if len(summary.takes) > 8 else "")
        says = any(each.is_reset for each in summary.takes)
        why = "the file says that the clock was reset" if says else "the clock leaps back, as after a reset"
        takes = f"{len(summary.takes)} takes of {counts} events"
        how = "read one after another, 1 s apart; choose one with --take N (take=N)"
        yield f"{why}: {takes}, {how if joined else 'each used as a recording of its own'}"
    lasts_us = (summary.t_last_us or 0) - (summary.t_first_us or 0)
    if summary.events >= _MANY_EVENTS and summary.longest_pause_us > max(_LONG_PAUSE_US, lasts_us // 2):
        pause = f"no event for {summary.longest_pause_us / 1e6:.0f} s, as after a leap of the clock"
        yield f"{pause}: clips of that time are empty; label the parts before and after it, or cut the file there"
    if summary.backward_steps:
        steps = f"{count_of(summary.backward_steps, 'backward time step')}, by at most {summary.lateness_us} us: sorted"
        yield steps + (_MIXED if summary.lateness_us > _LONG_BACK_US else "")


def impossible_text(count: int) -> str:
    """Return the line about events without a possible time."""
    return f"{count_of(count, 'stray event')} without a possible time (2^62 us or more, or no number): left out"


def count_of(number: int, what: str, form: str = "d") -> str:
    """Return a count in words, such as `1 event` or `2 classes`; `form` formats the number."""
    ending = "" if number == 1 else "es" if what.endswith(("s", "batch")) else "s"
    return f"{number:{form}} {what}{ending}"
