"""The device of a run and its peak memory."""

import platform

import torch

from stdl_events.errors import RecipeError
from stdl_events.memory.process import forget_peak, most_resident_bytes


def resolve_device(name: str) -> torch.device:
    """The device that `auto`, `cpu` or `cuda` selects on this machine.

    Raises:
        RecipeError: `cuda` where torch sees no CUDA device.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise RecipeError("device", got=repr(name), expected="auto, cpu or cuda", todo="choose one of these")
    if name == "cuda" and not torch.cuda.is_available():
        raise RecipeError(
            "device 'cuda'",
            got="no CUDA device that this torch can use",
            expected="a CUDA device and a CUDA build of torch",
            todo="use --device cpu or --device auto",
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def describe_device(device: torch.device) -> dict[str, str | int]:
    """Facts about the machine, recorded beside the metrics."""
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {"device": device.type, "hardware": hardware, "threads": torch.get_num_threads()}


def peak_memory(device: torch.device) -> dict[str, int]:
    """Peak bytes so far: `peak_rss_bytes` of the process and, on CUDA, `peak_cuda_bytes` of torch's allocator."""
    peak = {"peak_rss_bytes": most_resident_bytes()}
    if device.type == "cuda":
        peak["peak_cuda_bytes"] = torch.cuda.max_memory_allocated(device)
    return peak


def reset_peak_memory(device: torch.device) -> None:
    """Let `peak_memory` count from here on, where the system allows it: Linux does, and CUDA."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    forget_peak()
