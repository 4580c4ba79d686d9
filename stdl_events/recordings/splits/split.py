"""Split rules. Random clips of one recording are not among them: neighbours in time look alike."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection
from dataclasses import replace
from itertools import chain

import numpy as np

from stdl_events.errors import SplitError
from stdl_events.events import span_us
from stdl_events.recordings.entry import WHOLE, Entry, RecordingSet, Split
from stdl_events.recordings.registry import SplitRule
from stdl_events.recordings.splits.held_out_groups import choose_groups, hold_out, labels_of
from stdl_events.recordings.splits.split_parts import of_each_recording, require_before, split_parts
from stdl_events.recordings.takes import takes_of

_NUMBER = re.compile(r"\d+")


def file_number(entry: Entry) -> int:
    """Return the last number in the file's name without its suffixes.

    Raises:
        SplitError: the name has no number.
    """
    numbers = _NUMBER.findall(entry.path.name.split(".")[0])
    if not numbers:
        raise SplitError(
            str(entry.path), got="a file name without a number", expected="names such as 00042.bin",
            todo="use another rule, such as by recording",
        )  # fmt: skip
    return int(numbers[-1])


def by_order(recordings: RecordingSet, *, train: int, test: int, per_class: bool = False) -> Split:
    """Split by file number: the first `train` to train, the last `test` held out; of each class with `per_class`.

    Parts of one recording stay together.

    Raises:
        SplitError: there are fewer than `train + test` recordings, a name has no number, or, with `per_class`, a
            recording has parts of several classes.
    """
    pools = _files_of_each_class(recordings) if per_class else {"all": list(of_each_recording(recordings).values())}
    trained: list[Entry] = []
    held_out: list[Entry] = []
    between = 0
    for name, pool in pools.items():
        if len(pool) < train + test or min(train, test) < 1:
            raise SplitError(
                f"split by order, {name}", got=f"{len(pool)} recordings for {train} to train and {test} held out",
                expected=f"at least {train + test}, at least 1 on each side", todo="ask for fewer or add recordings",
            )  # fmt: skip
        ordered = sorted(pool, key=lambda parts: (file_number(parts[0]), parts[0].key))
        trained += chain(*ordered[:train])
        held_out += chain(*ordered[len(ordered) - test :])
        between += len(ordered) - train - test
    rule = f"by file number, first {train} and last {test}{' of each class' if per_class else ''}"
    rule += f", {between} between them on no side" if between else ""
    return Split(recordings.with_entries(trained), recordings.with_entries(held_out), rule)


def by_recording(recordings: RecordingSet, *, held_out: float, seed: int) -> Split:
    """Hold out a seeded share `held_out` of each class's recordings, at least one.

    Parts and takes of one recording stay together.

    Raises:
        SplitError: a class has fewer than two recordings, or `held_out` is not between 0 and 1.
    """
    _check_share(held_out)
    groups = of_each_recording(recordings)
    counts = Counter(chain.from_iterable(labels_of(groups).values()))
    for label, name in enumerate(recordings.classes):
        if counts[label] == 1:
            raise SplitError(
                f"split by recording, class {name}", got="1 recording", expected="at least 2",
                todo="add recordings, or split long ones by time (--split time)",
            )  # fmt: skip
    firsts = [parts[0] for parts in groups.values() if all(part.file_key == parts[0].file_key for part in parts)]
    if len(firsts) < len(groups):
        chosen = choose_groups(labels_of(groups), held_out, seed)
        return hold_out(recordings, groups, chosen, f"by recording, {len(chosen)} of {len(groups)}, seed {seed}")
    rng = np.random.default_rng(seed)
    trained: list[Entry] = []
    tested: list[Entry] = []
    takes = {parts[0].file_key: parts for parts in groups.values()}
    for pool in _of_each_class(recordings.with_entries(firsts)).values():
        count = min(len(pool) - 1, max(1, round(held_out * len(pool))))
        drawn = set(rng.permutation(len(pool))[:count].tolist())
        for index, key in enumerate(sorted(entry.file_key for entry in pool)):
            side = tested if index in drawn else trained
            side += takes[key]
    rule = f"by recording, {held_out:.0%} of each class, seed {seed}"
    return Split(recordings.with_entries(trained), recordings.with_entries(tested), rule)


def by_time(recordings: RecordingSet, *, held_out: float, gap_us: int) -> Split:
    """Hold out the last share `held_out` of every recording's time; `gap_us` before it is dropped.

    With `gap_us` of one clip, no clip of one side begins within a clip's length of the other side's. The held-out part
    begins at exactly 1 - `held_out` of the time from the first event to the last: of each take, if the clock was reset.
    Of a recording that is labelled in parts, the last share of each class's parts is held out, and of a class with one
    part the end of that part.

    Raises:
        SplitError: a recording or a part is too short for the gap.
    """
    _check_share(held_out)
    trained: list[Entry] = []
    tested: list[Entry] = []
    for entry in recordings.entries:
        if entry.span != WHOLE:
            continue
        border = 1 - held_out
        for take, recording in takes_of(entry, entry.open()):
            t0_us, t1_us = span_us(recording, None, border)
            whole_us = span_us(recording)[1] - t0_us
            require_before(take, t1_us - t0_us, gap_us, whole_us)
            take = replace(take, divided_us=whole_us)
            trained.append(replace(take, key=f"{take.key}:train", span=(t0_us, t1_us - gap_us)))
            tested.append(replace(take, key=f"{take.key}:test", span=(border, None)))
    of_what = "each recording" if trained else "each class's parts in a recording"
    rule = f"by time, last {held_out:.0%} of {of_what}, gap {gap_us / 1000:g} ms"
    for file in of_each_recording(recordings).values():
        sides = split_parts([entry for entry in file if entry.span != WHOLE], held_out, gap_us)
        trained += sides[0]
        tested += sides[1]
    return Split(recordings.with_entries(trained), recordings.with_entries(tested), rule, gap_us)


def by_group(recordings: RecordingSet, *, held_out: Collection[str]) -> Split:
    """Hold out the recordings of the persons or sessions `held_out`.

    Raises:
        SplitError: a recording has no group, or a name in `held_out` is unknown.
    """
    groups = {entry.group for entry in recordings.entries}
    if None in groups:
        nameless = next(entry.key for entry in recordings.entries if entry.group is None)
        raise SplitError(
            f"split by group, {nameless}", got="no person or session", expected="one for every recording",
            todo="use another rule, such as by recording",
        )  # fmt: skip
    unknown = sorted(set(held_out) - {group for group in groups if group is not None})
    if unknown:
        raise SplitError(
            "split by group", got=f"{', '.join(unknown)}, which no recording has",
            expected=f"some of {', '.join(sorted(group for group in groups if group is not None)[:10])}",
            todo="correct the names",
        )  # fmt: skip
    trained = [entry for entry in recordings.entries if entry.group not in held_out]
    tested = [entry for entry in recordings.entries if entry.group in held_out]
    rule = f"by group, {len(set(held_out))} of {len(groups)} held out"
    return Split(recordings.with_entries(trained), recordings.with_entries(tested), rule)


def _check_share(held_out: float) -> None:
    if not 0 < held_out < 1:
        raise SplitError("split", got=f"held out {held_out}", expected="a share between 0 and 1", todo="correct it")


def _of_each_class(recordings: RecordingSet) -> dict[str, list[Entry]]:
    pools: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in recordings.entries:
        pools[recordings.classes[entry.label]].append(entry)
    return dict(sorted(pools.items()))


def _files_of_each_class(recordings: RecordingSet) -> dict[str, list[list[Entry]]]:
    pools: defaultdict[str, list[list[Entry]]] = defaultdict(list)
    for parts in of_each_recording(recordings).values():
        names = sorted({recordings.classes[entry.label] for entry in parts})
        if len(names) > 1:
            raise SplitError(
                f"split by order, {parts[0].key}", got=f"parts of {', '.join(names)}", expected="one class a recording",
                todo="split by recording",
            )  # fmt: skip
        pools[names[0]].append(parts)
    return dict(sorted(pools.items()))


ORDER = SplitRule(
    "the first `train` and the last `test` recordings by file number",
    by_order,
    ("train", "test"),
    needs="how many recordings are on each side",
)
RECORDING = SplitRule("a seeded share `held_out` of each class's recordings", by_recording, ("held_out", "seed"))
TIME = SplitRule(
    "the last share `held_out` of each recording's time, `gap_us` before it left out",
    by_time,
    ("held_out", "gap_us"),
    needs="the time between the two sides, since clips have no fixed length",
    reads_events=True,
)
