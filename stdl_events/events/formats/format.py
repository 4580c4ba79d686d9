"""`Format`: recognition, reader and writer of a file format; and the registry of formats."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stdl_events.errors import RecordingError, UnknownFormatError
from stdl_events.registry import Registry

if TYPE_CHECKING:
    from stdl_events.events.decoder import Decoder
    from stdl_events.events.formats.pieces import Pieces
    from stdl_events.events.other_streams import OtherStreams
    from stdl_events.events.recording import Recording


@dataclass(frozen=True)
class Signature:
    """Recognition of a file of a format.

    Attributes:
        magic: the first bytes of every such file; empty if only the suffix identifies it.
        fits: a further test of the file at a path with this magic or suffix; None accepts every such file.
    """

    magic: bytes = b""
    fits: "Callable[[Path], bool] | None" = None

    def takes(self, path: Path) -> bool:
        """True if the file at `path`, which has this magic or suffix, is of the format."""
        return self.fits is None or self.fits(path)


@dataclass(frozen=True)
class Format:
    """A readable file format.

    Attributes:
        description: a few words.
        open: reads the header of a file, and returns the decoder of its events.
        suffixes: of its files, in lower case: (".raw",).
        signatures: tried one by one.
        open_stream: `open` for one of several event streams, by its number; None if a file holds one.
        open_columns: `open` with the fields of the columns by their place, as `parse_columns` returns them, and the
            number of the stream or None; None if the format is no table.
        read_other_streams: reads the streams besides the events, with the pixels of the numbered pictures. None if the
            format has no such streams; it returns None if a file has none.
        follow: decodes a file that is still written, from its decoder and the number of the stream that was asked for;
            it raises `TruncatedRecordingError` as long as too little is written. None if writers do not append events.
    """

    description: str
    open: "Callable[[Path], Decoder]"
    suffixes: tuple[str, ...]
    signatures: tuple[Signature, ...] = (Signature(),)
    open_stream: "Callable[[Path, int], Decoder] | None" = None
    open_columns: "Callable[[Path, tuple[str, ...], int | None], Decoder] | None" = None
    read_other_streams: "Callable[[Path, Collection[int] | None], OtherStreams | None] | None" = None
    follow: "Callable[[Decoder, int | None], Pieces] | None" = None

    def __post_init__(self) -> None:
        assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in self.suffixes), self.suffixes
        assert self.signatures, "a format without a signature is never recognised"


@dataclass(frozen=True)
class Writer:
    """The writer of a format.

    Attributes:
        write: fills the empty file at a path with a recording.
        suffixes: of its files; the first writer of a suffix is the default for it.
        max_pixels: largest width or height that the format can store.
    """

    write: "Callable[[Path, Recording], None]"
    suffixes: tuple[str, ...]
    max_pixels: int = 65536


class Order(NamedTuple):
    """Signatures in the order in which they are tried, each with the name of its format.

    Attributes:
        magics: of all formats: a file that begins with none of them takes one test.
        with_magic: the signatures of these.
        of_suffix: the signatures of the formats of each suffix.
    """

    magics: tuple[bytes, ...]
    with_magic: tuple[tuple[str, Signature], ...]
    of_suffix: Mapping[str, tuple[tuple[str, Signature], ...]]


class FormatRegistry(Registry[Format]):
    """Formats by name.

    The latest registered format is tried first, so that it can accept some of the files of a built-in format by its
    own `fits`. Without `fits` it would accept all of them, which is an error.
    """

    def __init__(self, entries: Mapping[str, Format | str]) -> None:
        super().__init__("format", UnknownFormatError, entries)
        self._built_in = tuple(entries)
        self._order: Order | None = None

    @property
    def registered(self) -> tuple[str, ...]:
        """Names of the formats that are not built in; other processes do not have them."""
        return tuple(name for name in self if name not in self._built_in)

    @property
    def order(self) -> Order:
        """The signatures of all formats, in the order of recognition."""
        if self._order is None:
            later = self.registered
            names = (*reversed(later), *(name for name in self if name not in later))
            known = [(name, signature) for name in names for signature in self[name].signatures]
            self._order = Order(
                tuple(signature.magic for _, signature in known if signature.magic),
                tuple((name, signature) for name, signature in known if signature.magic),
                {
                    suffix: tuple((name, signature) for name, signature in known if suffix in self[name].suffixes)
                    for suffix in self.suffixes()
                },
            )
        return self._order

    def suffixes(self) -> frozenset[str]:
        """All suffixes of recordings."""
        return frozenset(suffix for format in self.values() for suffix in format.suffixes)

    def register(self, name: str, entry: Format) -> Format:
        """Add a format and return it.

        Raises:
            UnknownFormatError: the name is taken, or the format would accept all files of another.
        """
        for other_name, other in self.items():
            shared = _hidden_by(entry, other)
            if shared is not None:
                raise UnknownFormatError(
                    f"format {name!r}", got=f"{shared}, which the files of the format {other_name!r} have too",
                    expected="a function `fits` in the signature, which says which of these files it takes",
                    todo=f"add it, or leave the signature out and name files with --format {name}",
                )  # fmt: skip
        self._order = None
        return super().register(name, entry)

    def unregister(self, name: str) -> None:
        """Remove a format.

        Raises:
            UnknownFormatError: there is no format of that name.
        """
        super().unregister(name)
        self._order = None


def _hidden_by(new: Format, other: Format) -> str | None:
    """Return the reason why `new`, tried first, accepts every file with a signature of `other`; None if it does not."""
    shared_suffixes = sorted(set(new.suffixes) & set(other.suffixes))
    for signature in new.signatures:
        if signature.fits is not None:
            continue
        for known in other.signatures:
            if signature.magic and known.magic.startswith(signature.magic):
                return f"the magic {signature.magic!r}"
            if not signature.magic and not known.magic and shared_suffixes:
                return f"the suffix {shared_suffixes[0]} alone"
    return None


def require_sides(path: Path, sensor_size: tuple[int, int], most: int) -> None:
    """Check that a format that stores coordinates below `most` can store those of the sensor.

    Raises:
        RecordingError: the sensor is larger.
    """
    if max(sensor_size) > most:
        raise RecordingError(
            str(path), got="a sensor of {}x{}".format(*sensor_size), expected=f"at most {most} pixels a side",
            todo="cut or shrink the picture",
        )  # fmt: skip
