"""The learning rate is a function of the step."""

import pytest
import torch
from pydantic import ValidationError

from stdl_events.training.schedule import learning_rate
from stdl_events.training.update_settings import ScheduleSettings


def rates(settings: ScheduleSettings, *, steps_per_epoch: int = 4, epochs: int = 5) -> list[float]:
    return [
        learning_rate(settings, 2.0, step, steps_per_epoch=steps_per_epoch, epochs=epochs)
        for step in range(steps_per_epoch * epochs)
    ]


def test_cosine_falls_from_the_base_to_almost_nothing() -> None:
    values = rates(ScheduleSettings())
    assert values[0] == 2.0
    assert values[10] == pytest.approx(1.0)
    assert values == sorted(values, reverse=True)
    assert 0 < values[-1] < 0.02


def test_cosine_ends_at_its_final_share() -> None:
    assert rates(ScheduleSettings(final=0.5), epochs=1000)[-1] == pytest.approx(1.0, abs=1e-4)


def test_warm_up_rises_in_equal_parts_and_reaches_the_base() -> None:
    values = rates(ScheduleSettings(warmup_epochs=1))
    assert values[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert values[4] == 2.0


def test_constant_stays() -> None:
    assert set(rates(ScheduleSettings(kind="constant"))) == {2.0}


def test_steps_halve_the_base_after_equal_times() -> None:
    values = rates(ScheduleSettings(kind="step", step_epochs=2, warmup_epochs=1))
    assert values[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0]), "the warm-up comes first"
    assert values[4:] == [2.0] * 4 + [1.0] * 8 + [0.5] * 4


@pytest.mark.parametrize(("epochs", "rise"), [(5, 0.3), (2, 0.25)])
def test_one_cycle_is_torchs(epochs: int, rise: float) -> None:
    settings = ScheduleSettings(kind="one-cycle", rise=rise, rise_from=0.1, final=0.001)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 2.0, 4 * epochs, pct_start=rise, div_factor=10, final_div_factor=100, cycle_momentum=False
    )
    expected = []
    for _ in range(4 * epochs):
        expected.append(cycle.get_last_lr()[0])
        optimizer.step()
        cycle.step() if len(expected) < 4 * epochs else None
    assert rates(settings, epochs=epochs) == pytest.approx(expected, rel=1e-12)


def test_one_cycle_has_no_other_warm_up() -> None:
    with pytest.raises(
        ValidationError, match=r"warmup_epochs: got 1\.0 with one-cycle; expected 0, .*set schedule\.rise to a"
    ):
        ScheduleSettings(kind="one-cycle", warmup_epochs=1)
