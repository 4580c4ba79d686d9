"""Split rules that keep the recordings of a person or of a session together."""

import re
from collections.abc import Collection, Mapping

from stdl_events.errors import SplitError
from stdl_events.recordings.entry import Entry, RecordingSet, Split
from stdl_events.recordings.registry import SplitRule
from stdl_events.recordings.splits.held_out_groups import choose_groups, hold_out, labels_of

_NAMES_SHOWN = 10
_DIGITS = re.compile(r"(\d+)")


def by_subject(recordings: RecordingSet, *, names: Collection[str] = (), held_out: float, seed: int) -> Split:
    """Hold out the subjects `names`, or else a seeded share `held_out` of them that leaves each class on both sides.

    A class that one side then lacks is a warning.

    Raises:
        SplitError: a recording names no subject, a name is unknown, or there are fewer than two subjects.
    """
    return _by("subject", recordings, names, held_out, seed)


def by_session(recordings: RecordingSet, *, names: Collection[str] = (), held_out: float, seed: int) -> Split:
    """Hold out the sessions `names`, or else a seeded share `held_out` of them, as `by_subject` does.

    Raises:
        SplitError: see `by_subject`.
    """
    return _by("session", recordings, names, held_out, seed)


def leave_one_subject_out(recordings: RecordingSet, *, fold: int) -> Split:
    """Hold out one subject: number `fold`, from 1 on, of the sorted names.

    Raises:
        SplitError: a recording names no subject, there are fewer than two subjects, or there is no such fold.
    """
    groups = _groups("subject", recordings)
    if not 1 <= fold <= len(groups):
        raise SplitError(
            "split leave-one-subject-out", got=f"fold {fold}", expected=f"1 to {len(groups)}, one for each subject",
            todo="correct data.split.fold",
        )  # fmt: skip
    name = list(groups)[fold - 1]
    return _hold_out("subject", recordings, groups, {name}, f"fold {fold} of {len(groups)}")


def _by(what: str, recordings: RecordingSet, names: Collection[str], held_out: float, seed: int) -> Split:
    groups = _groups(what, recordings)
    unknown = sorted(set(names) - groups.keys())
    if unknown or len(set(names)) == len(groups):
        raise SplitError(
            f"split by {what}", got=f"{', '.join(unknown)}, which no recording has" if unknown else f"all {what}s",
            expected=f"some of {_listed(groups)}, and not all", todo="correct data.split.names",
        )  # fmt: skip
    if names:
        return _hold_out(what, recordings, groups, set(names), "as named")
    chosen = choose_groups(labels_of(groups), held_out, seed)
    return _hold_out(what, recordings, groups, chosen, f"{held_out:.0%} of {len(groups)}, seed {seed}")


def _groups(what: str, recordings: RecordingSet) -> dict[str, list[Entry]]:
    """Return the recordings of each subject or session, sorted by name, 2 before 10."""
    groups: dict[str, list[Entry]] = {}
    for entry in recordings.entries:
        name = getattr(entry, what)
        if name is None:
            raise SplitError(
                f"split by {what}, {entry.key}", got=f"no {what}", expected="one for every recording",
                todo=f"name them in the column {what} of a label file, or by {{{what}}} in the layout of the paths "
                "(data.layout), or use another rule",
            )  # fmt: skip
        groups.setdefault(name, []).append(entry)
    if len(groups) < 2:
        raise SplitError(
            f"split by {what}", got=f"one {what}, {_listed(groups)}", expected="at least two",
            todo="use another rule, such as recording",
        )  # fmt: skip
    return {name: groups[name] for name in sorted(groups, key=_by_number)}


def _by_number(name: str) -> list[tuple[int, int | str]]:
    parts = _DIGITS.split(name)
    return [(1, int(part)) if part.isdecimal() else (0, part) for part in parts]


def _hold_out(
    what: str, recordings: RecordingSet, groups: Mapping[str, list[Entry]], chosen: Collection[str], how: str
) -> Split:
    named = _listed([name for name in groups if name in chosen])
    return hold_out(recordings, groups, chosen, f"by {what}, {how}: {named} held out", (what,))


def _listed(names: Collection[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _NAMES_SHOWN} more" if len(listed) > _NAMES_SHOWN else ""
    return ", ".join(listed[:_NAMES_SHOWN]) + more


SUBJECT = SplitRule(
    "the subjects `names`, or a seeded share `held_out` of all subjects", by_subject, ("names", "held_out", "seed")
)
SESSION = SplitRule(
    "the sessions `names`, or a seeded share `held_out` of all sessions", by_session, ("names", "held_out", "seed")
)
LEAVE_ONE_SUBJECT_OUT = SplitRule(
    "one subject, number `fold` of the sorted names",
    leave_one_subject_out,
    ("fold",),
    needs="the number of the subject that is held out, from 1 on",
)
