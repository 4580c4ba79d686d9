"""Every data set class of the installed Tonic, as `tonic:CLASSNAME`.

A class is opened on files that are there; nothing is downloaded. Its own `train=` or `split=` are the sides, its own
labels the classes, its events those that it returns. Tonic, and with it PyTorch, is imported when a class is opened;
the names are read from its source.
"""

import ast
import contextlib
import importlib.util
import inspect
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stdl_events.errors import DatasetError, MissingExtraError, StdlEventsError
from stdl_events.events.stream import RecordingWarning
from stdl_events.recordings.datasets.obtain import found_in
from stdl_events.recordings.datasets.sample_recordings import dataset_of
from stdl_events.recordings.datasets.samples import Samples, Side, side_argument, side_keyword
from stdl_events.recordings.found_files import is_hidden
from stdl_events.recordings.registry import Dataset

PREFIX = "tonic"
PAGE = "https://tonic.readthedocs.io/en/latest/datasets.html"
# NTIDIGITS18 has sequences of digits, unless it is asked for its single ones.
_CHOSEN = {"single_digits": True}


def class_names() -> tuple[str, ...]:
    """Return the names of Tonic's data sets, without importing it; none if it is not installed."""
    spec = importlib.util.find_spec(PREFIX)
    if spec is None or not spec.submodule_search_locations:
        return ()
    path = Path(spec.submodule_search_locations[0], "datasets", "__init__.py")
    if not path.is_file():
        return ()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
            return tuple(ast.literal_eval(node.value))
    return ()


class TonicFamily:
    """The entries `tonic:CLASSNAME` of the registry of datasets; a `Family`."""

    placeholder = "CLASS"

    @property
    def summary(self) -> str:
        names = class_names()
        listed = f": {', '.join(names)}" if names else ", which is not installed"
        return f"a class of Tonic's data sets (extra `train`){listed}"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes.

        Raises:
            MissingExtraError: Tonic is not installed.
        """
        names = class_names()
        if not names:
            raise MissingExtraError(
                f"dataset {PREFIX}:{self.placeholder}", got="no package tonic", expected="the extra `train`",
                todo="pip install 'stdl-events[train]'",
            )  # fmt: skip
        return names

    def __getitem__(self, name: str) -> Dataset:
        return tonic_dataset(name)


FAMILY = TonicFamily()


def tonic_dataset(name: str, transform: Callable[[Any], Any] | None = None) -> Dataset:
    """Return the `Dataset` of a class of Tonic; with a transform, to be registered in `DATASETS` by a recipe file.

    Args:
        name: of the class, such as "DVSLip".
        transform: of Tonic or the user's own; it returns events of the same sensor size.
    """
    factory = TonicFactory(name, None if transform is None else _composed(transform))
    base = factory.base()
    size, classes = getattr(base, "sensor_size", None), getattr(base, "classes", None)
    return dataset_of(
        factory,
        f"{name} of Tonic" + ("" if transform is None else ", transformed"),
        has_sides=side_keyword(base) is not None,
        options=("sensor_size",),
        page=PAGE,
        sensor_size=(int(size[0]), int(size[1])) if isinstance(size, tuple) else None,
        classes=len(classes) if isinstance(classes, list | dict) else None,
    )


def _composed(transform: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a composition, which is compared by identity; other transforms may not be hashable."""
    from tonic.transforms import Compose

    composed: Callable[[Any], Any] = Compose([_flat, transform])
    return composed


def _flat(events: Any) -> Any:
    """Return structured events in one dimension: those of Tonic's ASLDVS have two, which Tonic's loops do not take."""
    return events.reshape(-1) if getattr(events.dtype, "names", None) else events


