"""Data sets of samples (events, label) as recordings: any `torch.utils.data.Dataset` or `tonic.Dataset` of that kind.

A user's own one is one line:

    DATASETS.register("mine", sample_dataset("My people, by gait", MyPeople))

`MyPeople(folder)` is its whole; `MyPeople(folder, train=True)` or `MyPeople(folder, split="train")` one side of its
own split. Events are structured arrays with t, x, y and p, or tables of four columns, as in NPY files. A sample is read
when its clips are cut, and not kept.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

from stdl_events.errors import DatasetError, RecordingError, StdlEventsError
from stdl_events.events import Recording
from stdl_events.recordings.datasets.sample_events import SampleDecoder

Side = Literal["train", "test"]
SIDES: tuple[Side, Side] = ("train", "test")


class Samples(Protocol):
    """A data set: `len(samples)` and `samples[index] -> (events, label)`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class SampleFactory(Protocol):
    """Opens a data set of samples; two equal ones open the same, since opened sets are kept by it.

    Attributes:
        name: of the data set, in messages and keys.
        is_documented: `data` and `targets` of the opened set hold the files and labels of its samples, and times are
            microseconds. Otherwise each sample is read once for its label and its content.
    """

    @property
    def name(self) -> str: ...

    @property
    def is_documented(self) -> bool: ...

    def __call__(self, root: Path, side: Side | None) -> Samples:
        """Open the whole set in the folder `root`, or one side of its split."""
        ...


@dataclass(frozen=True)
class SampleSource:
    """One side of a data set in a folder; side None is the whole set."""

    factory: SampleFactory
    root: Path
    side: Side | None

    def open(self) -> Samples:
        """Return the opened set, which is kept for the next call.

        Raises:
            DatasetError: it cannot be opened.
        """
        return _opened(self)


@lru_cache(maxsize=4)
def _opened(source: SampleSource) -> Samples:
    return source.factory(source.root, source.side)


@dataclass(frozen=True)
class SampleReader:
    """Reads one sample as a recording; the `reader` of its entry.

    Attributes:
        index: of the sample; None if the sample is found by its file.
        sensor_size: (width, height), and the number of polarities.
    """

    source: SampleSource
    index: int | None
    sensor_size: tuple[int, int, int]
    time_unit: str | None

    @property
    def factory(self) -> SampleFactory:
        """What a helper process must be able to import."""
        return self.source.factory

    @property
    def description(self) -> str:
        """Everything that a prepared shard depends on, besides the file."""
        source, transform = self.source, getattr(self.source.factory, "transform", None)
        words = f"{source.factory.name} {source.side} {self.index} {self.sensor_size} {self.time_unit}"
        return words if transform is None else f"{words} {transform}"

    def __call__(self, path: Path) -> Recording:
        samples = self.source.open()
        index = _index_of(self.source)[path] if self.index is None else self.index
        named = path if self.index is None else sample_name(path, index)
        decoder = SampleDecoder(named, lambda: read_sample(samples, index, path)[0], self.sensor_size, self.time_unit)
        return Recording(path, "samples", decoder)


def sample_name(root: Path, index: int) -> Path:
    """Return the name of a sample without a file of its own, for messages."""
    return Path(f"{root}, sample {index}")


def read_sample(samples: Samples, index: int, path: Path) -> tuple[Any, object]:
    """Return (events, label) of a sample.

    Raises:
        RecordingError: reading it raises, or it is no pair.
    """
    try:
        events, label = samples[index]
    except StdlEventsError:
        raise
    except Exception as error:
        raise RecordingError(
            str(path), got=f"{type(error).__name__} while reading sample {index}: {error}",
            expected="a pair of events and a label", todo="correct the file or its data set",
        ) from error  # fmt: skip
    return events, label


def files_of(samples: Samples) -> list[Path] | None:
    """Return the file of each sample, from the attribute `data`; None if samples have no files of their own."""
    data = getattr(samples, "data", None)
    if not isinstance(data, list) or not data or len(data) != len(samples):
        return None
    paths = [Path(file) for file in data if isinstance(file, str | Path)]
    return paths if len(set(paths)) == len(data) and paths[0].is_file() else None


@lru_cache(maxsize=4)
def _index_of(source: SampleSource) -> dict[Path, int]:
    return {path: index for index, path in enumerate(files_of(source.open()) or ())}


def forget_opened() -> None:
    """Drop all opened sets: their folders may have changed."""
    _opened.cache_clear()
    _index_of.cache_clear()


@dataclass(frozen=True)
class OwnFactory:
    """Opens a user's data set: `make(folder)`, with `train=` or `split=` if it takes one of them."""

    make: Callable[..., Any]

    is_documented = False

    @property
    def name(self) -> str:
        return getattr(self.make, "__name__", type(self.make).__name__)

    def __call__(self, root: Path, side: Side | None) -> Samples:
        try:
            samples: Samples = self.make(root, **side_argument(self.make, side))
            len(samples)
        except StdlEventsError:
            raise
        except Exception as error:
            raise DatasetError(
                str(root), got=f"{type(error).__name__} while opening {self.name}: {error}",
                expected=f"a folder that {self.name} opens", todo="check the folder, or correct the data set",
            ) from error  # fmt: skip
        return samples


def side_keyword(make: Callable[..., Any]) -> str | None:
    """Return the keyword that chooses a side, "train" or "split"; None if there is none."""
    takes = inspect.signature(make).parameters
    return next((word for word in ("train", "split") if word in takes), None)


def side_argument(make: Callable[..., Any], side: Side | None) -> dict[str, object]:
    """Return the keyword argument that chooses `side`."""
    keyword = side_keyword(make)
    if side is None or keyword is None:
        return {}
    return {keyword: side == "train" if keyword == "train" else side}
