"""Checkpoints keep every type and every bit, are replaced atomically, and damaged ones are refused."""

from pathlib import Path

import pytest
import torch

from stdl_events.errors import RunError
from stdl_events.training.checkpoint import load_checkpoint, save_checkpoint


def test_everything_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    shared = torch.arange(6, dtype=torch.float64).reshape(2, 3)
    state = {
        "weights": {"a/b": shared, "view": shared.T, "scalar": torch.tensor(7)},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0), "momentum_buffer": None}}, "betas": (0.9, 0.999)},
        "rng": torch.get_rng_state(),
        "list": [{"x": 1}, {}, True, "text", 0.1 + 0.2],
    }
    save_checkpoint(path, state)
    loaded = load_checkpoint(path)
    assert torch.equal(loaded["weights"]["a/b"], shared)
    assert loaded["weights"]["a/b"].dtype == torch.float64
    assert torch.equal(loaded["weights"]["view"], shared.T)
    assert loaded["weights"]["scalar"].shape == ()
    assert loaded["optimizer"]["state"][0]["momentum_buffer"] is None
    assert loaded["optimizer"]["betas"] == (0.9, 0.999)
    assert torch.equal(loaded["rng"], state["rng"])
    assert loaded["list"] == state["list"]


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, {"step": 1})
    with pytest.raises(AssertionError, match="/step: <class 'object'> is not for checkpoints"):
        save_checkpoint(path, {"step": object()})
    assert load_checkpoint(path) == {"step": 1}


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04N."])
def test_a_damaged_checkpoint_is_an_error_of_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content)
    with pytest.raises(RunError) as caught:
        load_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: got a file that cannot be read (")
    assert str(caught.value).endswith("expected a checkpoint of stdl-events; delete the run folder and train again")


def test_a_truncated_checkpoint_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, {"weights": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(RunError, match="cannot be read"):
        load_checkpoint(path)


def test_one_changed_bit_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, {"weights": torch.zeros(100), "step": torch.tensor(3, dtype=torch.int64)})
    data = path.read_bytes()
    path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    with pytest.raises(RunError, match=r"got a damaged checkpoint, whose SHA-256 differs; expected .* train RUN$"):
        load_checkpoint(path)


def test_a_missing_checkpoint_says_how_to_start(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="got no such file; expected a checkpoint; start the run without --resume"):
        load_checkpoint(tmp_path / "checkpoint.safetensors")
