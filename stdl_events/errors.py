"""All errors of the package, by the side that must act on them.

    StdlEventsError
    ├── UserError (also ValueError)        the input is wrong: one line, exit code 2
    │   ├── RecordingError                 a recording cannot be read
    │   │   ├── UnknownFormatError         no format recognises the file
    │   │   ├── TruncatedRecordingError    the file ends inside a record
    │   │   └── CorruptRecordingError      the bytes contradict their format
    │   ├── FrameSpecError                 events cannot be cut into frames as asked
    │   ├── DatasetError                   a folder of recordings does not have the expected layout
    │   │   └── SplitError                 training and held-out recordings cannot be kept apart
    │   ├── NotationError                  a network's notation does not parse
    │   ├── ShapeError                     a tensor does not have the shape that the stage takes
    │   ├── BatchError                     frames or targets are not what a learner learns from
    │   ├── LossError                      a loss is NaN or infinite
    │   ├── RuleError                      a learning rule is unknown, or its options contradict each other
    │   ├── PlanError                      no plan fits the memory budget
    │   ├── RecipeError                    a recipe is unknown, or has no such setting
    │   ├── RunError                       a run folder, checkpoint or bundle is missing or damaged
    │   └── ModelError                     an exported model is unusable here, or does not match the source
    └── OutsideError                       the world outside failed
        ├── MissingExtraError              an optional package is not installed (exit code 3)
        ├── SourceLostError                a source of events is gone, and stays away (exit code 4)
        ├── VerificationError              an exported file computes something else than the network (exit code 5)
        ├── BudgetError                    a live run was later than its budget of latency (exit code 6)
        ├── ClusterError                   the cluster that prepares does not answer, or fails (exit code 7)
        ├── SinkError                      a sink of a live run, such as a function of one's own, raised (exit code 8)
        ├── NoCameraError                  no camera is found that can be opened (exit code 9)
        └── MeasurementError               a process that measures failed, or was killed (exit code 10)

Programmer errors are `assert`s, not part of this tree.
"""

from collections.abc import Callable
from functools import partial
from typing import Any


class StdlEventsError(Exception):
    """Base of every error that the package raises on purpose.

    Args:
        subject: the checked object: a path, a setting, a tensor's name.
        got: the value found.
        expected: a description of valid values.
        todo: the next action of the user.
    """

    exit_code = 1

    def __init__(self, subject: str, *, got: str, expected: str, todo: str) -> None:
        super().__init__(subject, got, expected, todo)
        self.subject = subject
        self.got = got
        self.expected = expected
        self.todo = todo

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        """Pickling for worker processes, with all parts."""
        return partial(type(self), got=self.got, expected=self.expected, todo=self.todo), (self.subject,)

    def __str__(self) -> str:
        """One line: control characters of names and of files' contents are escaped."""
        return printable(f"{self.subject}: got {self.got}; expected {self.expected}; {self.todo}")


def printable(text: str, kept: str = "") -> str:
    """Return a text with the characters that move a cursor, ring or colour written as escapes, such as \\x1b.

    Args:
        kept: characters that stay.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in kept else each.encode("unicode_escape", "surrogatepass").decode()
        for each in text
    )


class UserError(StdlEventsError, ValueError):
    exit_code = 2


class RecordingError(UserError):
    pass


class UnknownFormatError(RecordingError):
    pass


class TruncatedRecordingError(RecordingError):
    pass


class CorruptRecordingError(RecordingError):
    pass


class FrameSpecError(UserError):
    pass


class DatasetError(UserError):
    pass


class SplitError(DatasetError):
    pass


class NotationError(UserError):
    pass


class ShapeError(UserError):
    pass


class BatchError(UserError):
    pass


class LossError(UserError):
    pass


class RuleError(UserError):
    pass


class PlanError(UserError):
    pass


class RecipeError(UserError):
    pass


class RunError(UserError):
    pass


class ModelError(UserError):
    pass


class OutsideError(StdlEventsError):
    pass


class MissingExtraError(OutsideError):
    exit_code = 3


class SourceLostError(OutsideError):
    exit_code = 4


class VerificationError(OutsideError):
    exit_code = 5


class BudgetError(OutsideError):
    exit_code = 6


class ClusterError(OutsideError):
    exit_code = 7


class SinkError(OutsideError):
    exit_code = 8


class NoCameraError(OutsideError):
    exit_code = 9


class MeasurementError(OutsideError):
    exit_code = 10
