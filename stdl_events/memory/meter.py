"""The memory meter: exact bytes of live tensors while code runs, without the target device.

Code runs under `FakeTensorMode`, where tensors have shapes and storages but no data. A training step of many gigabytes
is metered in seconds on a laptop. Every storage is counted from the operation that returns it until its last reference
is released, autograd's own references included. Allocations inside operators (workspaces of convolution libraries,
temporaries of fused optimiser kernels) are not counted. A GB is 10^9 bytes.
"""

import contextlib
import dataclasses
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from stdl_events.memory.fake_operations import FakeOperations
from stdl_events.memory.ledger import Ledger

_DEVICE_OF = torch.ops.prim.device.default


class Held:
    """Storages that count as alive in `peak` whether or not they are released: what a meter's peak would be then."""

    def __init__(self, keys: set[int]) -> None:
        self.peak = 0
        self._keys = keys
        self._released_bytes = 0

    def at(self, now: int) -> None:
        """Raise the peak to `now` live bytes and those released."""
        self.peak = max(self.peak, now + self._released_bytes)

    def release(self, key: int, size_bytes: int) -> None:
        """Record the release of a storage."""
        if key in self._keys:
            self._keys.remove(key)  # a later storage may have the key of a released one
            self._released_bytes += size_bytes

    def reset_peak(self, now: int) -> None:
        self.peak = now + self._released_bytes


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that operations return while the mode is active.

    `now` is the live bytes, `peak` the most since `reset_peak`, and `lap_peak()` the most since its last call.

    Args:
        ledger: records every allocation and release.
        mode: the outer fake tensor mode, for speed; None for real tensors too.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and the check at each operation is slow

    def __init__(self, ledger: Ledger | None = None, mode: FakeTensorMode | None = None) -> None:
        super().__init__()
        self._operations = None if mode is None else FakeOperations(mode)
        self.now = 0
        self.peak = 0
        self._lap = 0
        self._held: list[Held] = []
        self._sizes: dict[int, int] = {}
        self._ledger = ledger

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is _DEVICE_OF and isinstance(args[0], FakeTensor):
            # More than half of all calls. The outer mode returns the same, ten times slower.
            return args[0].fake_device
        if self._ledger is not None:
            self._ledger.use(args)
        kwargs = kwargs or {}
        out = func(*args, **kwargs) if self._operations is None else self._operations.run(func, args, kwargs)
        if isinstance(out, Tensor):
            self._count(out)
        else:
            for leaf in tree_leaves(out):
                if isinstance(leaf, Tensor):
                    self._count(leaf)
        return out

    def reset_peak(self) -> None:
        """Reset the peak to the live bytes."""
        self.peak = self._lap = self.now
        for held in self._held:
            held.reset_peak(self.now)

    def hold(self, storages: Iterable[torch.UntypedStorage]) -> Held:
        """What `peak` would be, from the next `reset_peak` on, if these were not released from now on."""
        held = Held({storage._cdata for storage in storages})
        self._held.append(held)
        return held

    def lap_peak(self) -> int:
        """The peak since the last call, or since `reset_peak`; starts the next lap."""
        peak, self._lap = self._lap, self.now
        return peak

    def exclude(self, tensor: Tensor) -> None:
        """Stop counting `tensor`, an input allocated elsewhere, and all its views."""
        self._count(tensor)
        # Kept as a storage of 0 bytes: an unknown one would be counted at its next view.
        key = tensor.untyped_storage()._cdata
        self.now -= self._sizes[key]
        self._sizes[key] = 0
        if self._ledger is not None:
            self._ledger.die(key)

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._sizes:
            return
        count = storage.nbytes()
        self._sizes[key] = count
        self.now += count
        self.peak = max(self.peak, self.now)
        for held in self._held:
            held.at(self.now)
        self._lap = max(self._lap, self.now)
        if self._ledger is not None:
            self._ledger.bear(key, count)
        weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        size = self._sizes.pop(key, 0)
        self.now -= size
        for held in self._held:
            held.release(key, size)
        if self._ledger is not None:
            self._ledger.die(key)


@contextlib.contextmanager
def metering(ledger: Ledger | None = None) -> Iterator[LiveBytes]:
    """Run the body under its own fake tensor mode and count its storages. Outer tensors must not be used in it.

    Outer dispatch modes, such as the caller's own fake tensor mode or meter, do not see the body's operations.
    """
    with _disable_current_modes(), FakeTensorMode() as mode, LiveBytes(ledger, mode) as live:
        yield live


@dataclasses.dataclass(frozen=True)
class MemoryReport:
    """Metered memory of one step.

    Args:
        peak_bytes: the most live bytes at any time of the step, without its input clip.
        resident_bytes: live before the step and after it: weights, gradients, optimiser state, buffers.
    """

    peak_bytes: int
    resident_bytes: int


def measure(prepare: Callable[[LiveBytes], Callable[[], object]], *, settled: bool = False) -> MemoryReport:
    """Meter one step of a computation.

    The step runs twice, since the first run allocates gradients and optimiser state; both count for the peak.

    Args:
        prepare: allocates everything under the meter, may `exclude` inputs, and returns the step.
        settled: `prepare` allocates gradients and optimiser state itself, so that one run is enough.
    """
    with metering() as live:
        step = prepare(live)
        live.reset_peak()
        if not settled:
            step()
        resident = live.now
        step()
        return MemoryReport(peak_bytes=live.peak, resident_bytes=resident)


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the elements of `tensors`."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
