"""The score of decisions over a recording, on timelines written by hand."""

import pytest

from stdl_events.analysis.movement_score import Segment, TimedDecision, said, score_timeline, share_of_time

MS = 1_000
UP, DOWN = Segment(2_000 * MS, 3_000 * MS, "up"), Segment(3_200 * MS, 4_000 * MS, "down")
SPAN = (0, 10_000 * MS)


def line(text: str) -> list[TimedDecision]:
    """Read "2100 up, 3000 -": times in ms, and "-" for no class."""
    words = [word.split() for word in text.split(",")] if text else []
    return [TimedDecision(int(t) * MS, None if label == "-" else label) for t, label in words]


def test_only_changes_are_said() -> None:
    decisions = line("100 -, 200 up, 300 up, 400 down, 500 up, 600 -, 700 up")
    assert [(one.t_us // MS, one.label) for one in said(decisions)] == [
        (200, "up"), (400, "down"), (500, "up"), (700, "up"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "delays", "wrong", "doubles", "alarms"),
    [
        ("2200 up, 3300 down, 4100 -", [200, 100], [(), ()], [0, 0], []),
        ("", [None, None], [(), ()], [0, 0], []),
        # A name that stays is said once; one that comes again after nothing is a double.
        ("2200 up, 2300 up, 2400 -, 2500 up", [200, None], [(), ()], [1, 0], []),
        # Both windows hold 3250: the name decides, whichever order they come in.
        ("3250 up, 3280 down", [1250, 80], [(), ()], [0, 0], []),
        ("3150 down, 3250 up", [1250, -50], [(), ()], [0, 0], []),
        # Neither is named by it: it is of the one that began last.
        ("3250 wave", [None, None], [(), ("wave",)], [0, 0], []),
        # A second "up" in both windows is no double of "up", since "down" began last.
        ("2200 up, 3250 down, 3260 up", [200, 50], [(), ("up",)], [0, 0], []),
        # The wrong name first, then the right one.
        ("2100 down, 2200 up", [200, None], [("down",), ()], [0, 0], []),
        # The ends of the windows.
        ("1899 up", [None, None], [(), ()], [0, 0], [1899]),
        ("1900 up", [-100, None], [(), ()], [0, 0], []),
        ("4299 down", [None, 1099], [(), ()], [0, 0], []),
        ("4300 down", [None, None], [(), ()], [0, 0], [4300]),
        ("100 up, 200 -, 300 up, 9000 down", [None, None], [(), ()], [0, 0], [100, 300, 9000]),
        # Said before the window, a name that stays names nothing.
        ("1500 up, 2500 up", [None, None], [(), ()], [0, 0], [1500]),
    ],
)
def test_sayings_are_matched(
    text: str,
    delays: list[int | None],
    wrong: list[tuple[str, ...]],
    doubles: list[int],
    alarms: list[int],
) -> None:
    found = score_timeline(line(text), [DOWN, UP], SPAN)
    assert [one.segment for one in found.movements] == [UP, DOWN]
    assert [one.delay_us if one.delay_us is None else one.delay_us // MS for one in found.movements] == delays
    assert [one.wrong for one in found.movements] == wrong
    assert [one.doubles for one in found.movements] == doubles
    assert [one.t_us // MS for one in found.false_alarms] == alarms
    # 0 to 1.9 s and 4.3 to 10 s: the windows of the two overlap.
    assert found.still_us == 7_600 * MS


def test_summary_counts_and_adds_recordings() -> None:
    one = score_timeline(line("2200 up, 2300 -, 2400 up, 3600 down, 9000 up"), [UP, DOWN], SPAN)
    two = score_timeline(line("2100 up, 3300 up"), [UP, DOWN], (1_000 * MS, 5_000 * MS))
    assert (one + two).summary() == {
        "movements": 4,
        "named": 3,
        "once": 2,
        "missed": 1,
        "wrong_names": 0,
        "doubles": 1,
        "delay_ms_median": 200,
        "delay_ms_max": 400,
        "named_within_300_ms": 2,
        "false_alarms": 1,
        "still_s": pytest.approx(7.6 + 0.9 + 0.7),
        "false_alarms_per_min": pytest.approx(60 / 9.2),
    }


def test_recording_without_movements_is_all_still() -> None:
    found = score_timeline(line("500 up"), [], (0, 30_000 * MS))
    assert (found.movements, found.still_us, found.false_alarms_per_min) == ((), 30_000 * MS, 2)
    full = score_timeline([], [Segment(0, 1_000, "up")], (0, 1_000))
    assert (full.still_us, full.false_alarms_per_min) == (0, None)


def test_shares_of_time() -> None:
    found = share_of_time(line("1000 up, 3000 -, 4000 down, 9000 up"), "up", SPAN)
    assert found == {"right": pytest.approx(0.3), "wrong": pytest.approx(0.5), "nothing": pytest.approx(0.2)}
    assert share_of_time([], "up", SPAN) == {"right": 0, "wrong": 0, "nothing": 1}
