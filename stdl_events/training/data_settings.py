"""The settings of recordings, of their split and of their frames.

No torch: listing recipes and checking a setting is fast and works in the base install.
"""

from pathlib import Path, PurePath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from stdl_events.errors import RecipeError
from stdl_events.events import FORMATS
from stdl_events.events.filter_spec import FilterSpec
from stdl_events.events.formats.columns import check_columns
from stdl_events.events.geometry import Flip, RotationSetting, ScaleBy, SizeSetting, WindowSetting
from stdl_events.events.time_units import TIME_UNITS
from stdl_events.frames import FrameSpec
from stdl_events.frames.picture import PictureSpec
from stdl_events.recordings.framers import FRAMERS
from stdl_events.recordings.labels.label_times import AUTO, LABEL_TIMES
from stdl_events.recordings.labels.layout import check_layout
from stdl_events.recordings.orientation import Orientation
from stdl_events.recordings.registry import DATASETS, SPLIT_RULES, VALIDATION_RULES

MAX_UINT8 = 255


def _read_size(value: object) -> object:
    """`346x260` as (346, 260)."""
    return value.lower().split("x") if isinstance(value, str) else value


def read_none(value: object) -> object:
    """`none` as None."""
    return None if isinstance(value, str) and value.lower() == "none" else value


def _read_names(value: object) -> object:
    """`anna+ben` as its two names."""
    return [name.strip() for name in value.split("+") if name.strip()] if isinstance(value, str) else value


def absolute(path: str) -> str:
    """An absolute path, so that a run finds its store from any working directory."""
    if "\0" in path:
        raise RecipeError("", got=repr(path), expected="a path, which holds no NUL", todo="correct the path")
    return str(Path(path).absolute())


def check_name(name: str) -> str:
    """Return a name that can be that of a folder inside another one."""
    path = PurePath(name)
    if not name.strip() or not name.isprintable() or not path.parts or path.is_absolute() or ".." in path.parts:
        raise RecipeError(
            "", got=repr(name), expected="a name of printable signs, which the folder of a run gets in runs/",
            todo="use letters and digits",
        )  # fmt: skip
    return name


# Numbers beyond these are mistakes; up to 2^53 a float has them exactly.
LARGEST_COUNT = 1 << 53
Positive = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
NotNegative = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
Pixels = Annotated[int, Field(ge=1, le=65536)]
Seed = Annotated[int, Field(ge=0, lt=1 << 63)]
SensorSize = Annotated[tuple[Pixels, Pixels], BeforeValidator(_read_size)]


