"""A stand-in for CUDA graphs on the CPU: records the operators that run, with their tensors, and runs them again.

As with a graph, recording changes nothing, a replay reads and writes the memory of the recording, no Python between the
operators runs again, and nothing may wait for a value.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Tape(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self._before: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        assert func is not torch.ops.aten._local_scalar_dense.default, "nothing may wait for a value"
        named = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
        for argument in func._schema.arguments:
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._before.extend((x, x.clone()) for x in tree_leaves(named[argument.name]) if isinstance(x, Tensor))
        if func in _NORMS:  # writes running statistics, which its schema does not declare
            self._before.extend((x, x.clone()) for x in args[3:5] if x is not None)
        out = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, out))
        return out

    def undo(self) -> None:
        for tensor, before in reversed(self._before):
            tensor.copy_(before)
        self._before.clear()

    def replay(self) -> None:
        with torch.no_grad():
            for func, args, kwargs, out in self.calls:
                given = {_memory(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
                again = func(*args, **kwargs)
                for recorded, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                    if isinstance(new, Tensor) and _memory(new) not in given:
                        recorded.copy_(new)


_NORMS = (torch.ops.aten.native_batch_norm.default, torch.ops.aten._native_batch_norm_legit.default)


def _memory(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def record(run: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
    """See `stdl_events.learning.cuda_graphs.Record`."""
    tape = Tape()
    with tape:
        result = run()
    with torch.no_grad():
        tape.undo()
    return result, tape.replay
