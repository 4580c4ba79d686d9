"""The options of every command that reads labelled recordings."""

from typing import Annotated

import typer

from stdl_events.cli.options.registry_options import one_of
from stdl_events.recordings.labels.label_times import LABEL_TIMES

LabelsOption = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="Label file in the folder of the recordings, or none: classes are folders.  [default: labels.csv or "
        "segments.tsv, if there is one]",
    ),
]
LabelTimesOption = Annotated[
    str | None,
    one_of(
        LABEL_TIMES,
        "Times in the label file: of the recordings' own clock, or after the first event of each recording.",
        "--label-times",
    ),
]
LayoutOption = Annotated[
    str | None,
    typer.Option(
        "--layout",
        metavar="PATTERN",
        help="Class, subject, session and split by the path, such as '{session}/{subject}/{class}/*'.",
    ),
]


def label_settings(labels: str | None, label_times: str | None, layout: str | None) -> dict[str, str]:
    """Return the given ones by their names in the section `data`."""
    given = {"labels": labels, "label_times": label_times, "layout": layout}
    return {name: value for name, value in given.items() if value is not None}
