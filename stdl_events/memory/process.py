"""Resident memory of this process, and memory that the machine has left, as the operating system counts them."""

import gc
import resource
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CGROUP = Path("/sys/fs/cgroup")


class PeakWatch:
    """The most resident memory of this process above what it holds now.

    Attributes:
        is_exact: False where the system cannot forget an earlier peak. Memory then counts only above that peak, and
            `peak_bytes` is a lower bound.
    """

    def __init__(self) -> None:
        gc.collect()
        self.is_exact = forget_peak()
        self._baseline = _field(_STATUS, "VmRSS") if self.is_exact else None
        if self._baseline is None:
            self.is_exact, self._baseline = False, most_resident_bytes()

    def peak_bytes(self) -> int:
        """Bytes since the watch began."""
        assert self._baseline is not None, "a watch has a baseline"
        return max(0, most_resident_bytes() - self._baseline)


def most_resident_bytes() -> int:
    """The most resident memory of this process since `forget_peak`."""
    found = _field(_STATUS, "VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit if found is None else found


def forget_peak() -> bool:
    """Let `most_resident_bytes` count from here on; False where the system cannot: Linux can."""
    return _tell("clear_refs", b"5")  # man 5 proc: resets the peak of the resident set


def end_first() -> bool:
    """Let the system end this process before all others where memory runs out; False where it cannot: Linux can."""
    return _tell("oom_score_adj", b"1000")  # man 5 proc: the highest score


def available_bytes() -> int | None:
    """Memory that the machine, or this process's control group, has left; None where the system does not say."""
    left = [_field(Path("/proc/meminfo"), "MemAvailable"), _left_in_group(_CGROUP)]
    return min((count for count in left if count is not None), default=None)


def _left_in_group(folder: Path) -> int | None:
    """What the memory limit of a control group (version 2) leaves; page cache that can be dropped counts as left."""
    try:
        limit = int((folder / "memory.max").read_text(encoding="ascii"))
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        statistics = (folder / "memory.stat").read_text(encoding="ascii").split()
    except (OSError, ValueError):  # none, or no limit: "max"
        return None
    cache = dict(zip(statistics[::2], statistics[1::2], strict=False)).get("inactive_file", "0")
    return max(0, limit - used + int(cache))


def _tell(name: str, text: bytes) -> bool:
    """Write into one of the kernel's files about this process."""
    try:
        (_STATUS.parent / name).write_bytes(text)
    except OSError:
        return False
    return True


def _field(path: Path, name: str) -> int | None:
    """Bytes of a line "NAME: COUNT kB"."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
