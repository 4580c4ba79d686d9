"""`evaluate --robustness`: accuracies level by level, in a table of 80 columns, as JSON and as a picture."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stdl_events.analysis.robustness import robustness_lines
from stdl_events.errors import DatasetError
from stdl_events.training.evaluation.evaluate_run import evaluate, open_held_out
from stdl_events.training.evaluation.robustness import evaluate_robustness, require_events

Cli = Callable[..., tuple[int, str, str]]


def test_levels_are_evaluated_beside_the_recordings_as_they_are(small_run: Path) -> None:
    told: list[tuple[int, int, str]] = []
    levels = {"drop": (0, 100), "speed": (4,)}
    found = evaluate_robustness(small_run, levels, device="cpu", progress=lambda *at: told.append(at))
    plain = evaluate(small_run, device="cpu")
    none, all_dropped, fast = found.levels
    assert found.clean.accuracy == none.accuracy == plain.accuracy
    assert found.clean.clips == none.clips == all_dropped.clips == len(plain.clips) == 18
    assert found.chance == plain.chance
    # All clips are empty, so the answer is one of three classes of equal size.
    assert all_dropped.accuracy == pytest.approx(1 / 3)
    # 40 ms are left of 160, less than one clip.
    assert (fast.clips, fast.accuracy, found.mean("speed")) == (0, None, None)
    assert found.mean("drop") == pytest.approx((plain.accuracy + 1 / 3) / 2)
    assert told == [(0, 4, "clean"), (1, 4, "drop 0"), (2, 4, "drop 100"), (3, 4, "speed 4")]
    lines = robustness_lines(found.summary())
    assert max(map(len, lines)) <= 80
    assert "speed: movements faster or slower; level in times as fast" in lines
    assert lines[-1].endswith("4  no clip is left")


def test_command_prints_draws_and_is_the_same_by_seed(tmp_path: Path, small_run: Path, run_cli: Cli) -> None:
    words = ("evaluate", small_run, "--robustness", "noise=20,shift=4", "--device", "cpu")
    code, out, err = run_cli(*words, "--json", "--out", tmp_path / "p.png", "--seed", 3)
    assert code == 0, err
    summary = json.loads(out)
    assert summary["seed"] == 3
    assert "warning" not in err  # matplotlib's, for a panel without a line
    assert [row["level"] for row in summary["corruptions"]["noise"]["levels"]] == [20]
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    again = json.loads(run_cli(*words, "--json", "--seed", 3)[1])
    assert again == summary
    code, out, err = run_cli(*words)
    assert code == 0
    assert "noise: background noise added" in out
    assert "next: stdl-events export" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--robustness", "nois"), "did you mean 'noise'"),
        (("--robustness", "drop", "--out", "picture.gif"), ".gif"),
        (("--out", "picture.png"), "--robustness"),
        (("--robustness", "drop", "--predictions", "p.json"), "--predictions"),
    ],
)
def test_wrong_words_are_one_line(small_run: Path, run_cli: Cli, words: tuple[str, ...], said: str) -> None:
    code, out, err = run_cli("evaluate", small_run, *words)
    assert code == 2
    assert said in err
    assert not out


def test_events_that_are_not_there_are_an_error(small_run: Path) -> None:
    opened = open_held_out(small_run, device="cpu")
    require_events(opened)
    entries = [replace(entry, path=Path("gone") / entry.path.name) for entry in opened.recordings.entries]
    with pytest.raises(DatasetError, match=r"no such file, one of 9; .*--data DIR"):
        require_events(replace(opened, recordings=opened.recordings.with_entries(entries)))
