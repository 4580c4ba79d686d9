"""Early decisions: one for a clip, at the frame that reaches the threshold, offline as live."""

import json

import numpy as np
import pytest
from collectors import LosslessCollector
from onnx_models import LABELS, make_card, stream_spec, write_model

from stdl_events.errors import ModelError
from stdl_events.events import open_recording, write_recording
from stdl_events.events.sources.replay import ReplaySource
from stdl_events.events.stream import empty_events
from stdl_events.frames import Framer
from stdl_events.live import OnnxSession, Recogniser, run_live
from stdl_events.live.decision import Decider, decide_clips
from stdl_events.live.readout import running_means, softmax
from stdl_events.model_card import DecisionThresholds, ModelCard

SIZE = (8, 6)
STEPS = 5


def random_events(rate_of_polarity=(20, 60), frames=60):
    """Windows of 10 ms whose polarities have rates that are drawn anew every few windows."""
    rng = np.random.default_rng(3)
    parts = []
    for window in range(frames):
        if window % 4 == 0:
            rates = rng.permutation(rate_of_polarity) * rng.uniform(0, 1.2)
        for polarity in (0, 1):
            part = empty_events(rng.poisson(rates[polarity]))
            part["t"] = window * 10_000 + rng.integers(0, 10_000, len(part))
            part["p"] = polarity
            parts.append(part)
    events = np.concatenate(parts)
    return events[np.argsort(events["t"], kind="stable")]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    card = make_card(stream_spec(SIZE, STEPS, 10_000), temperature=0.7)
    return write_model(tmp_path_factory.mktemp("model") / "m.onnx", card)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "r.h5"
    write_recording(path, random_events(), SIZE)
    return open_recording(path)


def live(model, recording, thresholds, every="clip"):
    collector = LosslessCollector()
    recogniser = Recogniser(OnnxSession(model), SIZE)
    run_live(ReplaySource(recording, speed=None), recogniser, [collector], every=every, overload="complete",
             decision=thresholds)  # fmt: skip
    return collector.predictions, collector.summary


def clips_of(model, recording):
    """Return the probabilities of each complete clip after each of its frames, without the live loop."""
    session = OnnxSession(model)
    framer = Framer(session.card.frame)
    frames = [*framer.push(recording.read()), *framer.finish()]
    clips = {frame.clip: [its for its in frames if its.clip == frame.clip] for frame in frames}
    whole = [its for its in clips.values() if len(its) == STEPS]
    state, logits_TNK = session.initial_state(len(whole)), []
    for step in range(STEPS):
        logits_NK, state = session.step(np.stack([its[step].counts_CHW for its in whole]), state)
        logits_TNK.append(logits_NK)
    return softmax(running_means(logits_TNK), session.card.temperature).transpose(1, 0, 2)


@pytest.mark.parametrize(
    "thresholds", [{}, {"unknown_below": 0.55}, {"decide_at": 0.6}, {"decide_at": 0.5, "unknown_below": 0.65}]
)
def test_live_decisions_and_their_times_are_those_made_offline(model, recording, thresholds):
    thresholds = DecisionThresholds(**thresholds)
    predictions, summary = live(model, recording, thresholds)
    offline = decide_clips(clips_of(model, recording), LABELS, thresholds)
    assert [(p.decision, p.state, p.why, p.decided_after) for p in predictions] == [
        (d.label, d.state, d.why, d.frames) for d in offline
    ]
    times = [decision.frames for decision in offline]
    assert summary.early_clips == sum(frames < STEPS for frames in times)
    assert summary.early_frames == sum(STEPS - frames for frames in times)
    assert sum(summary.decisions.values()) == summary.clips == len(offline)
    if thresholds.decide_at:
        assert len(set(times)) > 2


def test_a_clip_is_decided_at_its_first_frame_that_reaches_both_thresholds(model, recording):
    thresholds = DecisionThresholds(decide_at=0.5, unknown_below=0.65)
    for clip_TK, decision in zip(
        clips := clips_of(model, recording), decide_clips(clips, LABELS, thresholds), strict=True
    ):
        reached = [step for step in range(STEPS - 1) if clip_TK[step].max() >= 0.65]
        step = min([*reached, STEPS - 1])
        most = int(clip_TK[step].argmax())
        assert decision.frames == step + 1
        assert decision.label == (LABELS[most] if clip_TK[step, most] >= 0.65 else None)
        if reached:
            assert decision.why == (
                f"early after {step + 1} of 5 frames: {LABELS[most]} {clip_TK[step, most]:.2f}, at least 0.65"
            )


def test_frames_after_the_decision_are_stepped_and_decide_nothing(model, recording):
    without, _ = live(model, recording, DecisionThresholds(), every="frame")
    frames, summary = live(model, recording, DecisionThresholds(decide_at=0.6), every="frame")
    assert [(p.t_us, p.probabilities) for p in frames] == [(p.t_us, p.probabilities) for p in without]
    for first in range(0, len(frames), STEPS):
        clip = frames[first : first + STEPS]
        states = [p.state for p in clip]
        at = states.index("recognised")
        assert states == ["open"] * at + ["recognised"] + ["decided"] * (STEPS - 1 - at)
        assert [p.decision for p in clip] == [None] * at + [clip[at].label] * (STEPS - at)
        assert [p.decided_after for p in clip] == [None] * at + [at + 1] * (STEPS - at)
    assert sum(summary.decisions.values()) == len(frames) // STEPS


