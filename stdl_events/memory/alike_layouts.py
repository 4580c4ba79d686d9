"""Layouts of results, known from the same operation on tensors of other sizes.

The result of an elementwise operation has the layout of one of its arguments, and which one does not depend on the
sizes: it follows from which arguments have equal layouts, from the dimensions of size 1, and from the order of the
strides. What `FakeTensorMode` returned once therefore holds for all arguments with the same `pattern_of`. This is used
for operations of that kind alone, not for convolutions, whose backend depends on sizes.
"""

import functools
import itertools
import operator
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch._subclasses.fake_tensor import FakeTensor

Layout: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], torch.dtype, torch.device]
Shape: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""Sizes and strides."""
Likeness: TypeAlias = tuple[tuple[int, torch.dtype, torch.device] | None, ...]
"""For each result the number of the shape that it has, its dtype and its device; None for no tensor."""

SCALARS = (bool, int, float, str, torch.dtype, torch.device, torch.memory_format, torch.layout, type(None))

# Not elementwise by their tags: results have the layout of the input, or one value for each channel as weights have.
_ELEMENTWISE = (
    *("aten::clone", "aten::_to_copy", "aten::empty_like", "aten::zeros_like", "aten::ones_like"),
    *("aten::native_batch_norm", "aten::native_batch_norm_backward"),
)
# Their first argument is the size of a contiguous result.
_SIZED = ("aten::empty", "aten::zeros", "aten::ones")


class Pattern:
    """What a likeness depends on in the arguments of an operation, as a key, and the shapes that it leaves out."""

    def __init__(self, func: Any) -> None:
        self.key: Any = None
        self.shapes: list[Shape] = []
        self._func = func

    def read(self, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
        """Read the arguments. Returns False if there are some that a likeness may not be concluded from."""
        named = tuple(kwargs.values())
        first: tuple[Any, ...] = ()
        if self._func._schema.name in _SIZED:
            size = tuple(args[0])
            if not all(type(count) is int and count > 0 for count in size):
                return False
            first, args = (self._of_shape(size, _contiguous(size)),), args[1:]
        parts = self._of_all((*args, *named))
        if parts is None:
            return False
        self.key = (self._func, first, parts, len(args), tuple(kwargs))
        return True

    def likeness(self, layouts: Sequence[Layout | None]) -> Likeness | None:
        """How results with these layouts follow from the shapes; None if one of them does not."""
        known = {shape: number for number, shape in enumerate(self.shapes)}
        found = [layout and (known.get((layout[0], layout[1]), -1), layout[2], layout[3]) for layout in layouts]
        return None if any(one is not None and one[0] < 0 for one in found) else tuple(found)

    def layouts(self, likeness: Likeness) -> tuple[Layout | None, ...]:
        """The layouts of results with a likeness that was found for another call with this pattern."""
        return tuple(one and (*self.shapes[one[0]], one[1], one[2]) for one in likeness)

    def _of_all(self, values: Sequence[Any]) -> tuple[Any, ...] | None:
        parts = tuple(map(self._of, values))
        return None if None in parts else parts

    def _of(self, value: Any) -> Any:
        if isinstance(value, FakeTensor):
            size, stride = tuple(value.shape), value.stride()
            if value.constant is not None or not _is_dense(size, stride):
                return None
            return *self._of_shape(size, stride), value.dtype, value.fake_device
        if isinstance(value, list | tuple):
            return self._of_all(value)
        return (type(value), value) if isinstance(value, SCALARS) else None

    def _of_shape(self, size: tuple[int, ...], stride: tuple[int, ...]) -> tuple[Any, ...]:
        """The number of a shape among all different ones, which sizes are 0 or 1, and the order of its strides."""
        shape = (size, stride)
        if shape not in self.shapes:
            self.shapes.append(shape)
        steps = sorted(set(stride))
        return self.shapes.index(shape), tuple(min(count, 2) for count in size), tuple(map(steps.index, stride))


def pattern_of(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Pattern | None:
    """The pattern of a call; None if layouts of its results cannot be concluded from those of other calls."""
    if not _is_elementwise(func):
        return None
    pattern = Pattern(func)
    return pattern if pattern.read(args, kwargs) else None


@functools.cache
def _is_elementwise(func: Any) -> bool:
    return torch.Tag.pointwise in func.tags or func._schema.name in (*_ELEMENTWISE, *_SIZED)


def _contiguous(size: tuple[int, ...]) -> tuple[int, ...]:
    behind = itertools.accumulate(reversed(size[1:]), operator.mul, initial=1)
    return tuple(reversed([*behind])) if size else ()


def _is_dense(size: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    """True if the strides are those of a contiguous tensor whose dimensions may have been exchanged."""
    expected = 1
    for step, count in sorted(zip(stride, size, strict=True)):
        if step != expected:
            return False
        expected *= count
    return True
