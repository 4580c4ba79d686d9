"""A validation part, taken from the recordings to train on: what is chosen, is chosen by it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from stdl_events.errors import SplitError
from stdl_events.recordings.entry import Entry, RecordingSet, SideRule, Split
from stdl_events.recordings.splits.held_out_groups import choose_groups, labels_of
from stdl_events.recordings.splits.leak_check import PEOPLE
from stdl_events.recordings.splits.split import by_time
from stdl_events.recordings.splits.split_parts import of_each_recording, one_recording_each

_NAMES_SHOWN = 10


def with_validation(
    split: Split, *, share: float | None, names: Collection[str], by: str, seed: int, gap_us: int | None
) -> Split:
    """Take a validation part from the recordings to train on; the held-out ones stay as they are.

    Args:
        share: of the recordings, people, sessions or times to train on; or of each class's.
        names: subjects or sessions, instead of a share.
        by: what `validation_kind` returns.
        gap_us: rule "time": time before the validation part that is left out.

    Raises:
        SplitError: the recordings do not name subjects or sessions, a name is unknown, or nothing is left to train on.
        RecordingError: rule "time": a recording cannot be read.
    """
    if by == "time":
        assert share is not None, "no names"
        assert gap_us is not None, "a gap"
        return _by_time(split, share, gap_us)
    groups = of_each_recording(split.train) if by == "recording" else _by_name(split.train, by)
    if len(groups) < 2:
        raise _error(
            by, f"{len(groups)} {by} to train on", "at least two", f"add some, or {_todo_kind(split.train, by)}"
        )
    if names:
        _check_names(by, groups, names)
        chosen, how = set(names), ", ".join(sorted(names)[:_NAMES_SHOWN])
    else:
        assert share is not None, "a share or names"
        chosen = choose_groups(labels_of(groups), share, seed)
        how = f"{len(chosen)} of {len(groups)}, seed {seed}"
    keys = {entry.key for name in chosen for entry in groups[name]}
    train, validation = (
        split.train.with_entries(entry for entry in split.train.entries if (entry.key in keys) == is_chosen)
        for is_chosen in (False, True)
    )
    apart = (by,) if by in PEOPLE else ()
    rule = SideRule(f"validation by {_WORDS.get(by, by)}, {how}", apart=apart)
    return replace(split, train=train, validation=validation, validation_rule=rule)


def _todo_kind(recordings: RecordingSet, by: str) -> str:
    """Return by what else a validation part can be taken: what differs most from the recordings to train on."""
    named = {kind: {getattr(entry, kind) for entry in recordings.entries} - {None} for kind in PEOPLE if kind != by}
    kinds = [kind for kind, names in named.items() if len(names) > 1]
    kinds += ["recording"] if by != "recording" and len(of_each_recording(recordings)) > 1 else []
    kind = next(iter(kinds), "time")
    return f"take it by {kind}, such as --validation {kind}=0.2 (data.split.validation_by={kind})"


_WORDS = {"group": "person or session"}


def validation_kind(split: Split, names: Collection[str], by: str) -> str:
    """Return "recording", "time", "subject", "session" or "group", an attribute of entries.

    Args:
        by: one of `registry.VALIDATION_RULES`; see there what "auto" is.

    Raises:
        SplitError: the names are not all of one kind.
    """
    if by != "auto":
        return by
    if names:
        return _kind_of_names(split.train, names)
    if split.apart:
        return split.apart[0]
    if all(entry.group is not None for entry in split.train.entries):
        return "group"
    return "time" if split.gap_us or one_recording_each(split.train) else "recording"


def _kind_of_names(recordings: RecordingSet, names: Collection[str]) -> str:
    known = {kind: {getattr(entry, kind) for entry in recordings.entries} - {None} for kind in PEOPLE}
    fitting = [kind for kind, its in known.items() if set(names) <= its]
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(sorted(names)[:_NAMES_SHOWN])
    if fitting:
        todo = "say which, with data.split.validation_by (--validation subject=NAMES)"
        raise _error("name", f"{listed}, which are subjects and sessions", "one of the two", todo)
    there = ", ".join(sorted(set().union(*known.values()))[:_NAMES_SHOWN]) or "none, since no recording names any"
    got = f"{listed}, which are not all subjects or all sessions to train on"
    raise _error("name", got, f"some of {there}", _todo_names(names))


def _by_name(recordings: RecordingSet, by: str) -> dict[str, list[Entry]]:
    groups: dict[str, list[Entry]] = {}
    for entry in recordings.entries:
        name = getattr(entry, by)
        if name is None:
            todo = f"name them in the column {by} of a label file, or by {{{by}}} in the layout of the paths"
            raise _error(by, f"no {by} of {entry.key}", "one for every recording", todo)
        groups.setdefault(name, []).append(entry)
    return groups


def _check_names(by: str, groups: Mapping[str, Sequence[Entry]], names: Collection[str]) -> None:
    unknown = sorted(set(names) - groups.keys())
    if unknown or set(names) == groups.keys():
        got = f"{', '.join(unknown)}, which no recording to train on has" if unknown else f"all {by}s to train on"
        expected = f"some of {', '.join(sorted(groups)[:_NAMES_SHOWN])}, and not all"
        raise _error(by, got, expected, _todo_names(names))


def _todo_names(names: Collection[str]) -> str:
    todo = "correct the names"
    return f"{todo}, or give a share below 1, such as 0.1" if any(name.isdecimal() for name in names) else todo


def _by_time(split: Split, share: float, gap_us: int) -> Split:
    parts = by_time(split.train, held_out=share, gap_us=gap_us)
    train, validation = (
        side.with_entries(replace(entry, key=_key(entry.key, name)) for entry in side.entries)
        for side, name in ((parts.train, "train"), (parts.test, "validation"))
    )
    rule = SideRule(f"validation by time, last {share:.0%} of what is left, gap {gap_us / 1000:g} ms", gap_us)
    return replace(split, train=train, validation=validation, validation_rule=rule)


def _key(key: str, side: str) -> str:
    """Return the key of a part; `by_time` adds the side to that of a part of an earlier division, and to others."""
    base, _, added = key.rpartition(":")
    if added not in ("train", "test"):
        return key
    return f"{base.removesuffix(':train')}:{side}"


def _error(by: str, got: str, expected: str, todo: str) -> SplitError:
    return SplitError(f"validation by {by}", got=got, expected=expected, todo=todo)
