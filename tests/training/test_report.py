"""The report of a run: well-formed, self-contained, text that stays text, and numbers that are those of the run."""

import base64
import hashlib
import json
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from class_recordings import SENSOR_SIZE, draw_events

from stdl_events.analysis.cost import Unit
from stdl_events.analysis.energy import clip_energy
from stdl_events.analysis.html_page import data_uri
from stdl_events.cli.report import report_if_interrupted, report_of_training
from stdl_events.errors import RunError
from stdl_events.events import write_recording
from stdl_events.memory.moments import Footprint, Lap, Moment
from stdl_events.memory.sites import Site
from stdl_events.model_card import ModelCard
from stdl_events.recipes import load_recipe
from stdl_events.recordings.entry import RecordingSet
from stdl_events.report.accuracy import notes
from stdl_events.report.activity import additions_of, measure_activity
from stdl_events.report.clips import CLIPS_OF_A_PAIR, worst_clips
from stdl_events.report.memory import layer_table
from stdl_events.report.origin import recordings
from stdl_events.report.page import write_report
from stdl_events.report.tables import MAX_POINTS, Series, chart, ticks
from stdl_events.sizes import format_bytes
from stdl_events.training.build_learner import step_bytes
from stdl_events.training.bundle import load_bundle, write_card
from stdl_events.training.evaluation.evaluate_clips import Evaluation
from stdl_events.training.evaluation.evaluate_run import evaluate
from stdl_events.training.fit import RunResult, fit
from stdl_events.training.kept_results import keep_result
from stdl_events.training.kept_warnings import KeptWarnings
from stdl_events.training.run_folder import load_config

Cli = Callable[..., tuple[int, str, str]]

HOSTILE = ("<script>alert(1)", "\"><img src=x onerror='a()'>", "{{ 7 * 7 }}{% raw %}&amp;")
SECTIONS = [
    "learning", "confusion", "groups", "calibration", "time", "worst", "robustness", "whole", "memory", "activity",
    "settings", "recordings", "warnings", "software",
]  # fmt: skip
VOID = {"meta", "br", "img"}
LARGEST_BYTES = 2_000_000


class Page(HTMLParser):
    """A page's elements and its text; raises for tags that do not match."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.style = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        elif data.strip():
            self.text.append(" ".join(data.split()))

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A run without a validation part, whose classes, and with them its files, have names of markup."""
    root = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(0)
    for side, count in (("train", 3), ("test", 2)):
        for label, name in enumerate(HOSTILE):
            for number in range(count):
                path = root / "recordings" / side / name / f"<b>{number}.h5"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_recording(path, draw_events(label, rng), SENSOR_SIZE)
    config = load_recipe("folder").derive(
        data={"path": str(root / "recordings")},
        frames={"steps": 4, "dt_us": 20_000},
        network={"notation": "4C3-AP2-6C3"},
        epochs=2,
        device="cpu",
        log_every_steps=1,
    )
    return fit(config, root / "run", quiet=True)


@pytest.fixture(scope="module")
def validated(hostile: RunResult) -> RunResult:
    """A run with a validation part, by a rule that has no plan, of the same recordings."""
    config = load_recipe("folder").derive(
        data={"path": str(hostile.folder.parent / "recordings"), "split": {"validation": 0.34}},
        frames={"steps": 4, "dt_us": 20_000},
        network={"notation": "4C3-AP2-6C3"},
        learning={"rule": "sltt", "memory": "plain"},
        epochs=1,
        device="cpu",
    )
    return fit(config, hostile.folder.parent / "validated", quiet=True)


def require_safe(page: Page) -> None:
    """Check that nothing is loaded, run or styled from elsewhere, and that a reader can find and hear everything."""
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "base", "form", "foreignobject", "use", "image"}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.attributes("style") == []
    assert all(address.startswith("#") for address in page.attributes("href"))
    assert all(address.startswith("data:image/png;base64,") for address in page.attributes("src"))
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert all(attributes.get("alt") for attributes in images)
    assert all("aria-label" in at or at.get("aria-hidden") == "true" for tag, at in page.elements if tag == "svg")
    assert all("scope" in attributes for tag, attributes in page.elements if tag == "th")
    assert [name for name, count in Counter(page.attributes("id")).items() if count > 1] == []
    assert {address[1:] for address in page.attributes("href")} <= set(page.attributes("id"))
    digest = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert page.attributes("content")[0] == f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"


