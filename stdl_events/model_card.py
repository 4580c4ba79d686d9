"""The model card: `model.json` of a bundle, and the metadata of an exported file."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from stdl_events import __version__
from stdl_events.errors import ModelError
from stdl_events.frames.spec import StoredFrameSpec
from stdl_events.validation import JSON_ERRORS, MAX_SHOWN, first_problem

SCHEMA_VERSION = 1
# The entry of an ONNX file's metadata_props that holds the card.
METADATA_KEY = "stdl_events.model_card"

# Beyond these the logits say nothing, or everything.
LEAST_TEMPERATURE, LARGEST_TEMPERATURE = 1e-3, 1e3

# What a card may ask for before anything is allocated: far beyond any network that runs live.
MAX_CHARACTERS = 4 << 20
MAX_LABELS, MAX_LABEL = 1 << 16, 200
MAX_STATES = 1 << 12
MAX_VALUES = 1 << 28  # of a frame and the states of one clip
MAX_STEPS_PER_CALL = 1 << 12

# Entries that the first cards had not.
_LATER_ENTRIES = (
    "decision", "temperature", "steps_per_call", "weights_sha256", "verification", "accuracy", "state_format",
)  # fmt: skip

Size = Annotated[int, Field(strict=True, ge=1)]


# A version of this package, as a card states it.
_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?[a-z0-9.+]{0,20}", re.ASCII)


class DecisionThresholds(BaseModel):
    """What a live prediction must reach to be believed; the defaults believe all.

    Attributes:
        unknown_below: probability of the most probable class.
        still_below: events per second in the model's frames; below, the scene is still.
        hold: clips in a row in which something new must be seen.
        decide_at: probability at which a clip is decided before its end; None decides at the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    unknown_below: Annotated[float, Field(ge=0, le=1)] = 0.0
    still_below: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    hold: Annotated[int, Field(strict=True, ge=1)] = 1
    decide_at: Annotated[float, Field(gt=0, le=1)] | None = None


Words = Annotated[str, Field(max_length=MAX_LABEL)]
Count = Annotated[int, Field(strict=True, ge=0)]


