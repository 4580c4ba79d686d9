"""The files of a sweep beside sweep.json: the table, a row per run, and a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stdl_events.analysis.run_pictures import sweep_picture
from stdl_events.training.run_folder import write_text
from stdl_events.training.sweeps.sweep_folder import SWEEP_FILE, SweepRecord
from stdl_events.training.sweeps.sweep_table import as_csv, as_markdown

TABLE_FILE, RUNS_FILE, PICTURE_FILE = "sweep.md", "sweep.csv", "sweep.png"


def write_report(record: SweepRecord, rows: Sequence[dict[str, Any]]) -> list[Path]:
    """Write sweep.md, sweep.csv and, if a run has finished, sweep.png. Returns the paths of all files.

    Raises:
        UserError: a file cannot be written.
    """
    folder = record.folder
    write_text(folder / TABLE_FILE, as_markdown(record, rows))
    write_text(folder / RUNS_FILE, as_csv(record))
    files = [folder / SWEEP_FILE, folder / TABLE_FILE, folder / RUNS_FILE]
    points = {
        one.name: [
            (trial.seed, run["accuracy"])
            for trial in record.sweep.trials_of(one)
            if "accuracy" in (run := record.runs.get(trial.name, {}))
        ]
        for one in record.sweep.combinations
    }
    if any(points.values()):
        sweep_picture(folder / PICTURE_FILE, points, list(record.baselines.values()))
        files.append(folder / PICTURE_FILE)
    return files