def test_names_of_markup_stay_text(hostile: RunResult, tmp_path: Path) -> None:
    people = [replace(entry, subject=f"<i>{index}", session="&") for index, entry in enumerate(_entries(hostile))]
    evaluation = replace(hostile.evaluation, recordings=hostile.evaluation.recordings.with_entries(people))
    page = Page(write_report(hostile.folder, evaluation, out=tmp_path / "report.html"))
    require_safe(page)
    for name in (*HOSTILE, "<i>0", "&", str(hostile.folder.parent / "recordings")):
        assert name in page.text
    assert any("<b>0.h5" in text for text in page.text)


def _entries(result: RunResult) -> tuple:
    return result.evaluation.recordings.entries


@pytest.mark.parametrize("run", ["hostile", "validated", "interrupted"])
def test_every_run_has_every_section(run: str, hostile: RunResult, validated: RunResult, tmp_path: Path) -> None:
    result = validated if run == "validated" else hostile
    evaluation = None if run == "interrupted" else result.evaluation
    page = Page(write_report(result.folder, evaluation, out=tmp_path / "report.html"))
    require_safe(page)
    assert [name for name in page.attributes("id") if name in SECTIONS] == SECTIONS
    text = " ".join(page.text)
    assert ("There is no validation part." in text) == (run != "validated")
    assert ("The rule sltt has no plan" in text) == (run == "validated")
    assert ("uncut" in page.text) == (run != "validated")
    assert text.count("Not evaluated.") == (7 if run == "interrupted" else 0)
    assert "SIMULATED" not in text
    assert ("best weights, after 1 epoch;" in text) == (run == "validated")


def test_the_headline_is_that_of_the_evaluation(hostile: RunResult, tmp_path: Path) -> None:
    page = Page(write_report(hostile.folder, hostile.evaluation, out=tmp_path / "report.html"))
    summary = hostile.evaluation.summary()
    first = page.text.index(f"accuracy on {summary['n']} held-out clips")
    assert page.text[first + 1] == f"{summary['accuracy']:.3f}"
    assert page.text[page.text.index("chance") + 1] == f"{summary['chance']:.3f}"
    ridge = hostile.evaluation.ridge.accuracy
    assert ridge is not None
    assert page.text[page.text.index("ridge on summed events") + 1] == f"{ridge:.3f}"
    assert all(note in page.text for note in notes(summary))
    table = page.source.partition('<table class="confusion">')[2].partition("</table>")[0]
    assert [int(count) for count in re.findall(r"<td[^>]*>(\d+)</td>", table)] == np.ravel(
        summary["confusion"]
    ).tolist()


def test_files_on_both_sides_of_a_split_by_time_are_said(hostile: RunResult, tmp_path: Path) -> None:
    assert ("kept apart", "recordings") in recordings(hostile.folder).facts
    listed = json.loads((hostile.folder / "split.json").read_text()) | {"gap_us": 200_000}
    of_test = next(row for row in listed["recordings"] if row["side"] == "test")
    of_test["path"] = next(row for row in listed["recordings"] if row["side"] == "train")["path"]
    (tmp_path / "split.json").write_text(json.dumps(listed))
    apart = "parts of recordings, at least 200 ms apart; 1 file on more than one side"
    assert ("kept apart", apart) in recordings(tmp_path).facts


@pytest.mark.parametrize(
    ("accuracy", "ridge", "said"),
    [
        (0.9, 0.7, []),
        (0.7, 0.7, ["A ridge that sums each clip's events over time is as good"]),
        (0.6, 0.7, ["A ridge that sums each clip's events over time is better (0.700)"]),
        (0.3, None, ["No better than always naming the most frequent class (0.300)"]),
        (
            0.1,
            0.2,
            ["No better than always naming", "A ridge that sums each clip's events over time is better (0.200)"],
        ),
    ],
)
def test_what_speaks_against_the_accuracy_is_said(
    small_run: Path, accuracy: float, ridge: float | None, said: list[str]
) -> None:
    summary = evaluate(small_run).summary() | {"accuracy": accuracy, "chance": 0.3}
    summary["baselines"] = summary["baselines"] | {"ridge": ridge, "left_out": None}
    found = notes(summary)
    assert len(found) == len(said)
    assert all(text.startswith(start) for text, start in zip(found, said, strict=True))


