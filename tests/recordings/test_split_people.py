"""Splits by subject and session, and splits of recordings that are labelled in parts."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_recordings import SIZE, keys

from stdl_events.errors import SplitError
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings import (
    Entry,
    RecordingSet,
    Split,
    by_order,
    by_recording,
    by_session,
    by_subject,
    by_time,
    leave_one_subject_out,
)
from stdl_events.recordings.splits.held_out_groups import choose_groups
from stdl_events.recordings.splits.validation_part import with_validation

CLASSES = ("a", "b", "c")


def of_people(*names: str | None, classes: int = 2, each: int = 2) -> RecordingSet:
    """Each person in `each` recordings of each class; the sessions are the numbers of the recordings."""
    entries = [
        Entry(
            f"{name}/{label}/{number}", Path(f"{name}/{label}/{number}.bin"), label, subject=name, session=str(number)
        )
        for name in names
        for label in range(classes)
        for number in range(each)
    ]
    return RecordingSet(CLASSES[:classes], SIZE, tuple(entries))


def parts(*spans: tuple[str, int, int, int], classes: int = 2) -> RecordingSet:
    """Parts (file, label, start, stop) of recordings that are not on disk."""
    entries = (Entry(f"{file}:{start}", Path(file), label, (start, stop)) for file, label, start, stop in spans)
    return RecordingSet(CLASSES[:classes], SIZE, tuple(entries))


def subjects(entries: Sequence[Entry]) -> set[str | None]:
    return {entry.subject for entry in entries}


def test_named_subjects_and_sessions_are_held_out() -> None:
    recordings = of_people("ann", "ben", "cy")
    split = by_subject(recordings, names=("ben", "cy"), held_out=0.2, seed=0)
    assert (subjects(split.train.entries), subjects(split.test.entries)) == ({"ann"}, {"ben", "cy"})
    assert split.rule == "by subject, as named: ben, cy held out"
    split = by_session(recordings, names=["1"], held_out=0.2, seed=0)
    assert {entry.session for entry in split.test.entries} == {"1"}
    assert {entry.session for entry in split.train.entries} == {"0"}


@given(st.integers(2, 12), st.floats(0.05, 0.95), st.integers(0, 50))
def test_a_share_of_subjects_is_held_out(count: int, share: float, seed: int) -> None:
    names = [f"p{number}" for number in range(count)]
    recordings = of_people(*names)
    split = by_subject(recordings, held_out=share, seed=seed)
    trained, tested = subjects(split.train.entries), subjects(split.test.entries)
    assert trained | tested == set(names)
    assert not trained & tested
    assert len(tested) == min(count - 1, max(1, round(share * count)))
    shuffled = recordings.with_entries(reversed(recordings.entries))
    assert subjects(by_subject(shuffled, held_out=share, seed=seed).test.entries) == tested


@given(st.integers(0, 30))
def test_every_class_stays_on_both_sides_where_it_can(seed: int) -> None:
    """Of ten people two have class 2: one of them must be held out, and the other one not."""
    labels_of = {f"p{number}": {0, 1, 2} if number < 2 else {0, 1} for number in range(10)}
    chosen = choose_groups(labels_of, 0.2, seed)
    assert len(chosen & {"p0", "p1"}) == 1
    assert len(chosen) == 2


def test_the_seed_alone_decides() -> None:
    recordings = of_people(*"abcdefghij")
    tested = [
        frozenset(subjects(by_subject(recordings, held_out=0.3, seed=seed).test.entries)) for seed in (1, 1, 2, 3)
    ]
    assert tested[0] == tested[1]
    assert len(set(tested)) > 1


def test_a_class_of_one_subject_is_a_warning() -> None:
    recordings = of_people("ann", "ben")
    only = Entry("ann/c", Path("ann/c"), 2, subject="ann", session="0")
    recordings = RecordingSet(CLASSES, SIZE, (*recordings.entries, only))
    with pytest.warns(RecordingWarning, match="ben held out: no recordings held out of c$"):
        by_subject(recordings, names=["ben"], held_out=0.5, seed=0)
    with pytest.warns(RecordingWarning, match="ann held out: no recordings to train on of c$"):
        leave_one_subject_out(recordings, fold=1)


def test_each_fold_holds_out_one_subject_by_number() -> None:
    recordings = of_people("p10", "p2", "p1")
    held_out = [subjects(leave_one_subject_out(recordings, fold=fold).test.entries) for fold in (1, 2, 3)]
    assert held_out == [{"p1"}, {"p2"}, {"p10"}]
    assert leave_one_subject_out(recordings, fold=3).rule == "by subject, fold 3 of 3: p10 held out"
    with pytest.raises(SplitError, match="got fold 4; expected 1 to 3, one for each subject"):
        leave_one_subject_out(recordings, fold=4)


@pytest.mark.parametrize(
    ("people", "each", "by", "kind"),
    [
        (("ann", "ben"), 1, "session", "subject"),
        (("ann",), 2, "subject", "session"),
        (("ann",), 1, "session", "recording"),
    ],
)
def test_a_single_group_names_another_kind_of_validation_part(
    people: tuple[str, ...], each: int, by: str, kind: str
) -> None:
    recordings = of_people(*people, each=each)
    split = Split(recordings, recordings, "by hand")
    text = f"got 1 {by} to train on; .*; add some, or take it by {kind}, such as --validation {kind}="
    with pytest.raises(SplitError, match=text):
        with_validation(split, share=0.2, names=(), by=by, seed=0, gap_us=None)
    assert with_validation(split, share=0.2, names=(), by=kind, seed=0, gap_us=None).validation is not None


def test_people_that_cannot_be_split() -> None:
    with pytest.raises(SplitError, match=r"split by subject, None/0/0: got no subject; .*data\.layout"):
        by_subject(of_people("ann", None), held_out=0.5, seed=0)
    with pytest.raises(SplitError, match="got one subject, ann; expected at least two"):
        leave_one_subject_out(of_people("ann"), fold=1)
    with pytest.raises(SplitError, match="got dora, which no recording has; expected some of ann, ben, and not all"):
        by_subject(of_people("ann", "ben"), names=["dora", "ann"], held_out=0.5, seed=0)
    with pytest.raises(SplitError, match="got all subjects; expected some of ann, ben, and not all"):
        by_subject(of_people("ann", "ben"), names=["ann", "ben"], held_out=0.5, seed=0)


def test_the_check_says_how_many_are_on_both_sides_and_keeps_the_rule() -> None:
    recordings = of_people("ann", "ben", "cy").with_entries(
        Entry(entry.key, entry.path, entry.label, subject=entry.subject, session=entry.session, content=entry.key)
        for entry in of_people("ann", "ben", "cy").entries
    )
    line = by_subject(recordings, names=["ben"], held_out=0.5, seed=0).check_disjoint()
    assert line.endswith("none of 3 subjects on both sides; 2 of 2 sessions on both sides")
    line = by_recording(recordings, held_out=0.5, seed=0).check_disjoint()
    assert "3 of 3 subjects on both sides" in line
    halves = [recordings.with_entries(recordings.entries[side::2]) for side in (0, 1)]
    with pytest.raises(SplitError, match="got the subject ann, ben, cy on both sides; expected each"):
        Split(*halves, "by subject", apart=("subject",)).check_disjoint()


@given(st.integers(2, 8), st.floats(0.1, 0.9), st.integers(0, 20))
def test_parts_of_one_recording_stay_together(files: int, share: float, seed: int) -> None:
    recordings = parts(*((f"{file}.bin", label, start, start + 5) for file in range(files)
                         for label, start in ((0, 0), (1, 10), (0, 20))))  # fmt: skip
    for split in (by_recording(recordings, held_out=share, seed=seed), by_order(recordings, train=1, test=1)):
        trained, tested = ({entry.path for entry in side.entries} for side in (split.train, split.test))
        assert not trained & tested
        assert all(
            len(side.entries) == 3 * len(paths) for side, paths in ((split.train, trained), (split.test, tested))
        )


def test_classes_in_recordings_of_their_own_stay_on_both_sides() -> None:
    recordings = parts(*((f"{label}/{file}", label, 0, 5) for label in range(3) for file in range(4)),
                       ("2/0", 2, 10, 15), classes=3)  # fmt: skip
    split = by_recording(recordings, held_out=0.25, seed=0)
    assert sorted({(entry.label, entry.path.parent.name) for entry in split.test.entries}) == [
        (0, "0"),
        (1, "1"),
        (2, "2"),
    ]
    with pytest.raises(SplitError, match="class b: got 1 recording; expected at least 2"):
        by_recording(parts(("x", 0, 0, 5), ("x", 1, 6, 9), ("y", 0, 0, 5)), held_out=0.5, seed=0)
    with pytest.raises(SplitError, match="split by order, x:0: got parts of a, b; expected one class a recording"):
        by_order(parts(("x", 0, 0, 5), ("x", 1, 6, 9)), train=1, test=1, per_class=True)


def spans(recordings: RecordingSet) -> list[tuple[object, object, int]]:
    return [(*entry.span, entry.label) for entry in recordings.entries]


def test_by_time_holds_out_the_last_parts_of_each_class() -> None:
    alternating = [("x", number % 2, 100 * number, 100 * number + 80) for number in range(10)]
    split = by_time(parts(*alternating), held_out=0.2, gap_us=10)
    assert spans(split.test) == [(800, 880, 0), (900, 980, 1)]
    assert sorted(spans(split.train)) == [(100 * number, 100 * number + 80, number % 2) for number in range(8)]
    assert split.rule == "by time, last 20% of each class's parts in a recording, gap 0.01 ms"
    assert "in parts at least 0.01 ms apart" in _known(split).check_disjoint()


def test_by_time_divides_the_only_part_of_a_class() -> None:
    split = by_time(parts(("x", 0, 0, 1000), ("x", 1, 1000, 2000)), held_out=0.3, gap_us=100)
    assert spans(split.test) == [(700, 1000, 0), (1700, 2000, 1)]
    # The second part begins right behind a held-out one.
    assert spans(split.train) == [(0, 600, 0), (1100, 1600, 1)]
    assert keys(split.test) == ["x:0:test", "x:1000:test"]
    assert "2 recordings" not in _known(split).check_disjoint()
    with pytest.raises(SplitError, match="x:0: got 70 us before the held-out part, of 100 us in all; expected"):
        by_time(parts(("x", 0, 0, 100), ("x", 1, 100, 2000)), held_out=0.3, gap_us=100)


def test_by_time_shortens_and_leaves_out_what_is_too_near() -> None:
    recordings = parts(("x", 0, 0, 100), ("x", 1, 110, 120), ("x", 1, 210, 300), ("x", 0, 500, 600))
    with pytest.warns(RecordingWarning, match=r"1 parts to train on are left out, within 0\.2 ms of .*: x:110"):
        split = by_time(recordings, held_out=0.2, gap_us=200)
    assert spans(split.train) == [(0, 10, 0)]
    assert spans(split.test) == [(500, 600, 0), (210, 300, 1)]


def _known(split: Split) -> Split:
    """The split with contents that need no files."""
    sides = [
        side.with_entries(
            Entry(entry.key, entry.path, entry.label, entry.span, content=str(entry.path)) for entry in side.entries
        )
        for side in (split.train, split.test)
    ]
    return Split(*sides, split.rule, split.gap_us, split.apart)