def labels_by_tonic(class_name: str, root: Path, sides: tuple[Side | None, ...]) -> dict[Path, int] | None:
    """Return the label of each file of a class that has one file per sample; None if Tonic is not installed.

    Raises:
        DatasetError: the class does not open the folder.
    """
    try:
        opened: list[Any] = [TonicFactory(class_name)(root, side) for side in sides]
    except ModuleNotFoundError:
        return None
    labels = {Path(file): label for one in opened for file, label in zip(one.data, one.targets, strict=True)}
    return {path: label for path, label in labels.items() if not is_hidden(path)}


@dataclass(frozen=True)
class TonicFactory:
    """Opens a data set class of Tonic; see `SampleFactory`.

    Attributes:
        transform: of the events, passed to the class.
    """

    class_name: str
    transform: Callable[[Any], Any] | None = None

    is_documented = True

    @property
    def name(self) -> str:
        return f"{PREFIX}:{self.class_name}"

    def base(self) -> Any:
        """Return Tonic's class."""
        from tonic import datasets

        return getattr(datasets, self.class_name)

    def __call__(self, root: Path, side: Side | None) -> Samples:
        base = self.base()
        takes = inspect.signature(base).parameters
        needed = [name for name, one in list(takes.items())[1:] if one.default is inspect.Parameter.empty]
        if needed:
            raise DatasetError(
                self.name, got=f"a class that needs {' and '.join(needed)}",
                expected="a data set of labelled recordings in one folder", todo="choose another data set",
            )  # fmt: skip
        if root.name == self.class_name and not (root / self.class_name).is_dir():
            root = root.parent
        chosen: dict[str, object] = {key: value for key, value in _CHOSEN.items() if key in takes}
        if self.transform is not None:
            chosen["transform"] = self.transform
        try:
            # Tonic reports on stdout, which belongs to results.
            with contextlib.redirect_stdout(io.StringIO()):
                opened: Samples = _without_download(base)(str(root), **side_argument(base, side), **chosen)
        except (StdlEventsError, Warning):
            raise
        except (Exception, SystemExit) as error:
            raise DatasetError(
                str(root), got=f"{type(error).__name__} while opening {self.name}: {error}",
                expected=f"the files of {self.class_name}, as Tonic unpacks them in {self.class_name}/",
                todo=f"see {PAGE}",
            ) from error  # fmt: skip
        return opened


def _without_download(base: Any) -> Any:
    """Return a subclass that opens what is there, with a warning if that is less than Tonic expects."""

    class Installed(base):
        def download(self, *_: object, **__: object) -> None:
            raise _missing(self)

        def _is_file_present(self) -> bool:
            # The archive is not needed once it is unpacked.
            return bool(super()._is_file_present()) or _has_files(Path(self.location_on_system))

        def _folder_contains_at_least_n_files_of_type(self, n_files: int, file_type: str) -> bool:
            folder = Path(self.location_on_system, getattr(self, "folder_name", ""))
            found = sum(1 for _ in folder.rglob(f"*{file_type}"))
            if 0 < found < n_files:
                text = f"{folder}: {found} recordings ({file_type}) where Tonic expects {n_files} or more"
                warnings.warn(text, RecordingWarning, stacklevel=2)
            return found > 0

        def _check_exists(self) -> bool:
            if not super()._check_exists():
                raise _missing(self)
            return True

    # Tonic names its folders by the class.
    Installed.__name__ = Installed.__qualname__ = base.__name__
    return Installed


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _missing(samples: Any) -> DatasetError:
    folder = Path(samples.location_on_system)
    archive = getattr(samples, "filename", type(samples).__name__)
    url, md5 = getattr(samples, "url", None) or PAGE, getattr(samples, "file_md5", None)
    inner = getattr(samples, "folder_name", "")
    return DatasetError(
        str(folder), got=found_in(folder), expected=f"the recordings of {archive}" + (f" in {inner}/" if inner else ""),
        todo=f"download {archive} from {url}" + (f" (md5 {md5})" if md5 else "") + f" and unpack it into {folder}",
    )  # fmt: skip