@pytest.mark.parametrize("value", [0.005, -3e6, 0.0])
def test_the_marks_around_a_single_value_tell_it(value: float) -> None:
    drawn = chart("a rate", "step", "rate", [Series("rate", ((10, value),))], counts_x=True)
    marks = [float(tick.text.replace(",", "")) for tick in drawn.y_ticks]
    assert len(marks) >= 2
    assert all(abs(mark - value) <= max(abs(value) / 2, 0.5 * (value == 0)) for mark in marks)


def test_simulated_recordings_are_called_simulated(hostile: RunResult, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("split.json", "metrics.jsonl", "plan.json"):
        (run / name).write_text((hostile.folder / name).read_text())
    config = json.loads((hostile.folder / "config.json").read_text())
    config["data"] |= {"dataset": "walkers", "path": None}
    (run / "config.json").write_text(json.dumps(config))
    assert "SIMULATED recordings" in Page(write_report(run, None)).text


def test_a_page_is_a_function_of_the_run(hostile: RunResult, tmp_path: Path) -> None:
    pages = [write_report(hostile.folder, hostile.evaluation, out=tmp_path / name) for name in ("a.html", "b.html")]
    assert pages[0].read_bytes() == pages[1].read_bytes()


def many_classes(result: RunResult, classes: int, clips: int) -> Evaluation:
    """An evaluation of random predictions for clips of the run's frames."""
    rng = np.random.default_rng(0)
    of_run = result.evaluation
    names = tuple(f"class {index} with a rather long name" for index in range(classes))
    chosen = rng.integers(0, len(of_run.clips), clips)
    clip_array = replace(
        of_run.clips,
        frames_NTCHW=rng.integers(0, 256, (clips, *np.asarray(of_run.clips.frames_NTCHW).shape[1:]), np.uint8),
        targets_N=rng.integers(0, classes, clips),
        entry_index_N=of_run.clips.entry_index_N[chosen],
        t_start_us_N=np.arange(clips) * 1000,
    )
    recordings = RecordingSet(names, of_run.recordings.sensor_size, of_run.recordings.entries)
    return Evaluation(recordings, clip_array, rng.dirichlet(np.ones(classes), clips))


def test_three_hundred_classes_stay_readable_and_small(hostile: RunResult, tmp_path: Path) -> None:
    path = write_report(hostile.folder, many_classes(hostile, 300, 1200), out=tmp_path / "report.html")
    assert path.stat().st_size < LARGEST_BYTES
    page = Page(path)
    require_safe(page)
    assert "all 300 rows" in page.text
    assert '<table class="confusion">' not in page.source
    assert any(alt.startswith("confusion matrix of 300 classes") for alt in page.attributes("alt"))


def test_the_worst_clips_are_the_most_confident_wrong_ones(hostile: RunResult) -> None:
    evaluation = many_classes(hostile, 3, 60)
    wrong = [
        (row.max(), evaluation.labels[target], evaluation.labels[row.argmax()])
        for row, target in zip(evaluation.probabilities_NK, evaluation.clips.targets_N, strict=True)
        if row.argmax() != target
    ]
    expected, seen = [], Counter[tuple[str, str]]()
    for sure, label, predicted in sorted(wrong, reverse=True):
        seen[label, predicted] += 1
        if seen[label, predicted] <= CLIPS_OF_A_PAIR:
            expected.append((pytest.approx(sure), label, predicted))
    found = worst_clips(evaluation)
    assert found.wrong == len(wrong)
    assert [(clip.sure, clip.label, clip.predicted) for clip in found.clips] == expected[:12]


def test_without_a_wrong_clip_the_least_sure_ones_are_shown(hostile: RunResult) -> None:
    evaluation = many_classes(hostile, 3, 8)
    right = replace(evaluation.clips, targets_N=evaluation.probabilities_NK.argmax(1))
    found = worst_clips(replace(evaluation, clips=right))
    assert not found.are_wrong
    assert [clip.sure for clip in found.clips] == sorted(evaluation.probabilities_NK.max(1))


def test_a_repeated_picture_is_shown_once_in_its_colours(hostile: RunResult) -> None:
    evaluation = many_classes(hostile, 3, 2)
    pictures_NCHW = np.random.default_rng(0).integers(0, 256, (2, 3, 5, 7), np.uint8)
    repeated = np.broadcast_to(pictures_NCHW[:, None], (2, 4, 3, 5, 7))
    found = worst_clips(replace(evaluation, clips=replace(evaluation.clips, frames_NTCHW=repeated)))
    shown = {picture.address for clip in found.clips for picture in clip.pictures}
    assert [len(clip.pictures) for clip in found.clips] == [1] * len(found.clips)
    assert shown <= {data_uri(np.moveaxis(picture_CHW, 0, 2)) for picture_CHW in pictures_NCHW}


def test_firing_rates_and_operations_are_those_counted_step_by_step(hostile: RunResult) -> None:
    network, _ = load_bundle(hostile.folder / "bundle")
    clips = hostile.evaluation.clips
    activity = measure_activity(network, clips, batch_size=5)
    assert activity.clips == len(clips)
    first, second = network.slice(0, 1), network.slice(1, 2)
    frames_TBCHW = torch.from_numpy(np.asarray(clips.frames_NTCHW).swapaxes(0, 1)).float()
    states = [part.initial_state(len(clips)) for part in (first, second)]
    spikes, additions = 0, 0.0
    with torch.no_grad():
        for frame_BCHW in frames_TBCHW:
            pooled, states[0] = first.step(frame_BCHW, states[0])
            fired, states[1] = second.step(pooled, states[1])
            spikes += int((fired > 0).sum())
            additions += float(
                torch.nn.functional.conv2d((pooled != 0).float(), torch.ones(6, 4, 3, 3), padding=1).sum()
            )
    layer = activity.layers[1]
    assert layer.neurons == 6 * 8 * 8
    assert layer.spikes == pytest.approx(spikes / len(clips))
    assert layer.rate == pytest.approx(spikes / len(clips) / 4 / layer.neurons)
    assert layer.additions == pytest.approx(additions / len(clips), rel=1e-5)
    assert activity.layers[-1].neurons == 0


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"), [(7, 3, 2, 1), (8, 3, 2, 1), (6, 5, 3, 0), (5, 1, 2, 0)]
)
def test_an_input_is_added_once_for_each_synapse_behind_it(size: int, kernel: int, stride: int, padding: int) -> None:
    conv = torch.nn.Conv2d(2, 3, kernel, stride, padding)
    is_active = torch.rand(4, 2, size, size, generator=torch.Generator().manual_seed(0)) < 0.3
    output_shape = conv(is_active.float()).shape
    by_hand = 0
    for y, x in is_active.nonzero()[:, 2:].tolist():
        taps = [
            sum(0 <= place * stride - padding + tap == at for place in range(output_shape[2]) for tap in range(kernel))
            for at in (y, x)
        ]
        by_hand += taps[0] * taps[1] * 3
    assert float(additions_of(conv, is_active, output_shape)) == by_hand
    assert float(additions_of(torch.nn.Linear(4, 5), torch.tensor([[1, 0, 1, 1]]) != 0, (1, 5))) == 15


