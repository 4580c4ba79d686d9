"""Frames in, predictions out: resets of the state, and logits to predictions."""

import json
import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from stdl_events.errors import ModelError
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.geometry import Geometry, Size
from stdl_events.frames import ClipGate, Frame, FrameSpec
from stdl_events.frames.selection import Selection
from stdl_events.live.decision import State
from stdl_events.live.readout import MeanSoFar, softmax
from stdl_events.live.session import StepSession
from stdl_events.model_card import ModelCard

NO_FILTERS, AS_IT_IS = FilterSpec(), Geometry()


@dataclass(frozen=True)
class Prediction:
    """The prediction after a frame.

    Attributes:
        t_us: end of the frame, in the source's clock.
        label: the most probable class.
        probabilities: one per class, in the order of the model's labels.
        latency_us: from the arrival of the data that closed the frame to this prediction; if the source waits for the
            model, from the moment the model took the frame.
        clip, step: indices of the frame's clip and of the frame within it.
        final: True at the clip's last step.
        decision: the label that is believed; None for unknown, a still scene, and before the clip is decided.
        state, why: of the decision, see `live.decision.Decision`; "open" before it, "decided" after it.
        decided_after: frames of the clip at its decision; None before.
        t_start_us: start of the clip, in the source's clock.
    """

    t_us: int
    label: str
    probabilities: dict[str, float]
    latency_us: int
    clip: int
    step: int
    final: bool
    decision: str | None = None
    state: State | Literal["open", "decided"] = "open"
    why: str = ""
    decided_after: int | None = None
    t_start_us: int | None = None

    def to_json(self) -> str:
        """One line of JSON."""
        document = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return json.dumps(document, ensure_ascii=False, allow_nan=False)


class Readout(NamedTuple):
    """The prediction of a frame, without its latency.

    Attributes:
        label, probabilities, final: see `Prediction`.
        missing: frames of the clip, up to this one, that were shed.
    """

    label: str
    probabilities: dict[str, float]
    final: bool
    missing: int = 0


def live_frame_spec(card: ModelCard, *, frame_us: int | None = None) -> FrameSpec:
    """Return the frame spec of a live stream for the model of `card`.

    Args:
        frame_us: windows of this many microseconds instead of the card's own.

    Raises:
        ModelError: the model was trained on static pictures, or on bins of whole recordings while `frame_us` is None.
        FrameSpecError: `frame_us` is not a positive integer.
    """
    spec = card.frame
    if spec.kind == "picture":
        raise ModelError(
            "model", got="one that was trained on static pictures",
            expected="one trained on events, which is all a live source has",
            todo="use a model of events, or test this one with stdl-events evaluate RUN --model MODEL",
        )  # fmt: skip
    if frame_us is None:
        if spec.kind == "stream":
            return spec
        raise ModelError(
            "model", got=f"frames that are bins of a whole recording (by {spec.by})",
            expected="windows of fixed length, which is all a live source has",
            todo="say how long a frame shall last with --frame-us, or train on frames of kind stream",
        )  # fmt: skip
    settings = spec.model_dump(exclude={"by", "remainder", "events_per_frame"})
    return FrameSpec.parse({**settings, "kind": "stream", "dt_us": frame_us})


def _other_size(subject: str, size: Size, trained: Size) -> ModelError:
    """Return the error for a source of `size` pixels, with the options that make it fit."""
    fit = "{}x{}".format(*trained)
    todo = f"use a source of at least {fit} pixels, or train a model for this size"
    if size == trained[::-1]:
        todo = "turn it with --rotate 90 or --rotate 270"
    elif size[0] >= trained[0] and size[1] >= trained[1]:
        todo = f"cut it with --center-crop {fit} or --crop X,Y,{fit}, shrink it with --scale {fit}, or do both"
    return ModelError(
        subject, got="a source of {}x{} pixels".format(*size), expected=f"{fit}, on which the model was trained",
        todo=todo,
    )  # fmt: skip


