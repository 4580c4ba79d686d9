"""`stdl-events info`: facts on stdout, everything else on stderr, one line and exit code 2 for bad files."""

import json
from pathlib import Path

import event_files
import numpy as np
import pytest


def test_json_has_every_fact(write, run_cli) -> None:
    events = event_files.make_events(400, 128, 128)
    path = write("a.aedat", event_files.aedat2_dvs128(events))
    code, out, err = run_cli("info", path, "--json")
    assert (code, err) == (0, "")
    duration_us = int(events["t"][-1] - events["t"][0])
    assert json.loads(out) == {
        "format": "aedat2",
        "width": 128,
        "height": 128,
        "sensor_size_from": "header",
        "time_unit": "us",
        "time_unit_from": "format",
        "events": 400,
        "t_first_us": int(events["t"][0]),
        "t_last_us": int(events["t"][-1]),
        "duration_us": duration_us,
        "rate_hz": 400e6 / duration_us,
        "on_fraction": np.count_nonzero(events["p"]) / 400,
        "time_ordered": True,
        "backward_steps": 0,
        "damage": None,
        "outside": 0,
        "strays": 0,
        "takes": [
            {
                "events": 400,
                "t_first_us": int(events["t"][0]),
                "t_last_us": int(events["t"][-1]),
                "is_reset": False,
            }
        ],
        "other_streams": [],
        "other_streams_unread": None,
    }


def test_table_for_people(write, run_cli) -> None:
    path = write("a.bin", event_files.atis_bin(event_files.make_events(400, 34, 34)))
    code, out, err = run_cli("info", path)
    assert (code, err) == (0, "")
    for text in ("nmnist", "34 x 34 (from the format)", "400", "in order", "events/s"):
        assert text in out


def test_disorder_is_told_and_warned_about(recordings_dir: Path, run_cli) -> None:
    path = recordings_dir / "formats" / "aedat2" / "stereo_pair_JustR.aedat"
    code, out, err = run_cli("info", path, "--json")
    facts = json.loads(out)
    assert code == 0
    assert (facts["time_ordered"], facts["backward_steps"]) == (False, 28)
    assert err.startswith("stdl-events: warning: ")
    assert err.count("\n") == 1
    code, out, err = run_cli("info", path, "--strict")
    assert (code, out) == (2, "")
    assert "leave --strict" in err


@pytest.mark.parametrize(("sensor", "size", "size_from"), [("34x34", (34, 34), "argument"), (None, (None, None), None)])
def test_valid_file_without_events(tmp_path: Path, run_cli, sensor, size, size_from) -> None:
    np.save(tmp_path / "a.npy", np.zeros(0, event_files.EVENT_DTYPE))
    code, out, err = run_cli("info", tmp_path / "a.npy", "--json", *(["--sensor", sensor] if sensor else []))
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert (facts["width"], facts["height"]) == size
    assert facts["sensor_size_from"] == size_from
    assert facts["events"] == 0
    for name in ("t_first_us", "t_last_us", "duration_us", "rate_hz", "on_fraction"):
        assert facts[name] is None
    code, out, err = run_cli("info", tmp_path / "a.npy")
    assert (code, err) == (0, "")


def test_one_event_has_no_rate(tmp_path: Path, run_cli) -> None:
    np.save(tmp_path / "a.npy", np.ones(1, event_files.EVENT_DTYPE))
    code, out, _ = run_cli("info", tmp_path / "a.npy", "--json")
    facts = json.loads(out)
    assert (code, facts["duration_us"], facts["rate_hz"], facts["on_fraction"]) == (0, 0, None, 1.0)


def test_repair_counts_what_it_kept(write, run_cli) -> None:
    path = write("cut.aedat", event_files.aedat2_dvs128(event_files.make_events(400, 128, 128))[:-3])
    code, out, err = run_cli("info", path, "--json", "--repair")
    facts = json.loads(out)
    assert (code, facts["events"]) == (0, 399)
    assert facts["damage"].startswith("5 of 8 bytes of a record, which starts at byte ")
    assert "kept the 399 events before it" in err
    code, out, _ = run_cli("info", path, "--repair")
    assert "5 of 8 bytes" in out


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("absent.aedat4", None, "no such file"),
        ("a.aedat4", b"just text", "expected .aedat4 content"),
        ("a.aedat4", b"", "an empty file (0 bytes)"),
        ("a.aedat4", b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        ("a.bin", bytes(12), "got 2 of 5 bytes of a record, which starts at byte 10"),
        (
            "a.aedat4",
            event_files.aedat4([(0, 9, 9, [event_files.make_events(99, 9, 9)])])[:-80],
            "which starts at byte",
        ),
    ],
)
def test_bad_files_are_one_line_and_exit_code_2(tmp_path: Path, write, run_cli, name, data, text) -> None:
    path = tmp_path / name if data is None else write(name, data)
    code, out, err = run_cli("info", path, "--json")
    assert (code, out) == (2, "")
    assert err.startswith(f"stdl-events: error: {path}: got ")
    assert err.count("\n") == 1
    assert text in err


def test_sensor_that_is_no_size(run_cli) -> None:
    code, _, err = run_cli("info", "a.bin", "--sensor", "big")
    assert code == 2
    assert err == "stdl-events: error: --sensor: got 'big'; expected width x height, such as 346x260; correct it\n"
