"""Batches made ahead: their order, their number, their errors, and the thread that makes them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from stdl_events.frames import FrameSpec
from stdl_events.training.checkpoint import load_checkpoint
from stdl_events.training.fit import fit
from stdl_events.training.prefetch import ahead_bytes, made_ahead
from stdl_events.training.settings import TrainConfig


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("batches")]


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_results_come_in_order_and_only_so_many_ahead(ahead: int) -> None:
    asked_for: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(5):
            asked_for.append(number)
            yield number

    with made_ahead(lambda number: number * 10, numbers(), ahead=ahead) as results:
        for number, result in enumerate(results):
            assert result == number * 10
            assert len(asked_for) == min(5, number + 1 + ahead)
        assert number == 4
    assert not threads()


def test_the_next_one_is_made_while_the_caller_works() -> None:
    begun = [threading.Event() for _ in range(2)]

    def make(number: int) -> str:
        begun[number].set()
        return threading.current_thread().name

    with made_ahead(make, range(2), ahead=1) as results:
        assert next(results).startswith("batches")
        assert begun[1].wait(timeout=30), "it is made before it is asked for"


def test_an_error_comes_in_its_place_and_ends_the_thread() -> None:
    def make(number: int) -> float:
        return 1 / (2 - number)

    taken: list[float] = []
    with pytest.raises(ZeroDivisionError), made_ahead(make, range(9), ahead=4) as results:
        taken.extend(results)
    assert taken == [0.5, 1.0]
    assert not threads()


def test_what_is_not_asked_for_any_more_is_not_made() -> None:
    made: list[int] = []
    go_on = threading.Event()

    def make(number: int) -> int:
        if number == 1:
            go_on.wait(timeout=30)
        made.append(number)
        return number

    def stopped_after_one() -> None:
        with made_ahead(make, range(9), ahead=5) as results:
            next(results)
            # It ends while the context waits for what is being made.
            threading.Timer(0.01, go_on.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_after_one()
    assert made in ([0], [0, 1])
    assert not threads()


def test_weights_do_not_depend_on_the_thread(tmp_path: Path, config: TrainConfig) -> None:
    weights = []
    small = config.derive(network={"notation": "4C3-AP4"}, learning={"rho": None, "rule": "sltt"}, epochs=1)
    for ahead in (0, 2):
        fit(small.derive(prefetch=ahead), tmp_path / str(ahead), quiet=True)
        weights.append(load_checkpoint(tmp_path / str(ahead) / "checkpoint.safetensors")["learner"]["network"])
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    fit(small.derive(prefetch=5), tmp_path / "0", resume=True, quiet=True)
    assert not threads()


def test_bytes_of_the_batches_that_wait(config: TrainConfig) -> None:
    spec = config.frames.spec((16, 16))
    assert ahead_bytes(config.derive(prefetch=3), spec) == 3 * (4 * 8 * 2 * 16 * 16), "counts of one byte, T=4, B=8"
    assert ahead_bytes(config.derive(prefetch=0), spec) == 0
    picture = FrameSpec(kind="picture", steps=6, sensor_size=(8, 8))
    assert ahead_bytes(config.derive(prefetch=1), picture) == 8 * 3 * 8 * 8 * 4, "one float32 picture, whatever T"
