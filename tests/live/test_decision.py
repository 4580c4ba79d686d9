"""Decisions: unknown, nothing there, and what must be seen in several clips in a row; from the card or from options."""

import json

import numpy as np
import pytest
from onnx_models import make_card, stream_spec, write_model

from stdl_events.events import write_recording
from stdl_events.events.stream import empty_events
from stdl_events.live import OnnxSession, Recogniser, run_live
from stdl_events.live.decision import Decider
from stdl_events.model_card import DecisionThresholds, ModelCard

SIZE = (8, 6)


def of(label, probability):
    return {"walk": 0.0, "run": 0.0, "sit": 0.0} | {label: probability}


def decide(sequence, **thresholds):
    decider = Decider(DecisionThresholds(**thresholds))
    return [decider.decide(of(label, probability), rate) for label, probability, rate in sequence]


@pytest.mark.parametrize(
    ("clip", "thresholds", "expected"),
    [
        (("walk", 0.4, 0), {}, ("walk", "recognised", "walk 0.40, the most")),
        (("walk", 0.6, 0), {"unknown_below": 0.6}, ("walk", "recognised", "walk 0.60, at least 0.6")),
        (("walk", 0.59, 0), {"unknown_below": 0.6}, (None, "unknown", "walk 0.59, less than 0.6")),
        (("walk", 0.9, 99), {"still_below": 100}, (None, "still", "99 events/s, fewer than 100")),
        (("walk", 0.1, 99), {"still_below": 100, "unknown_below": 0.5}, (None, "still", "99 events/s, fewer than 100")),
        (("walk", 0.9, 100), {"still_below": 100}, ("walk", "recognised", "walk 0.90, the most")),
    ],
)
def test_one_clip(clip, thresholds, expected):
    (decision,) = decide([clip], **thresholds)
    assert (decision.label, decision.state, decision.why) == expected


def test_something_new_must_be_seen_several_times_in_a_row():
    clips = [
        ("walk", 0.9),
        ("run", 0.9),
        ("walk", 0.9),
        ("run", 0.9),
        ("run", 0.1),
        ("run", 0.9),
        ("run", 0.9),
        ("run", 0.9),
    ]
    found = decide([(*clip, 0) for clip in clips], unknown_below=0.5, hold=3)
    assert [decision.label for decision in found] == ["walk"] * 7 + ["run"]
    assert [decision.state for decision in found] == [
        "recognised", "held", "recognised", "held", "held", "held", "held", "recognised",
    ]  # fmt: skip
    assert found[1].why == "walk: run in 1 of 3 clips in a row"
    assert found[4].why == "walk: unknown in 1 of 3 clips in a row"
    assert found[6].why == "walk: run in 2 of 3 clips in a row"


@pytest.mark.parametrize("hold", [1, 2, 4])
def test_decisions_over_random_clips_are_those_of_the_whole_history(hold):
    """What is decided is the latest outcome that was seen `hold` times in a row, or the first of all."""
    rng = np.random.default_rng(hold)
    clips = [
        (str(rng.choice(["walk", "run"])), float(rng.choice([0.3, 0.9])), float(rng.choice([0, 9]))) for _ in range(400)
    ]
    outcomes = ["still" if rate < 5 else "unknown" if p < 0.5 else label for label, p, rate in clips]
    found = decide(clips, unknown_below=0.5, still_below=5, hold=hold)
    for end, decision in enumerate(found, 1):
        seen = outcomes[:end]
        settled = [seen[i] for i in range(len(seen)) if i + 1 >= hold and len(set(seen[i + 1 - hold : i + 1])) == 1]
        expected = settled[-1] if settled else seen[0]
        # a run that began before the last decision counts
        assert (decision.state == "held") == (outcomes[end - 1] != expected)
        if decision.state != "held":
            assert (decision.label or decision.state) == expected


def scene(t0_us=0):
    """Half a second of events of one polarity, then of few, then of the other."""
    times = np.concatenate(
        [np.arange(0, 400_000, 200), np.arange(400_000, 800_000, 20_000), np.arange(800_000, 1_200_000, 200)]
    )
    events = empty_events(len(times))
    events["t"] = times + t0_us
    events["p"] = times > 600_000
    return events


