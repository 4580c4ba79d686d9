"""The options of every command that takes a recipe: how its recordings are read, labelled, cleaned and cut.

Each is a setting of the recipe. `with_data_options` adds them to a command, so that all commands have the same ones.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json import dumps
from typing import TYPE_CHECKING, Any

from stdl_events.cli.options.geometry_options import (
    CenterCropOption,
    CropOption,
    FlipOption,
    RotateOption,
    ScaleByOption,
    ScaleOption,
)
from stdl_events.cli.options.label_options import LabelsOption, LabelTimesOption, LayoutOption
from stdl_events.cli.options.recording_options import (
    ColumnsOption,
    FormatOption,
    OrientationOption,
    SensorOption,
    StreamOption,
    StrictOption,
    TimeUnitOption,
    parse_sensor_size,
)
from stdl_events.cli.options.registry_options import FilterOption, filter_words
from stdl_events.errors import UserError

if TYPE_CHECKING:
    from stdl_events.training.data_settings import DataSettings

PARAMETER = "data_options"
# Parameter -> (its option, the setting).
_OPTIONS: dict[str, tuple[Any, str]] = {
    "labels": (LabelsOption, "data.labels"),
    "label_times": (LabelTimesOption, "data.label_times"),
    "layout": (LayoutOption, "data.layout"),
    "orientation": (OrientationOption, "data.orientation"),
    "format": (FormatOption, "data.format"),
    "sensor": (SensorOption, "data.sensor_size"),
    "stream": (StreamOption, "data.stream"),
    "time_unit": (TimeUnitOption, "data.time_unit"),
    "columns": (ColumnsOption, "data.columns"),
    "strict": (StrictOption, "data.strict"),
    "filters": (FilterOption, "frames.filters"),
    "rotate": (RotateOption, "frames.rotate"),
    "flip": (FlipOption, "frames.flip"),
    "crop": (CropOption, "frames.crop"),
    "center_crop": (CenterCropOption, "frames.center_crop"),
    "scale": (ScaleOption, "frames.scale"),
    "scale_by": (ScaleByOption, "frames.scale_by"),
}


@dataclass(frozen=True)
class DataOptions:
    """The options that are given.

    Attributes:
        flags: as on the command line: "--label-times".
        assignments: the settings that they change, `key=value` each.
    """

    flags: tuple[str, ...] = ()
    assignments: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "DataOptions":
        """Return those of `values`, by parameter; None and an empty list are not given.

        Raises:
            StdlEventsError: a value does not parse.
        """
        given = {name: value for name, value in values.items() if value not in (None, [], ())}
        flags = tuple("--filter" if name == "filters" else f"--{name.replace('_', '-')}" for name in given)
        return cls(flags, tuple(each for name, value in given.items() for each in _assignments(name, value)))


NO_OPTIONS = DataOptions()


def _assignments(name: str, value: Any) -> list[str]:
    setting = _OPTIONS[name][1]
    if name == "filters":
        return [f"{setting}.{filter}={text}" for filter, _, text in filter_words(value)]
    if name == "orientation":
        from stdl_events.recordings.orientation import parse_orientations

        value = dumps([asked.model_dump() for asked in parse_orientations(value)])
    if name == "sensor":
        parse_sensor_size(value)
    return [f"{setting}={'true' if value is True else value}"]


def with_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to `command`, which takes them as one `DataOptions` called `data_options`."""
    own = inspect.signature(command)

    @functools.wraps(command)
    def run(**values: Any) -> None:
        options = DataOptions.of({name: values.pop(name) for name in _OPTIONS})
        command(**values, **{PARAMETER: options})

    parameters: list[inspect.Parameter] = []
    for parameter in own.parameters.values():
        if parameter.name != PARAMETER:
            parameters.append(parameter)
            continue
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters += [
            inspect.Parameter(name, kind, default=None, annotation=option) for name, (option, _) in _OPTIONS.items()
        ]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def data_settings(values: Mapping[str, Any]) -> "DataSettings":
    """Return the settings of recordings that options state.

    Raises:
        UserError: one is invalid.
    """
    from pydantic import ValidationError

    from stdl_events.training.data_settings import DataSettings
    from stdl_events.validation import first_problem

    try:
        return DataSettings.model_validate(values)
    except ValidationError as error:
        problem = first_problem(error)
        raise UserError(
            f"data.{problem.where}", got=problem.got, expected=problem.expected,
            todo=problem.todo or "correct the option",
        ) from None  # fmt: skip
