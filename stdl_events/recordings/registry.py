"""The registries of datasets, split rules and validation rules.

A user's own dataset is one object:

    DATASETS.register("mine", Dataset("My people, by gait", read=read_mine))

Settings, `stdl-events prepare`, help texts, documentation and tests enumerate these two registries.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stdl_events.errors import DatasetError, RecipeError
from stdl_events.registry import Registry

if TYPE_CHECKING:
    from stdl_events.frames import FrameSpec
    from stdl_events.recordings.clips import ClipFrames
    from stdl_events.recordings.entry import Entry, RecordingSet, Split


# Settings of the section `data` about the recordings of a folder; a dataset takes those that its files leave open.
RECORDING_OPTIONS = (
    "format",
    "sensor_size",
    "stream",
    "time_unit",
    "columns",
    "orientation",
    "labels",
    "label_times",
    "layout",
)


def _always(root: Path, **options: object) -> bool:
    del root, options  # exist for datasets whose folder decides
    return True


@dataclass(frozen=True)
class Dataset:
    """A dataset: finds its recordings in a folder, and splits them.

    At least one of `read` and `split` is given.

    Attributes:
        summary: one line without a full stop.
        read: (folder, options) -> all its recordings, for a rule of `SPLIT_RULES`; None for a dataset that has only its
            own split.
        split: (folder, options) -> its own split.
        is_split: (folder, options) -> True if the folder holds the own split; always, unless the layout leaves that
            open.
        options: the settings of the section `data` that both functions take as keyword arguments: "format",
            "sensor_size". For a section, such as "walkers", they take its settings.
        default_folder: (options) -> folder of the recordings if none is given: for a dataset that is generated.
        makes: (options) -> (its sensor's (width, height), number of classes): for a dataset that is generated.
        page: licence, source and layout: a file of this project, or a URL.
        sensor_size: (width, height), if the dataset fixes it.
        classes: number of classes, if the dataset fixes it.
        takes_one_class: `read` and `split` take `one_class=True`: recordings of one class are enough, as to evaluate.
        pictures: for static pictures: (entries, frame spec) -> pictures_NCHW, uint8, an array or a reader on access.
    """

    summary: str
    read: "Callable[..., RecordingSet] | None" = None
    split: "Callable[..., Split] | None" = None
    is_split: Callable[..., bool] = _always
    options: tuple[str, ...] = ()
    default_folder: Callable[..., Path] | None = None
    makes: Callable[..., tuple[tuple[int, int], int]] | None = None
    page: str | None = None
    sensor_size: tuple[int, int] | None = None
    classes: int | None = None
    takes_one_class: bool = False
    pictures: "Callable[[Sequence[Entry], FrameSpec], ClipFrames] | None" = None

    def __post_init__(self) -> None:
        if self.read is None and self.split is None:
            raise DatasetError(
                "dataset", got="neither read nor split", expected="a function that finds the recordings",
                todo="give one of the two",
            )  # fmt: skip


@dataclass(frozen=True)
class SplitRule:
    """A rule that holds recordings out.

    Attributes:
        summary: one line.
        split: (recordings, options) -> the split; None for the two rules that choose another one.
        options: the settings of the section `data.split` that `split` takes as keyword arguments.
        needs: the missing setting if one of them is None, in words.
        reads_events: True if it reads the recordings, and not only their names.
    """

    summary: str
    split: "Callable[..., Split] | None" = None
    options: tuple[str, ...] = ()
    needs: str = ""
    reads_events: bool = False


@dataclass(frozen=True)
class ValidationRule:
    """What a validation part, taken from the recordings to train on, consists of; `summary` is one line."""

    summary: str


DATASETS: Registry[Dataset] = Registry(
    "dataset",
    DatasetError,
    {
        "walkers": "stdl_events.recordings.simulated.synthetic:DATASET",
        "folder": "stdl_events.recordings.datasets.folder:DATASET",
        "nmnist": "stdl_events.recordings.datasets.nmnist:DATASET",
        "gait_day": "stdl_events.recordings.datasets.gait_day:DATASET",
        "har_dvs": "stdl_events.recordings.datasets.har_dvs:DATASET",
        "cifar10_dvs": "stdl_events.recordings.datasets.cifar10_dvs:DATASET",
        "dvs_gesture": "stdl_events.recordings.datasets.dvs_gesture:DATASET",
        "sl_animals": "stdl_events.recordings.datasets.sl_animals:DATASET",
        "thu_eact_50": "stdl_events.recordings.datasets.thu_eact_50:DATASET",
        "thu_eact_50_chl": "stdl_events.recordings.datasets.thu_eact_50:CHL",
        "daily_dvs_200": "stdl_events.recordings.datasets.daily_dvs_200:DATASET",
        "cifar10": "stdl_events.recordings.datasets.cifar:CIFAR10",
        "cifar100": "stdl_events.recordings.datasets.cifar:CIFAR100",
        "svhn": "stdl_events.recordings.datasets.svhn:DATASET",
        "image_folder": "stdl_events.recordings.datasets.image_folder:DATASET",
    },
    families={"tonic": "stdl_events.recordings.datasets.tonic_sets:FAMILY"},
)

VALIDATION_RULES: Registry[ValidationRule] = Registry(
    "validation rule",
    RecipeError,
    {
        "auto": ValidationRule(
            "the kind of the names; of a share what the split keeps apart (subject, session), `time` where it divides "
            "recordings or each class is one, else `recording`"
        ),
        "recording": ValidationRule("a seeded share of each class's recordings"),
        "subject": ValidationRule("named subjects, or a seeded share of them"),
        "session": ValidationRule("named sessions, or a seeded share of them"),
        "time": ValidationRule("the last share of each recording's time, `gap_us` before it left out"),
    },
)

SPLIT_RULES: Registry[SplitRule] = Registry(
    "split rule",
    RecipeError,
    {
        "auto": SplitRule(
            "`given` where there is a split of its own, else `time` where each class is one recording, else `recording`"
        ),
        "given": SplitRule("the dataset's own"),
        "order": "stdl_events.recordings.splits.split:ORDER",
        "recording": "stdl_events.recordings.splits.split:RECORDING",
        "time": "stdl_events.recordings.splits.split:TIME",
        "subject": "stdl_events.recordings.splits.split_people:SUBJECT",
        "session": "stdl_events.recordings.splits.split_people:SESSION",
        "leave-one-subject-out": "stdl_events.recordings.splits.split_people:LEAVE_ONE_SUBJECT_OUT",
    },
)
