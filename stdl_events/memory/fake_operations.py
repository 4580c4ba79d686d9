"""Operations on fake tensors for the meter, several times as fast as `FakeTensorMode`, which does the remaining ones.

The meter reads the storages of results alone. An operation that writes into its arguments allocates nothing. A
view shares the storage of its base. Results of arguments with the same layouts have the same layouts, which the mode
computes once, and for elementwise operations once for many sizes, see `stdl_events.memory.alike_layouts`.
"""

import functools
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor
from torch._C import (
    _DisableTorchDispatch,
    _PreserveDispatchKeyGuard,
    _set_meta_in_tls_dispatch_include,
    _set_throw_on_mutable_data_ptr,
)
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from stdl_events.memory.alike_layouts import SCALARS, Layout, Likeness, pattern_of

Kind: TypeAlias = Literal["writes", "silent", "view", "views", "new", "marker", "other"]

# Operations that replace the sizes or the storage of their argument, but lack the tag for that.
_REPLACING = ("aten::set_", "aten::resize_", "aten::resize_as_")
_LIFT = torch.ops.aten.lift_fresh.default
_MOST_KNOWN = 100_000


class FakeOperations:
    """Runs operations on the fake tensors of `mode`."""

    def __init__(self, mode: FakeTensorMode) -> None:
        self._mode = mode
        self._attributes: dict[torch.device, dict[str, Any]] = {}

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of the operation `func`."""
        kind = _kind(func)
        if kind == "new":
            return self._new(func, args, kwargs)
        if kind == "marker":
            with _DisableTorchDispatch():
                return func(*args, **kwargs)
        if kind == "silent" and all(map(_is_unknown, _written(func, args, kwargs))):
            return None
        if func is _LIFT and type(args[0]) is Tensor and args[0].numel() == 1:
            return self._constant(args[0])
        if kind in ("silent", "other") or not _is_unknown(args[0]):
            return func(*args, **kwargs)
        if kind == "view":
            return self._fake(self._meta_view(func, args, kwargs), args[0].fake_device)
        if kind == "views":
            return [self._fake(view, args[0].fake_device) for view in self._meta_view(func, args, kwargs)]
        return args[0]

    def _constant(self, real: Tensor) -> Tensor:
        """A number as a tensor, whose value the mode keeps: the counters of norms and of optimisers are such."""
        with _DisableTorchDispatch():
            value, meta = real.clone(), torch.empty_strided(real.shape, real.stride(), dtype=real.dtype, device="meta")
        fake = FakeTensor(self._mode, meta, real.device, constant=value)
        self._mode.fake_tensor_converter.add_constant_storage_mapping(fake)
        return fake

    def _meta_view(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        mode = self._mode
        with _DisableTorchDispatch(), _PreserveDispatchKeyGuard():
            # As in the mode's own `in_kernel_invocation_manager`: the kernels of meta tensors run.
            mode.in_kernel_invocation = True
            _set_meta_in_tls_dispatch_include(True)
            try:
                return func(*args, **kwargs)
            finally:
                mode.in_kernel_invocation = False

    def _new(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        key = (func, _layouts_of(args), tuple(kwargs), _layouts_of(tuple(kwargs.values())))
        if None in (key[1], key[3]):
            return func(*args, **kwargs)
        if (layouts := _known.get(key)) is not None:
            return self._made(layouts)
        pattern = pattern_of(func, args, kwargs)
        if pattern is not None and (likeness := _alike.get(pattern.key)) is not None:
            _remember(_known, key, layouts := pattern.layouts(likeness))
            return self._made(layouts)
        out = func(*args, **kwargs)
        results = out if isinstance(out, tuple) else (out,)
        if all(result is None or (_is_unknown(result) and _is_whole(result)) for result in results):
            _remember(_known, key, layouts := tuple(None if result is None else _layout(result) for result in results))
            if pattern is not None and (likeness := pattern.likeness(layouts)) is not None:
                _remember(_alike, pattern.key, likeness)
        return out

    def _made(self, layouts: tuple[Layout | None, ...]) -> Any:
        made = [None if layout is None else self._empty(layout) for layout in layouts]
        return made[0] if len(made) == 1 else tuple(made)

    def _empty(self, layout: Layout) -> Tensor:
        size, stride, dtype, device = layout
        with _DisableTorchDispatch():
            made = torch.empty_strided(size, stride, dtype=dtype, device="meta")
        return self._fake(made, device)

    def _fake(self, meta: Tensor, device: torch.device) -> Tensor:
        """`FakeTensor(mode, meta, device)`, whose attributes are worked out for the first one on each device alone."""
        attributes = self._attributes.get(device)
        if attributes is None:
            first = FakeTensor(self._mode, meta, device)
            self._attributes[device] = dict(first.__dict__)
            return first
        fake: Tensor = Tensor._make_subclass(
            FakeTensor, meta, meta.requires_grad, dispatch_device=True, device_for_backend_keys=device
        )
        _set_throw_on_mutable_data_ptr(fake)
        fake.__dict__.update(attributes)
        return fake


# Layouts of results by the operation and the layouts of its arguments, which do not depend on the mode.
_known: dict[Any, tuple[Layout | None, ...]] = {}
_alike: dict[Any, Likeness] = {}


def _remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    if len(known) == _MOST_KNOWN:
        known.clear()
    known[key] = value


@functools.cache
def _kind(func: Any) -> Kind:
    """Kind of an operation by its schema.

    It "writes" into its first argument and returns that, writes and is "silent", makes a "view" or "views" of its first
    argument, or "new" tensors; it is a "marker" of the profiler.
    """
    schema = func._schema
    if schema.name.startswith("profiler::"):
        return "marker"
    tensors = all(isinstance(result.type, torch.TensorType) for result in schema.returns)
    aliases = [argument.alias_info for argument in schema.arguments]
    if not any(aliases):
        return "new" if schema.returns and tensors else "other"
    if torch.Tag.inplace_view in func.tags or schema.name in _REPLACING:
        return "other"
    if not schema.returns:
        return "silent" if all(alias.is_write for alias in aliases if alias is not None) else "other"
    if aliases[0] is None or len(schema.returns) > 1:
        return "other"
    if aliases[0].is_write:
        return "writes" if tensors and schema.returns[0].alias_info is not None else "other"
    if any(aliases[1:]):
        return "other"
    return "view" if tensors else "views" if str(schema.returns[0].type) == "List[Tensor]" else "other"


def _written(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """The tensors that an operation writes into."""
    values = [args[place] if place < len(args) else kwargs.get(name) for place, name in _written_places(func)]
    return [entry for value in values for entry in (value if isinstance(value, list) else [value]) if entry is not None]


@functools.cache
def _written_places(func: Any) -> list[tuple[int, str]]:
    arguments = enumerate(func._schema.arguments)
    return [(place, argument.name) for place, argument in arguments if argument.alias_info is not None]


def _is_unknown(value: object) -> bool:
    """True for fake tensors without a value, which the mode would keep up to date."""
    return isinstance(value, FakeTensor) and value.constant is None


def _is_whole(result: FakeTensor) -> bool:
    """True if a tensor made from its layout has the same storage."""
    spans = ((size - 1) * stride for size, stride in zip(result.shape, result.stride(), strict=True))
    count = 1 + sum(spans) if result.numel() else 0
    return result.storage_offset() == 0 and result.untyped_storage().nbytes() == count * result.element_size()


def _layout(result: FakeTensor) -> Layout:
    return tuple(result.shape), result.stride(), result.dtype, result.fake_device


def _layouts_of(values: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """What results depend on: layouts of tensors, values of all else; None for values that cannot be compared."""
    found = tuple(map(_layout_of, values))
    return None if None in found else found


def _layout_of(value: Any) -> Any:
    if isinstance(value, FakeTensor):
        return None if value.constant is not None else _layout(value)
    if isinstance(value, list | tuple):
        return _layouts_of(tuple(value))
    return (type(value), value) if isinstance(value, SCALARS) else None
