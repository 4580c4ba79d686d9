"""An exported file without its run, on labelled recordings: the reference is the model in numpy."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx_models import LABELS, expected_logits, make_card, softmax, stream_spec, write_model

from stdl_events.errors import DatasetError
from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events
from stdl_events.model_card import DecisionThresholds
from stdl_events.training.data_settings import DataSettings
from stdl_events.training.evaluation.evaluate_file import evaluate_file

STEPS, DT_US, SIZE = 4, 10_000, (8, 6)
RunCli = Callable[..., tuple[int, str, str]]
# Of each recording: its class, and the counts of the events of both polarities in each of its two clips.
RECORDINGS = {
    "dark/0.h5": ((9, 1), (1, 9)),
    "dark/1.h5": ((9, 2), (9, 3)),
    "bright/0.h5": ((2, 9), (1, 9)),
}


def write_folder(root: Path) -> Path:
    for name, clips in RECORDINGS.items():
        parts = []
        for number, counts in enumerate(clips):
            for frame in range(STEPS):
                events = empty_events(sum(counts))
                events["t"] = (number * STEPS + frame) * DT_US
                events["p"] = np.repeat([False, True], counts)
                parts.append(events)
        events = np.concatenate(parts)
        events["t"][-1] += DT_US - 1
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        write_recording(root / name, events, SIZE)
    return root


def expected() -> list[tuple[str, np.ndarray]]:
    """Return the class and the probabilities of each clip, in the order of the evaluation: classes are sorted."""
    found = []
    for name in sorted(RECORDINGS):
        for counts in RECORDINGS[name]:
            frames_TCHW = np.zeros((STEPS, 2, 1, 1))
            frames_TCHW[:, :, 0, 0] = counts
            found.append((name.split("/")[0], softmax(expected_logits(frames_TCHW).mean(0))))
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, STEPS, DT_US, grid="recording", cap=255)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data")


def test_it_gives_the_numbers_of_the_model_in_numpy(model: Path, data: Path, tmp_path: Path, run_cli: RunCli) -> None:
    code, out, err = run_cli("evaluate", model, "--data", data, "--json", "--predictions", tmp_path / "p.json")
    assert code == 0, err
    found, clips = json.loads(out), json.loads((tmp_path / "p.json").read_text())["clips"]
    right = [LABELS[row_K.argmax()] == label for label, row_K in expected()]
    assert 0 < sum(right) < len(right), "an accuracy of 0 or 1 would show little"
    assert (found["accuracy"], found["n"], found["side"]) == (np.mean(right), len(right), None)
    assert found["labels"] == list(LABELS)
    assert [row["name"] for row in found["per_class"]] == list(LABELS)
    assert [clip["label"] for clip in clips] == [label for label, _ in expected()]
    np.testing.assert_allclose([clip["probabilities"] for clip in clips], [row_K for _, row_K in expected()], atol=2e-6)
    # dark: 3 of its 4 clips are found, one is taken for bright; bright: both are found; still: none is there.
    confusion = [[3, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert found["confusion"] == confusion
    assert found["macro_f1"] == pytest.approx(np.mean([6 / 7, 4 / 5]))


def test_what_it_says(model: Path, data: Path, run_cli: RunCli) -> None:
    code, out, err = run_cli("evaluate", model, "--data", data)
    assert code == 0, err
    assert "accuracy 0.8333 on 6 labelled clips" in out
    assert "not known without its run" in err
    assert "of 1 of 3 classes: still" in err


def test_the_thresholds_of_its_card_decide(data: Path, tmp_path: Path, run_cli: RunCli) -> None:
    sure_N = np.sort([row_K.max() for _, row_K in expected()])
    between = float((sure_N[1] + sure_N[2]) / 2)
    card = make_card(stream_spec(SIZE, STEPS, DT_US, grid="recording", cap=255))
    card = card.model_copy(update={"decision": DecisionThresholds(unknown_below=between)})
    code, out, err = run_cli("evaluate", write_model(tmp_path / "m.onnx", card), "--data", data, "--json")
    assert code == 0, err
    decided = json.loads(out)["decided"]
    assert (decided["clips"], decided["believed"], decided["early"]) == (6, 4, 0)


def test_unknown_labels_are_refused(model: Path, data: Path, run_cli: RunCli) -> None:
    shutil.copytree(data / "dark", data / "dim")
    code, _, err = run_cli("evaluate", model, "--data", data)
    assert code == 2
    expected_text = "got the label dim; expected labels of the model: dark, bright, still; rename them"
    assert expected_text in " ".join(err.split())


@pytest.mark.filterwarnings("ignore:no recordings to evaluate of 1 of 3 classes")
def test_a_given_split_is_evaluated_by_side(model: Path, tmp_path: Path, run_cli: RunCli) -> None:
    for side in ("train", "test"):
        write_folder(tmp_path / "split" / side)
    shutil.rmtree(tmp_path / "split" / "test")
    write_folder(tmp_path / "split" / "test")
    (tmp_path / "split" / "test" / "dark" / "1.h5").unlink()
    settings = DataSettings(dataset="folder", path=str(tmp_path / "split"))
    evaluation, side = evaluate_file(model, settings)
    assert (len(evaluation.clips), side) == (4, "test")
    assert len(evaluate_file(model, settings, side="train")[0].clips) == 6
    with pytest.raises(DatasetError, match="got no recordings for --side validation; expected one of train, test"):
        evaluate_file(model, settings, side="validation")


def test_labels_may_be_in_a_file(model: Path, data: Path, run_cli: RunCli) -> None:
    flat = data.parent / "flat"
    flat.mkdir()
    rows = ["recording,label"]
    for name in RECORDINGS:
        shutil.copy(data / name, flat / name.replace("/", "_"))
        rows.append(f"{name.replace('/', '_')},{name.split('/')[0]}")
    (flat / "names.csv").write_text("\n".join(rows) + "\n")
    code, out, err = run_cli("evaluate", model, "--data", flat, "--labels", "names.csv", "--json")
    assert code == 0, err
    assert json.loads(out)["confusion"] == [[3, 1, 0], [0, 2, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "--data: got nothing; expected the folder of labelled recordings"),
        (("--data", "data", "--through", "onnx"), "of a model without its run it has no effect"),
        (("--data", "data", "--weights", "last"), "of a model without its run it has no effect"),
        (("--data", "data", "--side", "test"), "got --side test, and recordings without a given split"),
        (("--data", "data", "--dataset", "cifar10"), "cifar-10-batches-bin"),
        (("--data", "nowhere"), "nowhere"),
    ],
)
def test_what_does_not_fit_is_refused(
    model: Path, data: Path, run_cli: RunCli, monkeypatch, words: tuple[str, ...], text: str
) -> None:
    monkeypatch.chdir(data.parent)
    code, _, err = run_cli("evaluate", model, *words)
    assert code == 2
    assert text in " ".join(err.replace("│", " ").split())


def test_unreadable_recordings_are_named_left_out_or_repaired(model: Path, data: Path, run_cli: RunCli) -> None:
    """The error advised to repair or remove them; the options that train and prepare have were refused."""
    whole = json.loads(run_cli("evaluate", model, "--data", data, "--json")[1])
    (data / "dark" / "bad.csv").write_text(
        "# sensor_size 8x6\nt,x,y,p\n" + "".join(f"{t * 1000},1,1,{t % 2}\n" for t in range(90)) + "91,oops\n"
    )
    (data / "dark" / "gone.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(80))
    code, _, err = run_cli("evaluate", model, "--data", data)
    assert code == 2
    assert "2 of 5 unreadable recordings" in err
    assert "--repair" in err
    assert "leave them out with --skip-bad" in err
    code, out, err = run_cli("evaluate", model, "--data", data, "--skip-bad", "--json")
    assert code == 0, err
    assert "left out 2 of 5 recordings, which are unreadable" in err
    assert json.loads(out)["n"] == whole["n"]
    code, out, err = run_cli("evaluate", model, "--data", data, "--skip-bad", "--repair", "--json")
    assert code == 0, err
    assert "left out 1 of 5 recordings" in err
    assert json.loads(out)["n"] == whole["n"] + 2


def test_options_of_a_model_without_its_run_are_refused_with_a_run(run_cli: RunCli, tmp_path: Path) -> None:
    code, _, err = run_cli("evaluate", tmp_path, "--labels", "labels.csv")
    assert code == 2
    assert "of a run, which has a list of its recordings, it has no effect" in " ".join(err.replace("│", " ").split())


@pytest.mark.parametrize("side", ["", "test"])
@pytest.mark.parametrize("by", ["folder", "label file", "one recording"])
def test_recordings_of_one_class_have_an_accuracy(
    by: str, side: str, model: Path, data: Path, tmp_path: Path, run_cli: RunCli
) -> None:
    """A folder of one class was refused, so that its accuracy could not be had."""
    rows = [row_K for label, row_K in expected() if label == "dark"]
    if side:
        shutil.copytree(data, tmp_path / "split" / "train")
    place = tmp_path / "split" / side
    if by == "folder":
        shutil.copytree(data / "dark", place / "dark")
    elif by == "one recording":
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / "dark" / "0.h5", place / "dark.h5")
        rows = rows[:2]
    else:
        shutil.copytree(data / "dark", place / "x")
        listed = [f"{side}/x/{number},dark,test".lstrip("/") for number in range(2)]
        listed += [f"train/{name},{name.split('/')[0]},train" for name in RECORDINGS] if side else []
        (tmp_path / "split" / "labels.csv").write_text("\n".join(["recording,label,split", *listed]) + "\n")
        if not side:
            (tmp_path / "split" / "labels.csv").write_text("recording,label\nx/0,dark\nx/1,dark\n")
    if side:
        (tmp_path / "split" / "train" / "dark" / "0.h5").write_bytes(b"")  # not looked at
    code, out, err = run_cli("evaluate", model, "--data", tmp_path / "split", "--json")
    assert code == 0, err
    right = [LABELS[row_K.argmax()] == "dark" for row_K in rows]
    assert (json.loads(out)["accuracy"], json.loads(out)["n"]) == (np.mean(right), len(rows))
    assert f"no recordings to evaluate of {len(LABELS) - 1} of {len(LABELS)} classes: " in err


def test_the_model_is_not_overwritten_by_predictions(model: Path, data: Path, run_cli: RunCli) -> None:
    before = model.read_bytes()
    code, _, err = run_cli("evaluate", model, "--data", data, "--predictions", model)
    assert (code, model.read_bytes() == before) == (2, True)
    assert "got the file that is read" in err