class Section(BaseModel):
    """A group of settings: frozen, without unknown keys, of finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class SplitSettings(Section):
    """The split into recordings to train on, to validate on and held out. See `stdl_events.recordings.splits.split`.

    Attributes:
        rule: one of `stdl_events.recordings.registry.SPLIT_RULES`, which documents each.
        train, test: rule `order`: how many recordings per side.
        held_out: share of recordings or time that is held out.
        gap_us: time left unused between the two parts of one recording; None is the length of one clip.
        seed: rules `recording`, `subject` and `session`: of the draw.
        names: rules `subject` and `session`: those held out, written `anna+ben`; none is a share of all.
        fold: rule `leave-one-subject-out`: number of the subject, from 1 on.
        validation: share of the recordings to train on that decides which weights are kept, instead; None is the
            validation part of a given split, if it has one, and 0 is none.
        validation_names: subjects or sessions, instead of a share, written `anna+ben`.
        validation_by: one of `stdl_events.recordings.registry.VALIDATION_RULES`, which documents each.
    """

    rule: Annotated[str, AfterValidator(SPLIT_RULES.check)] = "auto"
    train: Positive | None = None
    test: Positive | None = None
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    gap_us: NotNegative | None = None
    seed: Seed = 0
    names: Annotated[tuple[str, ...], BeforeValidator(_read_names)] = ()
    fold: Positive | None = None
    validation: Annotated[Annotated[float, Field(ge=0, lt=1)] | None, BeforeValidator(read_none)] = None
    validation_names: Annotated[tuple[str, ...], BeforeValidator(_read_names)] = ()
    validation_by: Annotated[str, AfterValidator(VALIDATION_RULES.check)] = "auto"

    @property
    def asks_for_validation(self) -> bool:
        """True if a validation part is to be taken from the recordings to train on."""
        return bool(self.validation or self.validation_names)


def not_taken(key: str, value: object, rule: str) -> RecipeError:
    """The error for a setting of `data.split` that the rule in force does not take."""
    takers = [name for name in SPLIT_RULES.names if key in SPLIT_RULES[name].options]
    return RecipeError(
        f"data.split.{key}", got=f"{value}, and a split by the rule {rule}",
        expected=f"nothing, or the rule {' or '.join(takers)}", todo=f"leave it out, or use --split {takers[0]}",
    )  # fmt: skip


class WalkersSettings(Section):
    """The simulated walkers. See `stdl_events.recordings.generate_walkers`.

    Attributes:
        people: classes.
        per_person: recordings per person.
        sensor_size: (width, height) in pixels, written `48x48`.
        duration_us: length of a recording.
        seed: of people, takes and noise.
    """

    people: Positive = 8
    per_person: Positive = 40
    sensor_size: SensorSize = (48, 48)
    duration_us: Positive = 1_600_000
    seed: Seed = 0


class DataSettings(Section):
    """The recordings.

    Attributes:
        dataset: one of `stdl_events.recordings.registry.DATASETS`.
        path: their folder, as set by `--data`. Walkers without one are simulated under `runs/`.
        prepared: a store of their clips written by `stdl-events prepare`, from which clips are read. Without a `path`
            the split is the store's own, and the recordings are not needed.
        format, sensor_size, time_unit: of recordings in a folder that do not say it themselves.
        columns: what the columns of their tables hold, such as `x,y,t,p`, whatever their names.
        stream: number of the event stream in recordings with several.
        orientation: of the camera per folder of recordings, such as `walk_away:rotate=180`, in a list; they are turned
            upright when they are opened, before everything else. See `stdl_events.recordings.orientation`.
        labels: label file in the folder; `auto` is labels.csv or segments.tsv if it is there, `none` is none.
        label_times: its times are those of the recordings' own `clock`, or after the first event of each `recording`;
            `auto` is the one that fits all labels.
        layout: class, subject, session and split by the path, such as `{session}/{subject}/{class}/*`.
        framer: one of `stdl_events.recordings.framers.FRAMERS`, which counts the events; all make equal frames.
        skip_bad: unreadable recordings are left out with a warning; otherwise they are an error that names them all.
        repair: of damaged recordings the events before the damage are used, with a warning.
        strict: events outside the sensor, far from all others in time or older than their predecessor make a recording
            unreadable; otherwise they are skipped or sorted, with a warning.
    """

    dataset: Annotated[str, AfterValidator(DATASETS.check)]
    path: str | None = None
    prepared: Annotated[str, AfterValidator(absolute)] | None = None
    format: Annotated[str, AfterValidator(FORMATS.check)] | None = None
    sensor_size: SensorSize | None = None
    stream: int | None = None
    time_unit: Annotated[str, AfterValidator(TIME_UNITS.check)] | None = None
    columns: Annotated[str, AfterValidator(check_columns)] | None = None
    orientation: tuple[Orientation, ...] = ()
    labels: Annotated[str | None, BeforeValidator(read_none)] = "auto"
    label_times: Annotated[str, AfterValidator(LABEL_TIMES.check)] = AUTO
    layout: Annotated[str, AfterValidator(check_layout)] | None = None
    framer: Annotated[str, AfterValidator(FRAMERS.check)] = "own"
    skip_bad: bool = False
    repair: bool = False
    strict: bool = False
    split: SplitSettings = SplitSettings()
    walkers: WalkersSettings = WalkersSettings()


class FrameSettings(Section):
    """`FrameSpec` without the sensor size, which is that of the recordings. See `stdl_events.frames`.

    Counts are capped so that a training clip takes one byte for each.

    Attributes:
        kind: `stream` cuts windows of fixed time or event count, `recording` cuts a whole recording into bins,
            `picture` repeats a static picture.
        steps: T, frames per clip.
        dt_us: `stream`: length of a window.
        events_per_frame: `stream`: events per window, instead of `dt_us`.
        grid: `dt_us`: clips begin with the `recording`, or at multiples of their length in its `clock`.
        by: `recording`: bins of equal event `count` or equal `time`.
        remainder: `recording`: events that do not fill a bin go into the `last` one, or are dropped.
        filters: of events, on the sensor's own pixels, before all that follows.
        rotate: 90, 180 or 270 degrees clockwise, as seen in the picture.
        flip: `horizontal` or `vertical`, after that.
        crop: window of the turned picture, written `40,0,260x260`: its left upper pixel, its width and height.
        center_crop: a window in the middle, written `260x260`, instead of `crop`.
        scale: size of the picture after that, written `128x128`; it only shrinks.
        scale_by: `area` sums the events of pixels that become one, `pick` keeps those of the middle pixel.
        downscale: d x d pixels of that picture are summed into one.
        cap: counts saturate at this value; 1 makes binary frames.
        picture: `picture`: size and scale of the pictures, from which `center_crop` may be cut.
    """

    kind: Literal["stream", "recording", "picture"]
    steps: int
    dt_us: int | None = None
    events_per_frame: int | None = None
    grid: Literal["clock", "recording"] = "recording"
    by: Literal["count", "time"] | None = None
    remainder: Literal["last", "drop"] = "last"
    downscale: int = 1
    filters: FilterSpec = FilterSpec()
    rotate: RotationSetting = 0
    flip: Flip = "none"
    crop: WindowSetting | None = None
    center_crop: SizeSetting | None = None
    scale: SizeSetting | None = None
    scale_by: ScaleBy = "area"
    cap: int | None = MAX_UINT8
    picture: PictureSpec = PictureSpec()

    def spec(self, sensor_size: tuple[int, int]) -> FrameSpec:
        """The frame spec for recordings of `sensor_size` (width, height).

        Raises:
            FrameSpecError: the settings contradict each other.
        """
        return FrameSpec.parse(self.model_dump() | {"sensor_size": sensor_size})