def test_the_energy_counts_every_access_by_hand() -> None:
    energy = clip_energy([Unit(2, 3, 10)], Unit(4, 5, 20), steps=2, additions=6)
    accesses = 2 * (2 + 2 * 3 + 4 + 2 * 5)
    assert energy.additions == pytest.approx(6)
    assert energy.accesses == accesses
    assert energy.additions_uj == pytest.approx(6 * 0.9e-6)
    assert energy.on_chip_uj == pytest.approx((6 * 0.9 + accesses * 5) * 1e-6)
    assert energy.off_chip_uj == pytest.approx((6 * 0.9 + accesses * 640) * 1e-6)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 2), (1, 300), (-2.5e-7, 3e-7), (0.3, 0.31), (0, 123_456)])
def test_marks_are_few_and_round(low: float, high: float) -> None:
    marks = ticks(low, high)
    steps = np.diff(marks)
    assert 2 <= len(marks) <= 7
    assert low - 1e-9 * (high - low) <= marks[0] <= marks[-1] <= high + 1e-9 * (high - low)
    assert steps == pytest.approx(steps[0])
    assert f"{steps[0]:.0e}"[0] in "125"


def test_long_lines_are_thinned_to_their_ends_and_gaps_stay_gaps() -> None:
    points = tuple((float(index), None if index == 1 else float(index)) for index in range(10_000))
    thinned = chart("", "x", "y", [Series("line", points)]).lines[0]
    assert thinned.path.count("L") <= MAX_POINTS
    assert thinned.path.endswith("L350 10")
    (line,) = chart("", "x", "y", [Series("line", points[:4])]).lines
    assert line.path.count("M") == 2
    assert len(line.dots) == 3


