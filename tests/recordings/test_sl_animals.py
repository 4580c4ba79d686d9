"""SL-Animals-DVS from small files in its layout: signs by their numbers of events, people apart."""

from pathlib import Path

import event_files
import numpy as np
import pytest
from published_layouts import make, put

from stdl_events.errors import DatasetError, TruncatedRecordingError
from stdl_events.events.stream import EventArray
from stdl_events.recordings.datasets.sl_animals import NAMES_FILE, read_sl_animals, split_sl_animals
from stdl_events.recordings.entry import read_events

PEOPLE = ("user01_imse", "user02_imse", "user03_dc", "user04_sunlight")


def events_of(person: int) -> EventArray:
    return make(person, count=19 * 40)


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Four people; the sign of class c has the 35 events from 40 (c - 1) on."""
    for person, name in enumerate(PEOPLE):
        put(tmp_path / "allusers_aedat" / f"{name}.aedat", event_files.aedat2_dvs128(events_of(person)))
        lines = [f"{label},{40 * (label - 1)},{40 * (label - 1) + 35}" for label in range(1, 20)]
        text = "\n".join(["class,startTime_ev,endTime_ev", *lines])
        put(tmp_path / "tags_updated_19_08_2020" / f"{name}.csv", f"{text}\n")
    return tmp_path


def test_signs_are_the_events_of_their_numbers(animals: Path) -> None:
    recordings = read_sl_animals(animals)
    assert (len(recordings), len(recordings.classes), recordings.sensor_size) == (4 * 19, 19, (128, 128))
    assert recordings.classes[2] == "3"
    for entry in recordings.entries[::7]:
        start = 40 * entry.label
        whole = events_of(PEOPLE.index(entry.path.stem))
        np.testing.assert_array_equal(read_events(entry), whole[start : start + 35])
    assert {(entry.subject, entry.session) for entry in recordings.entries} == {
        ("user01", "imse"), ("user02", "imse"), ("user03", "dc"), ("user04", "sunlight")
    }  # fmt: skip


def test_people_are_held_out(animals: Path) -> None:
    split = split_sl_animals(animals)
    assert (len(split.train), len(split.test)) == (57, 19)
    assert "none of 4 persons or sessions on both sides" in split.check_disjoint()


def test_numbers_count_the_records_of_the_file(animals: Path) -> None:
    """Words that are no events count too: a special event at the front moves all signs by one."""
    path = animals / "allusers_aedat" / "user01_imse.aedat"
    data = path.read_bytes()
    first = len(event_files.aedat2_dvs128(events_of(0)[:0]))
    path.write_bytes(data[:first] + bytes([0, 0, 0x80, 0, 0, 0, 0, 0]) + data[first:])
    entry = next(entry for entry in read_sl_animals(animals).entries if entry.key == "user01_imse/01")
    np.testing.assert_array_equal(read_events(entry), events_of(0)[39:74])


def test_names_are_those_of_the_definitions(animals: Path) -> None:
    rows = "\n".join(f"{number},animal {number}" for number in range(1, 20))
    put(animals / NAMES_FILE, f"number,name\n{rows}\n")
    assert read_sl_animals(animals).classes[:2] == ("animal 1", "animal 2")


def test_what_is_missing_or_wrong_is_named(animals: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"got no such folder; expected allusers_aedat/user.*SL-ANIMALS-DVS"):
        read_sl_animals(tmp_path / "nowhere")
    tags = animals / "tags_updated_19_08_2020" / "user02_imse.csv"
    tags.write_text("class,start,end\n3,10,20\n20,30,40\n")
    with pytest.raises(DatasetError, match=r"user02_imse\.csv, line 3: got '20,30,40'; expected a class from 1 to 19"):
        read_sl_animals(animals)
    for odd in (f"3,10,{'1' * 5000}", "3" + "\t" * 50_000 + "x"):
        tags.write_text(f"class,start,end\n{odd}\n")
        with pytest.raises(DatasetError, match=r"user02_imse\.csv, line 2: got '3.*; expected a class from 1 to 19"):
            read_sl_animals(animals)
    tags.write_text("class,start,end\n3,750,770\n")
    cut = next(entry for entry in read_sl_animals(animals).entries if entry.key == "user02_imse/00")
    with pytest.raises(TruncatedRecordingError, match="got 10 of 20 records of a sign"):
        cut.open().read()
    tags.unlink()
    with pytest.raises(DatasetError, match=r"got user02_imse\.aedat without its tags;"):
        read_sl_animals(animals)
