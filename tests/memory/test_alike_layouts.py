"""Layouts concluded from other sizes are those of `FakeTensorMode`, for random layouts of arguments."""

import random
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from stdl_events.memory import fake_operations
from stdl_events.memory.alike_layouts import pattern_of
from stdl_events.memory.fake_operations import FakeOperations

aten = torch.ops.aten
DTYPES = (torch.float32, torch.bfloat16, torch.uint8)


def random_tensor(rng: random.Random, size: list[int], dtype: torch.dtype) -> Tensor:
    """Of this size in some layout: any order of dimensions, perhaps with gaps or repeated elements."""
    order = rng.sample(range(len(size)), len(size))
    back = [order.index(place) for place in range(len(size))]
    dense = torch.empty([size[place] for place in order], dtype=dtype)
    if len(size) == 4 and rng.random() < 0.4:
        return torch.empty(size, dtype=dtype, memory_format=torch.channels_last)
    if size and rng.random() < 0.1:
        dense = torch.empty([*dense.shape[:-1], 2 * dense.shape[-1]], dtype=dtype)[..., : dense.shape[-1]]
    elif rng.random() < 0.05:
        dense = torch.empty((), dtype=dtype).expand(dense.shape)
    return dense.permute(back) if rng.random() < 0.5 else torch.empty(size, dtype=dtype)


def random_call(rng: random.Random) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    size = [rng.choice((1, 2, 3, 5)) for _ in range(rng.choice((0, 1, 2, 4, 4)))]
    x = random_tensor(rng, size, rng.choice(DTYPES))
    smaller = [count if rng.random() < 0.7 else 1 for count in size]
    y = random_tensor(rng, rng.choice((size, size, smaller, [])), rng.choice(DTYPES))
    kind = rng.choice(("one", "two", "two", "three", "copy", "sized", "norm"))
    if kind == "one":
        return rng.choice((aten.neg.default, aten.rsqrt.default, aten.sigmoid.default)), (x,), {}
    if kind == "two":
        func = rng.choice((aten.add.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.ge.Tensor))
        return func, (x, y) if rng.random() < 0.8 else (y, x), {}
    if kind == "three":
        return aten.addcmul.default, (x, y, random_tensor(rng, size, x.dtype)), {"value": 2}
    if kind == "copy":
        func = rng.choice((aten.clone.default, aten.zeros_like.default, aten._to_copy.default))
        to = {"dtype": rng.choice(DTYPES)} if func is not aten.clone.default else {}
        layout = rng.choice((None, torch.contiguous_format, torch.preserve_format, torch.channels_last))
        return func, (x,), to | ({} if layout is None or (layout is torch.channels_last and x.ndim != 4) else {
            "memory_format": layout
        })  # fmt: skip
    if kind == "sized":
        return rng.choice((aten.empty.memory_format, aten.zeros.default, aten.ones.default)), (size,), {
            "dtype": rng.choice(DTYPES), "device": torch.device("cpu"),
        }  # fmt: skip
    shape = [2, 3, *rng.choice(((4, 5), (1, 1), (1, 6)))]
    x, weights = random_tensor(rng, shape, torch.float32), [torch.empty(3) for _ in range(6)]
    if rng.random() < 0.5:
        return aten.native_batch_norm.default, (x, *weights[:4], True, 0.1, 1e-5), {}
    grad = random_tensor(rng, shape, torch.float32)
    saved = (*weights[1:3], weights[3], weights[4])
    return aten.native_batch_norm_backward.default, (grad, x, weights[0], *saved, True, 1e-5, [True] * 3), {}


def layouts(result: Any) -> list[Any]:
    results = result if isinstance(result, tuple) else (result,)
    return [
        (one.shape, one.stride(), one.storage_offset(), one.dtype, one.device, one.untyped_storage().nbytes())
        for one in results
    ]


@pytest.mark.parametrize("seed", range(2))
def test_layouts_from_other_sizes_are_those_of_the_mode(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    concluded: Counter[str] = Counter()
    monkeypatch.setattr(fake_operations, "_alike", {})
    with FakeTensorMode() as mode:
        operations = FakeOperations(mode)
        for _ in range(600):
            monkeypatch.setattr(fake_operations, "_known", {})  # so that nothing is known by exactly its sizes
            func, args, kwargs = random_call(rng)
            try:
                wanted = layouts(func(*args, **kwargs))
            except RuntimeError:  # such as copies that cannot have the layout
                continue
            pattern = pattern_of(func, args, kwargs)
            if pattern is not None and pattern.key in fake_operations._alike:
                concluded[func._schema.name] += 1
            assert layouts(operations.run(func, args, kwargs)) == wanted, (func, args, kwargs)
    assert len(concluded) > 10, concluded
    assert sum(concluded.values()) > 100


def test_a_result_that_has_the_size_of_no_argument_is_not_concluded() -> None:
    with FakeTensorMode():
        pattern = pattern_of(aten.add.Tensor, (torch.empty(4, 1), torch.empty(1, 3)), {})
        assert pattern is not None
        assert pattern.likeness([((4, 3), (3, 1), torch.float32, torch.device("cpu"))]) is None
        assert pattern_of(aten.mm.default, (torch.empty(4, 4), torch.empty(4, 4)), {}) is None