def test_the_command_writes_the_page_and_says_what_it_wrote(validated: RunResult, tmp_path: Path, run_cli: Cli) -> None:
    out = tmp_path / "page.html"
    code, printed, err = run_cli("report", validated.folder, "--out", out, "--device", "cpu", "--json")
    assert code == 0, err
    document = json.loads(printed)
    assert document["written"] == [str(out)]
    assert document["accuracy"] == validated.evaluation.accuracy
    assert not (validated.folder / "report.html").exists()
    text = " ".join(Page(out).text)
    assert "Not measured at the end" not in text
    # The peak of the step is the peak at one of the layers, as another meter without the ledger says.
    config, sensor = load_config(validated.folder), validated.evaluation.recordings.sensor_size
    assert format_bytes(step_bytes(config, config.frames.spec(sensor), 3)) in text
    assert "layer 2 (6C3)" in text


def test_layers_have_the_higher_peak_of_their_units_and_steps() -> None:
    whole = Site(2, "8R")
    moments = [
        Moment("forward", 1, (1, 1), replace(whole, unit="first convolution")),
        Moment("forward", 1, (2, 2), replace(whole, unit="second convolution")),
        Moment("backward", 1, (1, 1), whole),
        Moment("forward", 1, (1, 1), Site(1, "3FC", auxiliary_of=1)),
        Moment("forward", 1, (1, 1)),
    ]
    laps = tuple(Lap(moment, peak) for moment, peak in zip(moments, (100, 300, 200, 400, 900), strict=True))
    table = layer_table(Footprint(400, {}, moments[0], 2, (), laps))
    assert [(row[0], *(cell if isinstance(cell, str) else cell.share for cell in row[1:])) for row in table.rows] == [
        ("layer 2 (8R)", 0.75, 0.5), ("auxiliary layer 1 (3FC)", 1.0, "none"),
    ]  # fmt: skip


def test_later_results_are_shown_for_the_weights_that_they_are_of(hostile: RunResult, tmp_path: Path) -> None:
    level = {"level": 0.5, "accuracy": 0.125, "clips": 8}
    corruptions = {"drop": {"summary": "<u>fewer", "unit": "%", "levels": [level, level | {"accuracy": None}]}}
    robustness = {"clean": level | {"accuracy": 0.875}, "chance": 0.34, "corruptions": corruptions}
    shares = {"right": 0.25, "wrong": 0.0, "nothing": 0.75}
    moves = {"movements": 3, "once": 2, "missed": 1, "wrong_names": 0, "doubles": 0, "named_within_300_ms": 1}
    moves |= {"delay_ms_median": None, "false_alarms": 4, "still_s": 60.0, "false_alarms_per_min": 4.0}
    whole = {
        "thresholds": {"unknown_below": 0.5, "still_below": 700.0, "hold": 1, "decide_at": None},
        "movements": moves,
        "shares_of_time": shares,
        "recordings": [{"key": "<s>a", **moves}, {"key": "b", "label": HOSTILE[0], "shares": shares}],
    }
    files = [
        keep_result(hostile.folder, "robustness", robustness, side="test"),
        keep_result(hostile.folder, "whole", whole, side="validation"),
    ]
    card = ModelCard.read(hostile.folder / "bundle" / "model.json")
    record = {"clips": 9, "recordings": 3, "date": "2026-01-02", "target_error": 0.02, "accepted": 5, "wrong": 1}
    record |= {"target_agreement": 0.99, "other_than_at_the_end": 0}
    fitted = card.model_copy(update={"temperature": 2.5, "provenance": card.provenance | {"calibration": record}})
    try:
        write_card(hostile.folder / "bundle", fitted)
        page = Page(write_report(hostile.folder, hostile.evaluation, out=tmp_path / "report.html"))
        require_safe(page)
        text = " ".join(page.text)
        assert {"0.125", "0.875", "no clip", "drop: <u>fewer", "<s>a", "4.00", "2.5", "1 of 5"} <= set(page.text)
        assert "unknown below 0.5, nothing there below 700 events/s" in text
        assert "Validation recordings, evaluated on" in text
        for file in files:
            file.write_text(file.read_text().replace('"sha256": "', '"sha256": "of other weights'))
        page = Page(write_report(hostile.folder, hostile.evaluation, out=tmp_path / "report.html"))
        assert " ".join(page.text).count("Not measured for these weights") == 2
        files[0].write_text("{}")
        with pytest.raises(RunError, match=r"robustness\.json: got a file that is damaged"):
            write_report(hostile.folder, None, out=tmp_path / "report.html")
    finally:
        write_card(hostile.folder / "bundle", card)
        for file in files:
            file.unlink()


