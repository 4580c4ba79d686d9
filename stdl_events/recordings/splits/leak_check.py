"""The leak check: no two sides of a split share a recording, a person or a session."""

from collections import Counter, defaultdict
from itertools import chain, combinations
from pathlib import Path
from typing import TYPE_CHECKING

from stdl_events.errors import SplitError
from stdl_events.events.defects import count_of
from stdl_events.recordings.file_digest import file_digest, file_size
from stdl_events.recordings.splits.sides import COUNTED, Side

if TYPE_CHECKING:
    from stdl_events.recordings.entry import Entry, RecordingSet, SideRule, Split

PEOPLE = ("subject", "session")
_EMPTY: dict[Side, str] = {"train": "training", "validation": "validation", "test": "held-out"}


def check_disjoint(split: "Split") -> str:
    """Check that no recording, person or session is on two sides; return the result as one line.

    Parts of one recording may be on two sides if they are far enough apart (`Split.rule_between`). Files of equal
    content count as one recording, whatever their names.

    Raises:
        SplitError: two sides share something, or one side is empty.
    """
    sides = split.sides
    every, two = ("both sides", "both sides") if len(sides) == 2 else ("every side", "two sides")
    for side, recordings in sides.items():
        if not recordings.entries:
            got, todo = f"no {_EMPTY[side]} recordings", "add recordings or change the rule"
            raise _error(split, got, f"recordings on {every}", todo)
    if len({(recordings.classes, recordings.sensor_size) for recordings in sides.values()}) > 1:
        got = "other classes or another sensor on one side"
        raise _error(split, got, f"the same on {every}", "read all as one set")
    shared = [_check_pair(split, ours, theirs) for ours, theirs in combinations(sides, 2)]
    parts = "; ".join(filter(None, shared)) or f"no recording on {two}"
    groups = _on_two_sides(split, "group")[1]
    people = [f"none of {groups} persons or sessions on {two}"] if groups else []
    for name in PEOPLE:
        both, named = _on_two_sides(split, name)
        people += [f"{both or 'none'} of {named} {name}s on {two}"] if named else []
    counts = ", ".join(f"{len(recordings)} {COUNTED[side]}" for side, recordings in sides.items())
    return f"split {split.text}: {counts}; checked: {parts}; {'; '.join(people or ['no persons or sessions named'])}"


def _check_pair(split: "Split", ours: Side, theirs: Side) -> str:
    """Check two sides; return how many recordings have parts on both, in words."""
    rule = split.rule_between(ours, theirs)
    where = "on both sides" if len(split.sides) == 2 else f"on two sides ({COUNTED[ours]}, {COUNTED[theirs]})"
    our_entries, their_entries = split.sides[ours].entries, split.sides[theirs].entries
    our_files, their_files = _by_content(our_entries, their_entries), _by_content(their_entries, our_entries)
    shared = our_files.keys() & their_files.keys()
    for content in shared:
        for one in our_files[content]:
            for other in their_files[content]:
                _check_parts(split, one, other, rule, where)
    for name in ("group", *rule.apart):
        both = sorted(_named(split.sides[ours], name) & _named(split.sides[theirs], name))
        if both:
            kind, what = ("person or session", "") if name == "group" else (name, f"the {name} ")
            raise _error(split, f"{what}{', '.join(both[:5])} {where}", f"each {kind} on one side", f"split by {name}")
    if not shared:
        return ""
    return f"{count_of(len(shared), 'recording')} {where}, in parts at least {rule.gap_us / 1000:g} ms apart"


def _by_content(entries: "tuple[Entry, ...]", others: "tuple[Entry, ...]") -> "dict[str, list[Entry]]":
    """Group entries by the content of their files; only files as large as one of the other side's are read."""
    grouped: defaultdict[str, list[Entry]] = defaultdict(list)
    if all(entry.content is not None for entry in (*entries, *others)):
        for entry in entries:
            grouped[str(entry.content)].append(entry)
        return grouped
    sizes = {file_size(path) for path in {entry.path for entry in others}}
    contents: dict[Path, str] = {}
    for entry in entries:
        if entry.path not in contents:
            contents[entry.path] = file_digest(entry.path) if file_size(entry.path) in sizes else str(entry.path)
        grouped[contents[entry.path]].append(entry)
    return grouped


def _check_parts(split: "Split", ours: "Entry", theirs: "Entry", rule: "SideRule", where: str) -> None:
    subject = ours.key if ours.key == theirs.key else f"{ours.key} and {theirs.key}"
    both_parts = not ours.is_whole and not theirs.is_whole
    if both_parts and ours.take != theirs.take and None not in (ours.take, theirs.take):
        return  # a reset of the clock is between them, and their times do not compare
    if not both_parts or ours.take != theirs.take:
        todo = "remove it from one side; recordings without events are equal too"
        raise _error(split, f"the recording {subject} {where}", "each on one side", todo)
    a0_us, a1_us = ours.times_us()
    b0_us, b1_us = theirs.times_us()
    between_us = max(b0_us - a1_us, a0_us - b1_us)
    if between_us < rule.gap_us:
        how = "overlap" if between_us < 0 else f"are {between_us} us apart"
        expected = f"at least {rule.gap_us} us between"
        raise _error(split, f"parts of {subject} that {how}", expected, "move them apart")


def _on_two_sides(split: "Split", name: str) -> tuple[int, int]:
    """Return (number on more than one side, number in all) of the groups, subjects or sessions."""
    counts = Counter(chain.from_iterable(_named(recordings, name) for recordings in split.sides.values()))
    return sum(count > 1 for count in counts.values()), len(counts)


def _named(recordings: "RecordingSet", name: str) -> set[str]:
    return {getattr(entry, name) for entry in recordings.entries} - {None}


def _error(split: "Split", got: str, expected: str, todo: str) -> SplitError:
    return SplitError(f"split {split.text}", got=got, expected=expected, todo=todo)
