"""The meter's own results of fake operations are those of `FakeTensorMode`: every operation of training steps."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stdl_events.build import build_learner
from stdl_events.memory.fake_operations import FakeOperations
from stdl_events.network.spec import NetworkSpec


class Compared(TorchDispatchMode):
    """Runs each operation twice by `FakeOperations`, the first time perhaps by the mode, and compares with the mode."""

    def __init__(self, mode: FakeTensorMode) -> None:
        super().__init__()
        self.operations = FakeOperations(mode)
        self.compared: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        wanted = func(*args, **kwargs)
        if func._schema.is_mutable or any(isinstance(leaf, FakeTensor) for leaf in tree_leaves(wanted)):
            for _ in range(2):
                ours = self.operations.run(func, args, kwargs)
                assert described(ours, args) == described(wanted, args), func
            self.compared.add(func._schema.name)
        return wanted


def described(result: Any, args: tuple[Any, ...]) -> list[Any]:
    """Layouts of all tensors of a result, their storages' sizes, and the positions of arguments that share them."""
    return [leaf if not isinstance(leaf, Tensor) else layout(leaf, args) for leaf in tree_leaves(result)]


def layout(tensor: Tensor, args: tuple[Any, ...]) -> tuple[Any, ...]:
    storage = tensor.untyped_storage()
    shared = [
        position
        for position, argument in enumerate(tree_leaves(args))
        if isinstance(argument, Tensor) and argument.untyped_storage()._cdata == storage._cdata
    ]
    offset = tensor.storage_offset()
    if isinstance(tensor, FakeTensor):
        shared += [str(torch._C._dispatch_keys(tensor)), sorted(tensor.__dict__), tensor.fake_mode]
    return tensor.shape, tensor.stride(), offset, tensor.dtype, tensor.device, storage.nbytes(), shared


@pytest.mark.parametrize(
    ("rule", "memory", "precision", "optimizer", "norm"),
    [
        ("stdl", "lean", "fp32", "sgd", "batch"),
        ("stdl+ndot", "lean", "fp32", "adamw", "ws"),
        ("sltt", "kept", "bf16-convolutions", "adamw", "batch"),
        ("bptt", "plain", "bf16-states", "adamw", "none"),
        ("tbptt", "plain", "fp32", "sgd", "ws"),
    ],
)
def test_every_operation_of_a_step_is_that_of_the_mode(
    rule: str, memory: str, precision: str, optimizer: str, norm: str
) -> None:
    spec = NetworkSpec.parse("4C3-AP2-6R(s2)-6SEWR-AP2-8FC-3FC", input_shape=(2, 16, 16), norm=norm)
    with FakeTensorMode() as mode, Compared(mode) as compared:
        options: dict[str, Any] = {"batch_size": 4, "steps": 2, "memory": memory, "optimizer": optimizer}
        learner = build_learner(spec, rule, precision=precision, **options)
        frames_TBCHW = torch.zeros((2, 4, 2, 16, 16), dtype=torch.uint8)
        for _ in range(2):
            learner.train_step(frames_TBCHW, torch.zeros(4, dtype=torch.int64))
    assert {"aten::convolution", "aten::add_", "aten::detach"} < compared.compared