class StateFormat(BaseModel):
    """Number format of an exported file's states, where it is not that of its frames.

    Attributes:
        dtype: of the states.
        scale: the membrane potential that the integer 1 stands for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dtype: Literal["int8"]
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    def to_text(self) -> str:
        """Return it in a few words."""
        return f"{self.dtype}, potentials of {-128 * self.scale:g} to {127 * self.scale:g} in steps of {self.scale:g}"


class Verification(BaseModel):
    """Comparison of an exported file with its network, before the file was kept; see `export.verify`.

    Attributes:
        steps: time steps of each sequence.
        simulated_sequences: sequences of simulated frames.
        held_out_clips: clips of held-out recordings, joined to sequences; 0 if these were not there.
        held_out_of: the dataset that they are of.
        batch_sizes: of the sequences.
        compared: numbers compared, each step from the same state.
        largest_difference: among them.
        near_threshold: neurons that fired on one side only, within rounding of their threshold.
        near_rounding: states in eight bits that were rounded to neighbouring integers.
        at_the_ends: share of states in eight bits at the ends of their range, nearly all of them clamped.
        other_classes: clips and simulated sequences that get another class when each side keeps its own state.
        silent_layers: layers that never fired, such as "2. 128C3-AP2".
    """

    model_config = ConfigDict(frozen=True)  # a newer version may have measured more

    steps: Size
    simulated_sequences: Count
    held_out_clips: Count = 0
    held_out_of: Words = ""
    batch_sizes: tuple[Size, ...]
    compared: Count
    largest_difference: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    near_threshold: Count
    near_rounding: Count = 0
    at_the_ends: Annotated[float, Field(ge=0, le=1)] = 0.0
    other_classes: Count
    silent_layers: Annotated[tuple[Words, ...], Field(max_length=MAX_STATES)] = ()

    def to_text(self) -> str:
        """Return it in a few words."""
        of = f"{self.held_out_clips:,} held-out clips of {self.held_out_of}" if self.held_out_clips else ""
        on = " and ".join(filter(None, (f"{self.simulated_sequences} simulated sequences", of)))
        clamped = f"; {self.at_the_ends:.2%} of states at the ends of their range" if self.at_the_ends else ""
        silent = f"; never fired: {', '.join(self.silent_layers)}" if self.silent_layers else ""
        return f"{self.steps} steps of {on}, within {self.largest_difference:.1e} of the network{clamped}{silent}"


class FileAccuracy(BaseModel):
    """Accuracy of an exported file itself, in onnxruntime, on recordings that it was not trained on.

    Attributes:
        accuracy: share of the clips that get their own class.
        clips, recordings: number of them.
        data: the dataset.
        labels_by: what names the class of a recording.
        split: how the recordings were held out.
    """

    model_config = ConfigDict(frozen=True)  # a newer version may have measured more

    accuracy: Annotated[float, Field(ge=0, le=1)]
    clips: Size
    recordings: Size
    data: Words
    labels_by: Words
    split: Words

    def to_text(self) -> str:
        """Return it in a few words."""
        return f"right on {self.accuracy:.1%} of {self.clips:,} held-out clips of {self.data}"


class ModelCard(BaseModel):
    """Everything that running a model needs besides its weights.

    Attributes:
        network: the network's spec as JSON, as `NetworkSpec.to_dict` writes it.
        frame: the frame spec of training, which live frames must follow too.
        labels: class names, in the order of the logits.
        readout: "reset": the state is zeroed at each clip; "sliding": trained with carried state.
        state_shapes: one shape per state tensor, without the batch dimension.
        versions: of the packages that it was trained with.
        provenance: recipe, data, seed, measured accuracy and the like.
        decision: thresholds of live predictions; None believes all.
        temperature: divides the mean logits before the softmax; the logits of the file are as they were trained.
        steps_per_call: frames that an exported file takes in one call: 1, or all of a clip.
        weights_sha256: of an exported file's weights, which `live` compares; see `live.onnx_file.OnnxFile`.
        verification: how an exported file was compared with its network.
        accuracy: of an exported file on held-out recordings.
        state_format: of states in eight bits; None for states in the format of the weights.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    network: dict[str, JsonValue]
    frame: StoredFrameSpec
    labels: Annotated[
        tuple[Annotated[str, Field(max_length=MAX_LABEL)], ...], Field(min_length=1, max_length=MAX_LABELS)
    ]
    readout: Literal["reset", "sliding"]
    state_shapes: Annotated[tuple[tuple[Size, ...], ...], Field(max_length=MAX_STATES)]
    versions: dict[str, str] = {}
    provenance: dict[str, JsonValue] = {}
    decision: DecisionThresholds | None = None
    temperature: Annotated[float, Field(ge=LEAST_TEMPERATURE, le=LARGEST_TEMPERATURE)] = 1.0
    steps_per_call: Annotated[int, Field(strict=True, ge=1, le=MAX_STEPS_PER_CALL)] = 1
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    verification: Verification | None = None
    accuracy: FileAccuracy | None = None
    state_format: StateFormat | None = None

    @model_validator(mode="after")
    def _labels_differ(self) -> Self:
        twice = sorted(label for label, count in Counter(self.labels).items() if count > 1)
        if twice:
            raise ModelError(
                "labels", got=f"{twice[0]!r} twice", expected="distinct class names", todo="rename one of them"
            )
        return self

    @model_validator(mode="after")
    def _fits(self) -> Self:
        values = sum(math.prod(shape) for shape in (self.frame.frame_shape_CHW, *self.state_shapes))
        if values > MAX_VALUES:
            raise ModelError(
                "frame and state_shapes", got=f"{values:.3g} values", expected=f"at most {MAX_VALUES:,}",
                todo="use a smaller network or sensor",
            )  # fmt: skip
        return self

    @classmethod
    def parse(cls, mapping: Mapping[str, Any], *, subject: str = "model card") -> "ModelCard":
        """The card in `mapping`.

        Args:
            subject: name of the card in error messages, such as the file's path.

        Raises:
            ModelError: `mapping` is not a card of this schema version; the message names the first wrong entry.
        """
        version = mapping.get("schema_version", SCHEMA_VERSION)
        if version != SCHEMA_VERSION:
            raise ModelError(
                f"{subject}: schema_version",
                got=repr(version)[:MAX_SHOWN],
                expected=str(SCHEMA_VERSION),
                todo=_use_the_newer(mapping) or "use the stdl-events version that wrote it, or export the model again",
            )
        try:
            return cls.model_validate(mapping)
        except ValidationError as error:
            problem = first_problem(error)
            raise ModelError(
                f"{subject}: {problem.where}",
                got=problem.got,
                expected=problem.expected,
                todo=_use_the_newer(mapping) or problem.todo or "export the model again",
            ) from None

    @classmethod
    def read(cls, path: Path) -> "ModelCard":
        """The card in the file at `path`; see `parse`."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelError(
                str(path), got=f"a file that does not read ({error})", expected="a model card",
                todo="use an undamaged bundle",
            ) from None  # fmt: skip
        return cls.from_json(text, subject=str(path))

    @classmethod
    def from_json(cls, text: str, *, subject: str = "model card") -> "ModelCard":
        """The card in JSON `text`; see `parse`."""
        if len(text) > MAX_CHARACTERS:
            raise ModelError(
                subject, got=f"{len(text):,} characters", expected=f"a model card of at most {MAX_CHARACTERS:,}",
                todo="export the model again",
            )  # fmt: skip
        try:
            mapping = json.loads(text)
        except JSON_ERRORS as error:
            raise ModelError(
                subject, got=f"no JSON ({error})", expected="a model card", todo="export the model again"
            ) from None
        if not isinstance(mapping, dict):
            raise ModelError(
                subject, got=f"a JSON {type(mapping).__name__}", expected="an object", todo="export the model again"
            )
        return cls.parse(mapping, subject=subject)

    def to_json(self) -> str:
        """The card as JSON with sorted keys; equal cards give equal text."""
        # Older versions read a card whose later entries have their defaults.
        document = self.model_dump(mode="json")
        for name in _LATER_ENTRIES:
            if document[name] == type(self).model_fields[name].default:
                del document[name]
        if self.decision is not None and self.decision.decide_at is None:
            del document["decision"]["decide_at"]
        if self.verification is not None and self.state_format is None:
            del document["verification"]["near_rounding"], document["verification"]["at_the_ends"]
        return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _use_the_newer(mapping: Mapping[str, Any]) -> str | None:
    """Return what to do with a card of a newer version of this package; None if it states none."""
    versions = mapping.get("versions")
    writer = versions.get("stdl-events") if isinstance(versions, dict) else None
    if not isinstance(writer, str) or _release(writer) <= _release(__version__):
        return None
    return f"use stdl-events {writer}, which wrote it, or export the model again with {__version__}"


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version; () for a text that is none."""
    match = _VERSION.fullmatch(version)
    return tuple(int(number or 0) for number in match.groups()) if match else ()
