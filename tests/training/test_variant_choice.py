"""`export --auto` keeps the quickest variant within the bound, never a slower one than float32."""

from pathlib import Path

import numpy as np
import pytest
from onnx_models import make_card, stream_spec, write_model

from stdl_events.export.variants import keep_variant
from stdl_events.training.evaluation.variant_choice import Candidate, VariantClips, choose, choose_variant, judge


def candidate(precision: str, p50_ms: float, accuracy: float, size: int = 100) -> Candidate:
    return Candidate(precision, "", size, p50_ms, 2 * p50_ms, accuracy)


@pytest.mark.parametrize(
    ("rows", "kept", "problems"),
    [
        ([("float32", 1.0, 0.90), ("int8", 0.5, 0.895)], "int8", ["", ""]),
        ([("float32", 1.0, 0.90), ("int8", 0.5, 0.894)], "float32", ["", "loses 0.6 points"]),
        ([("float32", 1.0, 0.90), ("int8", 1.1, 0.95)], "float32", ["", "slower than float32"]),
        ([("float32", 1.0, 0.90), ("float16", 0.9, 0.90), ("int8", 0.8, 0.90)], "int8", ["", "", ""]),
    ],
)
def test_the_quickest_within_the_bound_is_kept(rows, kept: str, problems: list[str]) -> None:
    judged = judge([candidate(*row) for row in rows], within=0.5)
    assert choose(judged) == kept
    assert [row.problem for row in judged] == problems


def test_of_equally_quick_variants_the_smallest_is_kept() -> None:
    rows = [candidate("float32", 1.0, 0.9, 100), candidate("float16", 0.98, 0.9, 50), candidate("int8", 0.5, 0.5, 25)]
    assert choose(judge(rows, within=0.5)) == "float16"
    assert choose(judge([candidate("float32", 1.0, 0.9), Candidate("int8", "refused: something")], 0.5)) == "float32"


def test_all_variants_are_made_timed_and_evaluated(tmp_path: Path) -> None:
    source = write_model(tmp_path / "m.onnx", make_card(stream_spec()))
    rng = np.random.default_rng(0)
    frames_NTCHW = rng.integers(0, 4, (8, 4, 2, 6, 8)).astype(np.uint8)
    frames_NTCHW[::2, :, 0] = 0  # the others have as many events of both polarities
    clips = VariantClips(frames_NTCHW, "validation", frames_NTCHW, np.array([1, 0] * 4))
    said: list[str] = []
    choice, kept = choose_variant(source, clips, tmp_path, progress=said.append)
    assert [each.precision for each in choice.candidates] == ["float32", "float16", "int8"]
    floats = choice.candidates[0]
    assert floats.p50_ms is not None
    assert floats.accuracy is not None
    assert floats.accuracy >= 0.5
    # The float32 file is the source itself, whose card states how it was checked.
    assert floats.bytes == source.stat().st_size
    assert not (tmp_path / "float32.onnx").exists()
    keep_variant(kept, tmp_path / "kept.onnx")
    assert (tmp_path / "kept.onnx").read_bytes() == kept.read_bytes()
    for each in choice.candidates:
        if each.precision == choice.kept:
            assert kept.stat().st_size == each.bytes
            assert each.p50_ms is not None
            assert each.p50_ms <= floats.p50_ms
    assert choice.lines()[-1].startswith(f"{choice.kept} is kept: the quickest within 0.5 points of float32 on 8 clips")
    assert max(map(len, choice.lines()[:-1])) <= 80
    assert said[0] == "making and comparing float32"