def run(tmp_path, run_cli, *options, **card):
    spec = stream_spec(SIZE, 4, 10_000)
    model = write_model(tmp_path / "m.onnx", make_card(spec, **card))
    write_recording(tmp_path / "r.h5", scene(), SIZE)
    code, out, err = run_cli("live", model, "--source", tmp_path / "r.h5", "--speed", "max", *options)
    assert code == 0, err
    return out, err


def test_a_live_run_says_what_it_believes_and_why(tmp_path, run_cli):
    out, _ = run(tmp_path, run_cli, "--json-lines", "--still-below", "500", "--hold", "2")
    *predictions, last = (json.loads(line) for line in out.splitlines())
    believed = [p["decision"] for p in predictions]
    assert believed == ["dark"] * 11 + [None] * 10 + ["bright"] * 9
    assert [p["state"] for p in predictions].count("held") == 2
    assert predictions[0]["why"].startswith("dark 0.")
    assert predictions[10]["why"] == "dark: nothing there in 1 of 2 clips in a row"
    assert predictions[12]["why"] == "50 events/s, fewer than 500"
    assert last["summary"]["decisions"] == {"recognised": 19, "held": 2, "still": 9}
    out, err = run(tmp_path, run_cli, "--still-below", "500", "--hold", "2")
    lines = out.splitlines()
    assert lines[10].startswith("0.440 s  dark stays | ")
    assert lines[11].startswith("0.480 s  nothing there | ")
    assert lines[20].startswith("0.840 s  nothing there stays | ")
    assert "held clips 2, still clips 9" in err


def test_thresholds_are_the_cards_unless_options_replace_them(tmp_path, run_cli):
    card = {"decision": DecisionThresholds(unknown_below=0.5, hold=1)}
    out, _ = run(tmp_path, run_cli, "--json-lines", **card)
    predictions = [json.loads(line) for line in out.splitlines()[:-1]]
    states = ["recognised" if max(p["probabilities"].values()) >= 0.5 else "unknown" for p in predictions]
    assert [p["state"] for p in predictions] == states
    assert set(states) == {"recognised", "unknown"}
    out, _ = run(tmp_path, run_cli, "--json-lines", "--unknown-below", "0", **card)
    assert {json.loads(line)["state"] for line in out.splitlines()[:-1]} == {"recognised"}
    for option in ("--still-below=nan", "--hold=0"):
        code, _, err = run_cli("live", tmp_path / "m.onnx", "--source", tmp_path / "r.h5", option)
        assert code == 2
        assert option.partition("=")[0] in err


def test_frames_within_a_clip_decide_nothing(tmp_path, run_cli):
    out, _ = run(tmp_path, run_cli, "--json-lines", "--every", "frame")
    predictions = [json.loads(line) for line in out.splitlines()[:-1]]
    assert all(
        (p["state"] == "open", p["decision"], p["why"]) == (True, None, "") for p in predictions if not p["final"]
    )
    assert all(p["state"] == "recognised" for p in predictions if p["final"])


def test_another_stream_holds_nothing(tmp_path):
    """After a reset of the clock the first clip decides alone, as at the beginning."""
    model = write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, 4, 10_000)))
    bright = scene(50_000_000)[2020:]
    dark = scene()[:2000]

    class Both:
        sensor_size = SIZE

        def chunks(self):
            yield bright
            yield dark

    states = []

    class States:
        def predicted(self, prediction):
            states.append((prediction.state, prediction.decision))

        def overloaded(self, dropped_frames): ...

        def ended(self, summary): ...

    with pytest.warns(UserWarning, match="clock went back"):
        run_live(
            Both(),
            Recogniser(OnnxSession(model), SIZE),
            [States()],
            overload="complete",
            decision=DecisionThresholds(hold=9),
        )
    assert set(states) == {("recognised", "bright"), ("recognised", "dark")}


def test_a_card_without_thresholds_is_what_older_versions_read():
    card = make_card(stream_spec(SIZE, 4, 10_000))
    assert "decision" not in json.loads(card.to_json())
    with_decision = card.model_copy(update={"decision": DecisionThresholds(hold=2)})
    assert ModelCard.from_json(with_decision.to_json()) == with_decision