def test_warnings_of_a_training_are_kept_once_and_shown_as_always(hostile: RunResult, tmp_path: Path) -> None:
    broken = tmp_path / "recordings"
    shutil.copytree(hostile.folder.parent / "recordings", broken)
    damaged = next((broken / "train" / HOSTILE[0]).iterdir())
    damaged.write_bytes(b"no recording")
    config = load_config(hostile.folder)
    config = config.derive(data={"path": str(broken), "skip_bad": True}, epochs=1, learning={"rule": "sltt"})
    with pytest.warns(Warning, match=re.escape(damaged.name)):
        result = fit(config, tmp_path / "run", quiet=True)
    shown = Page(write_report(result.folder, None, out=tmp_path / "report.html"))
    require_safe(shown)
    assert sum(damaged.name in text for text in shown.text) == 1
    assert "The training gave no warning." not in shown.text
    quiet = Page(write_report(hostile.folder, None, out=tmp_path / "quiet.html"))
    assert "The training gave no warning." in quiet.text


def test_kept_warnings_are_each_taken_once() -> None:
    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("always")
        patch.setattr(warnings, "showwarning", lambda message, *_: seen.append(str(message)))
        with KeptWarnings() as kept:
            warnings.warn("one\n two", stacklevel=1)
            assert kept.take() == ["one two"]
            warnings.warn("one\n two", stacklevel=1)
            warnings.warn("three", stacklevel=1)
            assert kept.take() == ["three"]
        warnings.warn("after", stacklevel=1)
    assert seen == ["one\n two", "one\n two", "three", "after"]
    assert kept.take() == []


def test_a_folder_that_is_no_run_is_named_before_the_place_of_its_report(run_cli: Cli, tmp_path: Path) -> None:
    code, _, err = run_cli("report", tmp_path / "nothing")
    assert (code, "nothing: got no config.json; expected the folder of a run" in err) == (2, True)


def test_a_place_that_cannot_be_written_is_one_line(
    validated: RunResult, tmp_path: Path, run_cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run_cli("report", validated.folder, "--out", tmp_path / "missing" / "page.html")
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert "page.html: got No such file or directory" in err
    with pytest.raises(RunError):
        write_report(validated.folder, None, out=tmp_path)


def test_a_training_whose_report_cannot_be_written_is_whole(
    validated: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = validated.folder / "report.html"
    taken.mkdir()
    try:
        assert report_of_training(validated.folder, None) is None
    finally:
        taken.rmdir()
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("trains", [False, True])
def test_an_interrupted_training_has_a_report_of_what_it_trained(hostile: RunResult, trains: bool) -> None:
    report, metrics = hostile.folder / "report.html", hostile.folder / "metrics.jsonl"
    with pytest.raises(SystemExit):
        interrupt(hostile.folder, metrics if trains else None)
    assert report.exists() == trains
    if trains:
        assert "Not evaluated." in Page(report).text
        report.unlink()


def interrupt(folder: Path, written: Path | None) -> None:
    with report_if_interrupted(folder):
        if written is not None:
            written.write_bytes(written.read_bytes())
        raise SystemExit(143)
