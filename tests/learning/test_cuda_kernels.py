"""The lean mode's kernels for CUDA: compared with plain torch where they can run, and compiled where they cannot."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

triton = pytest.importorskip("triton", reason="triton is not installed")
from stdl_events.learning.lean.kernels import cuda  # noqa: E402
from stdl_events.network.registries import SURROGATES  # noqa: E402

# Triton 3.9 announces another default for fused multiply-adds; the kernels call them explicitly.
pytestmark = pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION is unset:UserWarning")


def compare(**settings: str) -> None:
    """Run the comparisons in a child process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            Path(__file__).with_name("cuda_comparisons.py"),
        ],
        env=environment | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d{3} passed in", done.stdout, re.MULTILINE), done.stdout


@pytest.mark.slow
def test_kernels_are_plain_torch_in_tritons_interpreter():
    compare(TRITON_INTERPRET="1")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_kernels_are_plain_torch_on_the_gpu():
    compare()


def test_pixels_that_do_not_lie_in_a_row_are_refused():
    last = torch.zeros((2, 3, 4, 4)).to(memory_format=torch.channels_last)
    with pytest.raises(AssertionError, match="the pixels of a channel lie in a row"):
        cuda.fire_(last, torch.zeros(2, 3, 4, 4), torch.zeros((2, 3, 2), dtype=torch.uint8), 0.5, 1.0, 1.0)


class NoDevice:
    """A replacement of Triton's driver that has a compile target and no device."""

    def __init__(self, capability: int) -> None:
        self.capability = capability

    def get_current_device(self) -> int:
        return self.capability

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> object:
        return triton.backends.compiler.GPUTarget("cuda", self.capability, 32)


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize(
    ("capability", "dtype"),
    [(80, torch.float32), (90, torch.float64), (80, torch.bfloat16), (90, torch.float16), (90, torch.float32)],
    ids=str,
)
def test_launches_are_compiled(capability, dtype, side, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    compiled = []
    run = triton.runtime.jit.JITFunction.run

    def compile_only(kernel, *arguments, grid, warmup, **options):
        compiled.append(run(kernel, *arguments, grid=grid, warmup=True, **options))

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(triton.runtime.jit.JITFunction, "run", compile_only)
    # Not by `set_active`: without a GPU the active driver cannot be read for restoring it.
    monkeypatch.setattr(triton.runtime.driver, "_active", NoDevice(capability))
    values, u = torch.empty((2, 2, 5, side, side), dtype=dtype)[:, :, 1:4]
    bits = torch.empty((2, 5, -(-side * side // 8)), dtype=torch.uint8)[:, 1:4]
    cuda.fire_(values, u, bits, 0.9, 1.0, 1.0)
    surrogates = [name for name, surrogate in SURROGATES.items() if surrogate in cuda.FORMULAS]
    for surrogate in surrogates:
        cuda.surrogate_backward_(values, u, bits, 1.0, 1.0, surrogate, 1.0)
    cuda.unpack(bits, side * side, dtype)
    assert len(compiled) == 2 + len(surrogates)
    for kernel in compiled:
        assert kernel.asm["cubin"].startswith(b"\x7fELF")
        assert "fp32" not in kernel.src.signature.values(), "numbers lose digits that float64 tensors have"
        accesses = set(re.findall(r"(?:ld|st)\.global\S*", kernel.asm["ptx"]))
        if side == 8:
            # Bits are loaded and stored by bytes, all else by 16 bytes.
            assert {access.split(".", 2)[2] for access in accesses} <= {"b8", "v4.b32", "v2.b64"}
            assert len(accesses) > 1
