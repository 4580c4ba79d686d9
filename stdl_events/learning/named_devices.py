"""Devices by their names: which ones torch knows, and on which ones it can compute here."""

import torch

from stdl_events.errors import RuleError


def named_device(device: torch.device | str) -> torch.device:
    """The device of this name, on this machine or another.

    Raises:
        RuleError: torch has no such name.
    """
    if isinstance(device, torch.device):
        return device
    try:
        if isinstance(device, str):
            return torch.device(device)
    except RuntimeError:
        pass
    raise RuleError(
        "device", got=repr(device), expected="a name of torch, such as 'cpu', 'cuda' or 'cuda:1'", todo="correct it"
    )


def require_device(device: torch.device | str) -> torch.device:
    """The device of this name, on which tensors can be made here.

    Raises:
        RuleError: torch has no such name, or cannot compute there.
    """
    place = named_device(device)
    try:
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:  # a torch without CUDA asserts
        raise RuleError(
            "device", got=f"{place}, where torch cannot compute ({str(error).splitlines()[0]})",
            expected="a device of this machine", todo="use 'cpu', or install a torch that is built for the device",
        ) from error  # fmt: skip
    if place.type == "meta":
        raise RuleError("device", got="meta", expected="a device that holds values", todo="use 'cpu' or 'cuda'")
    return place