class Recogniser:
    """A model that steps through a stream's frames.

    With readout "reset" the state is zeroed at each clip's first step, and the prediction is the softmax of the mean of
    the logits so far, divided by the card's temperature. A clip with a missing frame is dropped, as in training, unless
    the frame was shed: then the clip goes on without it. With "sliding" the state continues, and the mean is over the
    last T frames.

    Args:
        session: the model.
        sensor_size: (W, H) of the source.
        frame_us: see `live_frame_spec`.
        filters, geometry: of this source alone, applied to its events before all that the model's own spec does: for a
            camera with other hot pixels, hung in another way, or of another size than that of training.
        whole_recordings: the frames may be bins of a whole recording, which no live source has.

    Attributes:
        spec: frame spec for the events that `select` returns.
        select: the filters and the geometry of this source.

    Raises:
        ModelError: the source's sensor size after `geometry` is not the model's; or see `live_frame_spec`.
        FrameSpecError: `filters` or `geometry` do not fit the sensor.
    """

    def __init__(
        self,
        session: StepSession,
        sensor_size: tuple[int, int],
        *,
        frame_us: int | None = None,
        filters: FilterSpec = NO_FILTERS,
        geometry: Geometry = AS_IT_IS,
        whole_recordings: bool = False,
    ) -> None:
        card = session.card
        in_bins = whole_recordings and card.frame.kind == "recording"
        self.spec = card.frame if in_bins else live_frame_spec(card, frame_us=frame_us)
        size = geometry.size(sensor_size)
        if size != card.frame.sensor_size:
            raise _other_size(str(session.path), size, card.frame.sensor_size)
        self.select = Selection(filters, geometry, sensor_size)
        self.session = session
        self.labels = card.labels
        self._temperature = card.temperature
        self._gate = ClipGate(self.spec.steps) if card.readout == "reset" else None
        self._state = session.initial_state()
        self._last: tuple[int, int] | None = None
        self._missing = 0
        self._mean = MeanSoFar(None if self._gate else self.spec.steps)

    @property
    def resets(self) -> bool:
        """True if the state is zeroed at each clip's first step."""
        return self._gate is not None

    @property
    def incomplete_clips(self) -> int:
        """Number of clips dropped so far because of a missing frame."""
        return self._gate.incomplete if self._gate else 0

    def push(self, frame: Frame, shed: int = 0) -> Readout | None:
        """Step the model; None if the frame's clip was not seen from its start.

        A frame of another session than the one before, or an older one, is of another stream: the state is zeroed.

        Args:
            shed: number of frames right before this one that were shed.
        """
        if self._last is not None and (frame.session != self._last[0] or frame.index < self._last[1]):
            self._state = self.session.initial_state()
            self._mean.restart()
        self._last = (frame.session, frame.index)
        if self._gate:
            if not self._admits(self._gate, frame, shed):
                return None
            begins = shed >= frame.step
            if begins:
                self._state = self.session.initial_state()
                self._mean.restart()
            self._missing = frame.step if begins else self._missing + shed
        logits_BK, self._state = self.session.step(frame.counts_CHW[np.newaxis], self._state)
        mean_K = self._mean.push(logits_BK[0])
        # A list: of few classes, each call of numpy takes longer than all of this.
        means = mean_K.tolist()
        if not all(map(math.isfinite, means)):
            raise ModelError(
                str(self.session.path), got=f"logits that are not finite at t={frame.t_end_us} us",
                expected="finite logits", todo="export a float32 model, or train it again",
            )  # fmt: skip
        return Readout(
            label=self.labels[means.index(max(means))],
            probabilities=dict(zip(self.labels, softmax(mean_K, self._temperature).tolist(), strict=True)),
            final=frame.step == frame.steps - 1,
            missing=self._missing,
        )

    @staticmethod
    def _admits(gate: ClipGate, frame: Frame, shed: int) -> bool:
        """Return True if the frame's clip was seen, up to this frame, but for frames that were shed."""
        for index in range(frame.index - min(shed, frame.step), frame.index):
            gate.admits(replace(frame, index=index))
        return gate.admits(frame)

    def finish(self) -> None:
        """End the source: an open clip counts as incomplete."""
        if self._gate:
            self._gate.finish()
