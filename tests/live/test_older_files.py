"""Files that version 0.1.0 wrote still run, with the predictions that it had.

`version_0_1_0/` holds three files of its exporter, in which the notes of one node alone are left, and what its `live`
predicted of `events`: states that are zeroed and carried, windows by time and by count, rate and convolutional layers.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from collectors import Collector

from stdl_events.events import open_source
from stdl_events.live import OnnxSession, Recogniser, run_live

FILES = Path(__file__).parent / "version_0_1_0"
EXPECTED = json.loads((FILES / "predictions.json").read_text(encoding="utf-8"))


def draws() -> Iterator[int]:
    """Yield the numbers of a linear congruential generator, the same with every version of numpy."""
    value = 1
    while True:
        value = (value * 1103515245 + 12345) % 2**31
        yield value >> 16


def event_lines(width: int, height: int) -> str:
    numbers, lines, t_us = draws(), [], 0
    for _ in range(1500):
        t_us += next(numbers) % 250
        lines.append(f"{t_us} {next(numbers) % width} {next(numbers) % height} {next(numbers) % 2}\n")
    return "".join(lines)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_file_of_0_1_0_predicts_what_it_predicted(name, tmp_path):
    expected = EXPECTED[name]
    size = tuple(expected["sensor_size"])
    (tmp_path / "events.txt").write_text(event_lines(*size), encoding="utf-8")
    sink = Collector()
    source = open_source(str(tmp_path / "events.txt"), speed=None, sensor_size=size)
    recogniser = Recogniser(OnnxSession(FILES / f"{name}.onnx"), size)
    summary = run_live(source, recogniser, [sink], every="frame", overload="complete")
    rows = [[each.t_us, each.clip, each.step, *each.probabilities.values()] for each in sink.predictions]
    np.testing.assert_allclose(rows, expected["predictions"], rtol=0, atol=1e-6)
    assert (summary.clips, summary.events) == (expected["clips"], 1500)
