"""Atomic writes of files and folders; refusals of the operating system become errors of this package.

A file is written beside its target, synchronised with the disk and renamed; then the folder is synchronised. Temporary
names are `.NAME.PID-N.part`. They are removed after every error. Only a killed process leaves one, which
`remove_leftovers` removes.
"""

import errno
import itertools
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from stdl_events.errors import UserError

_Made = TypeVar("_Made")

# With its number and suffix a temporary name stays below the 255 bytes of a file system, whatever its characters.
_NAME_CHARACTERS = 50
_LEFTOVER = re.compile(r"^\..*\.(?P<pid>\d+)-\d+\.part$", re.DOTALL)

_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_ADVICE = {
    errno.ENOENT: ("a folder that exists", "make the folder first"),
    errno.ENOTDIR: ("a folder, not a file, in the path", "choose another path"),
    errno.EISDIR: ("the name of a file", "choose another name"),
    errno.EEXIST: ("a name that is not taken", "choose another name"),
    errno.ENAMETOOLONG: ("a shorter name", "choose another name"),
    **dict.fromkeys(_FORBIDDEN, ("a folder that can be written", "choose another place, or change its permissions")),
}


@contextmanager
def whole_file(
    path: Path, *, room_for: str, error: type[UserError] = UserError, todo: str | None = None
) -> Iterator[BinaryIO]:
    """Write the file at `path`, or the target of a link there: yields a temporary file, open for writing and reading.

    The file has the default permissions of new files. An existing file is replaced at the end, and unchanged on errors.

    Args:
        room_for: content of the file, for the error.
        error: class of the error to raise.
        todo: advice in the error; None for the advice that fits the reason.

    Raises:
        UserError: of the class `error`: the folder does not exist, cannot be written to, or is full; or `path` is a
            folder or a device.
    """
    with _refusals(path, room_for, error, todo), _beside(path) as partial, partial.open("r+b") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def whole_path(
    path: Path, *, room_for: str, error: type[UserError] = UserError, todo: str | None = None
) -> Iterator[Path]:
    """`whole_file` for libraries that open files themselves: yields the path of an empty temporary file.

    Libraries in Rust raise errors of their own for refusals of the operating system; see `as_os_error`.
    """
    with _refusals(path, room_for, error, todo), _beside(path) as partial:
        mode = stat.S_IMODE(partial.stat().st_mode)
        yield partial
        partial.chmod(mode)  # safetensors replaces the file by one that only its owner may read
        _synchronise(partial)


@contextmanager
def whole_folder(
    path: Path, *, room_for: str, error: type[UserError] = UserError, todo: str | None = None
) -> Iterator[Path]:
    """Fill the folder `path` with files, replacing an older one: yields an empty folder beside it, renamed at the end.

    Raises:
        UserError: as for `whole_file`.
    """
    with _refusals(path, room_for, error, todo):
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        partial, _ = _made(target, lambda name: name.mkdir())
        old, _ = _made(target, lambda name: name.mkdir())
        try:
            yield partial
            for content in (*partial.iterdir(), partial):
                _synchronise(content)
            _exchange(partial, target, old)
            _synchronise(target.parent)
        finally:
            for leftover in (partial, old):
                shutil.rmtree(leftover, ignore_errors=True)


def require_place(path: Path, *, room_for: str, error: type[UserError] = UserError) -> None:
    """Check before a long computation that `whole_file` can write the file at `path`.

    Raises:
        UserError: as for `whole_file`.
    """
    with _refusals(path, room_for, error, None), _temporary(Path(os.path.realpath(path))):
        pass


def require_other(path: Path, read: Iterable[Path], *, error: type[UserError] = UserError) -> None:
    """Check that writing the file at `path` replaces none of the files that are read.

    Raises:
        UserError: of the class `error`: it is one of them.
    """
    for each in read:
        with suppress(OSError):
            if path.samefile(each):
                raise error(
                    str(path), got=f"the file that is read, {each}", expected="another file to write",
                    todo="choose another name",
                )  # fmt: skip


def make_folder(path: Path, *, error: type[UserError] = UserError, todo: str | None = None) -> None:
    """Make the folder `path` and its missing parents.

    Raises:
        UserError: of the class `error`: it cannot be made.
    """
    with _refusals(path, "folder", error, todo):
        path.mkdir(parents=True, exist_ok=True)


def appending(
    path: Path, *, room_for: str, error: type[UserError] = UserError, todo: str | None = None
) -> AbstractContextManager[None]:
    """Context of writes to a file that grows in place; converts refusals of the operating system to errors.

    Raises:
        UserError: as for `whole_file`.
    """
    return _refusals(path, room_for, error, todo)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of killed processes from `folder`."""
    for path in folder.iterdir():
        found = _LEFTOVER.match(path.name)
        if found and not _alive(int(found["pid"])):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def as_os_error(error: Exception) -> Exception:
    """The `OSError` in the text of a Rust library's `error`, such as "(os error 28)"; else `error` itself."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return error if found is None else OSError(int(found[1]), os.strerror(int(found[1])))


@contextmanager
def _refusals(path: Path, room_for: str, kind: type[UserError], todo: str | None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = (f"a folder with room for the {room_for}", "make room, or choose another place")
        expected, advice = _ADVICE.get(error.errno or 0, place)
        raise kind(str(path), got=_reason(error), expected=expected, todo=todo or advice) from None


def _reason(error: OSError) -> str:
    return error.strerror or (str(error).splitlines() or [type(error).__name__])[0]


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yield an empty file beside the target of `path`, which is renamed to it at the end."""
    target = Path(os.path.realpath(path))
    with _temporary(target) as partial:
        yield partial
        os.replace(partial, target)
    _synchronise(target.parent)


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """Yield an empty file beside `target`, and remove it at the end if it is still there."""
    if target.exists() and not target.is_file():
        kind = (errno.EISDIR, "Is a directory") if target.is_dir() else (errno.EEXIST, "a device or a pipe")
        raise OSError(*kind)
    if len(os.fsencode(target.name)) > os.pathconf(target.parent, "PC_NAME_MAX"):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    partial, descriptor = _made(target, lambda name: os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
    os.close(descriptor)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _exchange(new: Path, target: Path, aside: Path) -> None:
    """Rename `target`, if it exists, to the empty folder `aside`, and `new` to `target`."""
    replaces = target.exists()
    if replaces:
        os.replace(target, aside)
    try:
        os.replace(new, target)
    except OSError:
        if replaces:
            os.replace(aside, target)
        raise


_NUMBERS = itertools.count()


def _made(target: Path, make: Callable[[Path], _Made]) -> tuple[Path, _Made]:
    """Call `make` with unused temporary names beside `target`. Returns the created path and the call's result."""
    for number in _NUMBERS:
        name = target.with_name(f".{target.name[:_NAME_CHARACTERS]}.{os.getpid()}-{number}.part")
        with suppress(FileExistsError):  # left by a killed process with the same number
            return name, make(name)
    raise AssertionError("numbers do not end")


def _synchronise(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems cannot synchronise folders.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
