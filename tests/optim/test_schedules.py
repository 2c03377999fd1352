"""Learning-rate schedules and warm-ups."""

import math

import pytest

from pyllm.optim import schedules


@pytest.mark.parametrize(
    ("schedule", "start", "end"),
    [
        (schedules.constant(2.0), 2.0, 2.0),
        (schedules.linear(2.0, 10, 0.5), 2.0, 0.5),
        (schedules.cosine(2.0, 10, 0.5), 2.0, 0.5),
        (schedules.exponential(2.0, 10, 0.5), 2.0, 0.5),
        (schedules.inverse_sqrt(2.0, 5), 2.0, 2.0 * (5 / 15) ** 0.5),
        (schedules.step_decay(2.0, 5, 0.5), 2.0, 0.5),
        (schedules.warm_up(schedules.linear(2.0, 6), 2.0, 4), 0.5, 0.0),
    ],
)
def test_schedules(schedule, start, end):
    assert schedule(0) == pytest.approx(start)
    assert schedule(10) == pytest.approx(end)


def test_schedules_stay_at_their_end():
    assert schedules.cosine(1.0, 10, 0.1)(1000) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("shape", "first", "middle"),
    [
        ("linear", 0.2, 1.0),
        ("cosine", 1 - math.cos(math.pi / 10), 1.0),
        ("exponential", 0.02 * 100**0.1, 0.2),
    ],
)
def test_warm_ups(shape, first, middle):
    schedule = schedules.warm_up(schedules.constant(2.0), 2.0, 10, shape)
    assert schedule(0) == pytest.approx(first)
    assert schedule(4) == pytest.approx(middle)
    assert schedule(9) == pytest.approx(2.0)
    rates = [schedule(step) for step in range(12)]
    assert rates == sorted(rates)


def test_warm_up_errors():
    after = schedules.constant(1.0)
    with pytest.raises(ValueError, match="shape: expected linear"):
        schedules.warm_up(after, 1.0, 10, "square")
    with pytest.raises(ValueError, match="start: an exponential rise"):
        schedules.warm_up(after, 1.0, 10, "exponential", start=0.0)