def test_nothing_is_decided_early_where_it_is_still():
    decider = Decider(DecisionThresholds(decide_at=0.8, still_below=100))
    found = []
    for step, rate in enumerate((50, 99, 100)):
        decider.begins(0, step)
        found.append(decider.push({"a": 0.9, "b": 0.1}, 4, rate))
    assert [decision and decision.frames for decision in found] == [None, None, 3]


def test_an_early_decision_must_be_seen_in_several_clips_too():
    decider = Decider(DecisionThresholds(decide_at=0.8, hold=2))
    told = []
    for clip, label in enumerate("aabb"):
        for step in range(3):
            decider.begins(clip, step)
            decision = decider.push({"a": 0.1, "b": 0.1} | {label: 0.5 + 0.2 * step}, 3)
            told += [] if decision is None else [(clip, step, decision.state, decision.label)]
    # 0.5, 0.7 and 0.9: the end decides where no frame before it reaches 0.8
    assert told == [
        (0, 2, "recognised", "a"),
        (1, 2, "recognised", "a"),
        (2, 2, "held", "a"),
        (3, 2, "recognised", "b"),
    ]
    decider.begins(4, 0)
    held = decider.push({"a": 0.9, "b": 0.1}, 3)
    assert (held.state, held.label, held.why) == (
        "held",
        "b",
        "early after 1 of 3 frames: b: a in 1 of 2 clips in a row",
    )


def test_the_same_clip_of_another_stream_is_decided_again():
    decider = Decider(DecisionThresholds(decide_at=0.8))
    for _ in range(2):
        assert decider.begins(0, 0)
        assert decider.push({"a": 0.9, "b": 0.1}, 2) is not None
        assert not decider.begins(0, 1)
        assert decider.push({"a": 0.9, "b": 0.1}, 2) is None


def test_options_of_early_decisions(tmp_path, run_cli):
    write_recording(tmp_path / "r.h5", random_events(), SIZE)
    card = make_card(stream_spec(SIZE, STEPS, 10_000), decision=DecisionThresholds(decide_at=0.6))
    command = ("live", write_model(tmp_path / "m.onnx", card), "--source", tmp_path / "r.h5", "--speed", "max")
    code, out, err = run_cli(*command)
    assert code == 0, err
    assert "(early, frame 2 of its clip)" in out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "clips decided early, " in err
    code, out, err = run_cli(*command, "--decide-at", "none", "--json-lines")
    assert json.loads(out.splitlines()[-1])["summary"]["early_clips"] == 0
    for wrong in ("1.5", "0", "nan", "often"):
        code, _, err = run_cli(*command, "--decide-at", wrong)
        assert (code, "--decide-at: got" in err) == (2, True), err


def test_a_state_that_goes_on_decides_nothing_early(tmp_path, recording):
    model = write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, STEPS, 10_000), readout="sliding"))
    with pytest.raises(ModelError, match=r"got decide_at, and a state that goes on over clips .* use --decide-at none"):
        live(model, recording, DecisionThresholds(decide_at=0.9))


def test_a_temperature_of_the_card_divides_the_logits(tmp_path, recording):
    plain = write_model(tmp_path / "m.onnx", make_card(stream_spec(SIZE, STEPS, 10_000)))
    warm = write_model(tmp_path / "w.onnx", make_card(stream_spec(SIZE, STEPS, 10_000), temperature=2.5))
    one, _ = live(plain, recording, None)
    other, _ = live(warm, recording, None)
    for first, second in zip(one, other, strict=True):
        powers = {label: p ** (1 / 2.5) for label, p in first.probabilities.items()}
        expected = {label: power / sum(powers.values()) for label, power in powers.items()}
        assert second.probabilities == pytest.approx(expected)
        assert second.label == first.label


def test_cards_with_defaults_are_those_that_older_versions_read():
    card = make_card(stream_spec(SIZE))
    assert "temperature" not in json.loads(card.to_json())
    thresholds = card.model_copy(update={"decision": DecisionThresholds(unknown_below=0.5)})
    assert set(json.loads(thresholds.to_json())["decision"]) == {"unknown_below", "still_below", "hold"}
    fitted = card.model_copy(update={"decision": DecisionThresholds(decide_at=0.9), "temperature": 1.5})
    assert ModelCard.from_json(fitted.to_json()) == fitted
    for changes, where in (({"temperature": 0}, "temperature"), ({"decision": {"decide_at": 0}}, "decision.decide_at")):
        with pytest.raises(ModelError, match=rf"model card: {where}: got 0; expected greater than"):
            ModelCard.parse(card.model_dump(mode="json") | changes)
