"""The settings of a training run: one complete frozen tree, with every default.

No torch: listing recipes and checking a setting is fast and works in the base install.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from stdl_events.errors import RecipeError
from stdl_events.events.defects import count_of
from stdl_events.events.transform_spec import TransformSpec, check_transform
from stdl_events.frames.mix_registry import MIXES
from stdl_events.frames.transform_registry import OF_EVENTS, TRANSFORMS
from stdl_events.network.paper_neurons import paper_neuron
from stdl_events.network.registries import NORMS
from stdl_events.network.spec import NetworkSpec, NeuronSpec
from stdl_events.network.zoo import parse_network
from stdl_events.training.data_settings import (
    DataSettings,
    FrameSettings,
    NotNegative,
    Positive,
    Section,
    Seed,
    absolute,
    check_name,
    read_none,
)
from stdl_events.training.learning_settings import LearningSettings
from stdl_events.training.neuron_setting import NeuronSetting
from stdl_events.training.unused_settings import say_unused_changes
from stdl_events.training.update_settings import AveragingSettings, OptimiserSettings, ScheduleSettings
from stdl_events.validation import first_problem


def _check_transform(spec: TransformSpec) -> TransformSpec:
    return check_transform(spec, TRANSFORMS, given=GIVEN)


def _check_mix(spec: TransformSpec) -> TransformSpec:
    return check_transform(spec, MIXES, given=GIVEN)


# What training passes to transforms and mixes: its generator, and the cap of the frames.
GIVEN = ("rng", "cap")
ClipTransform = Annotated[TransformSpec, AfterValidator(_check_transform)]
Mix = Annotated[TransformSpec, AfterValidator(_check_mix)]
# Each waiting batch takes memory; a thread that is slower than the step is not made faster by a longer queue.
MOST_AHEAD = 64


class NetworkSettings(Section):
    """A name of the zoo or the paper's notation, whose classifier may be left out; its neurons, its norm.

    Attributes:
        notation: a name of the zoo, or layers such as `8C3-AP2-16C3`.
        neuron: the neuron's settings, or "paper" for the neuron that the learning rule was published with.
        norm: one of `stdl_events.network.registries.NORMS`.
        norm_momentum: batch norm: the share of one time step's statistics in the running ones.
    """

    notation: str
    neuron: NeuronSetting = NeuronSpec()
    norm: Annotated[str, AfterValidator(NORMS.check)] = "batch"
    norm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.1

    def spec(self, input_shape: Sequence[int], classes: int, rule: str) -> NetworkSpec:
        """The network for frames of `input_shape` (C, H, W) and `classes` classes, to be trained by `rule`.

        Raises:
            NotationError: the notation does not parse, or does not fit the frames or the classes.
            RuleError: `neuron` is "paper", and the rule was published with no neuron.
        """
        spec = parse_network(self.notation, input_shape=input_shape, classes=classes)
        neuron = self.neuron if isinstance(self.neuron, NeuronSpec) else paper_neuron(rule)
        return dataclasses.replace(spec, neuron=neuron, norm=self.norm, norm_momentum=self.norm_momentum)


class AugmentSettings(Section):
    """Random changes of training clips, one draw per clip, the same for all its frames.

    Attributes:
        shift_px: greatest shift along x and along y, in pixels of the frame; entering pixels are empty.
        roll_px: greatest roll along x and along y, in pixels of the frame.
        zoom: greatest share of each side that is cropped, at a random position, before the rest is enlarged again.
        flip: mirror left and right with probability 0.5.
        event_drop: in three of four clips drop events, in a stretch of time, in an area, or at random.
        crop: of pictures in files of their own, the window `frames.center_crop` at a `random` place, or a `resized`
            one of 8 to 100 % of the picture; `none` is the middle, as in evaluation.
        transforms: further ones of `stdl_events.frames.transform_registry.TRANSFORMS`, in their order, written as
            `drop_time:share=0.2,probability=0.5` or as name, settings and probability.
        mix: after that each clip is mixed with another of the batch, by one of `stdl_events.frames.mix_registry.MIXES`,
            written `eventmix:probability=0.5`; targets become weights of both classes, which the loss must take. None
            is no mix.
    """

    shift_px: NotNegative = 0
    roll_px: NotNegative = 0
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.0
    flip: bool = False
    event_drop: bool = False
    crop: Literal["none", "random", "resized"] = "none"
    transforms: tuple[ClipTransform, ...] = ()
    mix: Annotated[Mix | None, BeforeValidator(read_none)] = None


class TrainConfig(Section):
    """All settings that a training run depends on, besides the recordings themselves.

    Attributes:
        name: of the recipe.
        epochs: passes over the training clips.
        batch_size: clips per batch, the most that are in memory at a time.
        sampling: `all` trains on each clip once per epoch; `balanced` on equally many clips of each class, as many in
            all: of large classes a random part, of small ones every clip several times.
        init: folder of a finished run of the same network, with whose weights training starts; as set by `--init`.
        seed: of initial weights, order, augmentation and dropout.
        device: `auto` is CUDA where there is a device.
        log_every_steps: updates between two rows of training metrics.
        checkpoint_every_steps: updates between two checkpoints; None is once per epoch.
        early_stop: epochs without a better result on the validation part after which the run ends; None is never.
        prefetch: batches that a thread reads and augments while the step runs; 0 makes each before its step. The result
            is the same.
        accumulate: batches per update. The gradients of an update are those of one batch of all its clips, but for
            batch norm, which has the statistics of each batch. Not for rules that update within a sequence.
        freeze: what of the network is not trained: a number of first layers, or dotted names of layers or parameters,
            in which `*` matches anything; as set by `--freeze`.
    """

    name: Annotated[str, AfterValidator(check_name)]
    data: DataSettings
    frames: FrameSettings
    network: NetworkSettings
    learning: LearningSettings = LearningSettings()
    augment: AugmentSettings = AugmentSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    epochs: Positive
    batch_size: Positive
    sampling: Literal["all", "balanced"] = "all"
    init: Annotated[str, AfterValidator(absolute)] | None = None
    seed: Seed = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    log_every_steps: Positive = 10
    checkpoint_every_steps: Positive | None = None
    early_stop: Positive | None = None
    prefetch: Annotated[int, Field(ge=0, le=MOST_AHEAD)] = 2
    accumulate: Positive = 1
    freeze: tuple[str, ...] = ()
    averaging: AveragingSettings = AveragingSettings()

    @model_validator(mode="after")
    def _events_or_pictures(self) -> "TrainConfig":
        names = [transform.name for transform in self.augment.transforms]
        of_events = ["event_drop"] * self.augment.event_drop + [name for name in names if name in OF_EVENTS]
        of_events += [] if self.augment.mix is None else [self.augment.mix.name]
        if of_events and self.frames.kind == "picture":
            raise RecipeError(
                "augment", got=of_events[0], expected="changes of pictures, since frames.kind is picture",
                todo="use shift_px, flip, roll_px and zoom",
            )  # fmt: skip
        if self.augment.crop != "none" and self.frames.kind != "picture":
            raise RecipeError(
                "augment.crop", got=self.augment.crop, expected="none, since frames.kind is not picture",
                todo="use shift_px and zoom for events",
            )  # fmt: skip
        return self

    @model_validator(mode="after")
    def _ends_its_warmup(self) -> "TrainConfig":
        if self.schedule.warmup_epochs >= self.epochs:
            raise RecipeError(
                "schedule.warmup_epochs", got=f"{self.schedule.warmup_epochs:g} of {count_of(self.epochs, 'epoch')}",
                expected="less than epochs, so that the learning rate is reached", todo="train longer, or warm up less",
            )  # fmt: skip
        return self

    def derive(self, **changes: Any) -> "TrainConfig":
        """This configuration with some settings changed; a section is given as a mapping of the keys that change.

        Changes without effect beside the other settings are warned of, so those that need each other belong together.

        Raises:
            RecipeError: a key is unknown, or a value is impossible.
        """
        merged = _merge(self.model_dump(), changes, "")
        try:
            derived = TrainConfig.model_validate(merged)
        except ValidationError as error:
            problem = first_problem(error)
            raise RecipeError(
                problem.where or "settings", got=problem.got, expected=problem.expected,
                todo=problem.todo or "correct this setting",
            ) from None  # fmt: skip
        say_unused_changes(self, derived, changes)
        return derived


def _merge(base: dict[str, Any], changes: Mapping[str, Any], path: str) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        if key not in base:
            raise RecipeError(
                f"setting {path + key!r}", got="no such setting", expected=f"one of {', '.join(base)}", todo="rename it"
            )
        old = merged[key]
        nested = isinstance(old, dict) and isinstance(value, Mapping)
        merged[key] = _merge(old, value, f"{path}{key}.") if nested else value
    return merged
