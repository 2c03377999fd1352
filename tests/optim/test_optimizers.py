"""All optimizers over groups: clipping, state, errors."""

import ml_dtypes
import numpy as np
import pytest

from pyllm.nn import Parameter
from pyllm.optim import SGD, Adafactor, Adam, AdamW, Lion


def parameters(rng, *shapes):
    return [Parameter(rng.normal(size=shape).astype(np.float32)) for shape in shapes]


def set_gradients(params, rng):
    for p in params:
        p.zero_grad()
        p.accumulate_grad(rng.normal(size=p.shape).astype(np.float32))


def test_groups_have_settings_of_their_own(rng):
    one, two = parameters(rng, (3, 2), (4,))
    before = one.data.copy(), two.data.copy()
    optimizer = AdamW([{"params": [one], "lr": 0.0}, {"params": [two]}], lr=0.1)
    set_gradients([one, two], rng)
    optimizer.step()
    np.testing.assert_array_equal(one.data, before[0])
    assert (two.data != before[1]).all()


def test_clipping_is_by_the_global_norm(rng):
    params = parameters(rng, (3, 2), (4,))
    optimizer = AdamW([{"params": [p]} for p in params], max_norm=0.5)
    set_gradients(params, rng)
    norm = np.sqrt(sum((p.grad.data.astype(np.float64) ** 2).sum() for p in params))
    first = params[0].grad.data.copy()
    assert optimizer.step() == pytest.approx(norm, rel=1e-6)
    moment = optimizer.state_dict()["states"][0]["exp_avg"].reshape(3, 2)
    np.testing.assert_allclose(moment, 0.1 * first * 0.5 / norm, rtol=1e-4)


def test_a_parameter_without_gradient_counts_as_zero(rng):
    used, unused = parameters(rng, (2,), (2,))
    optimizer = AdamW([used, unused], weight_decay=0.0)
    set_gradients([used, unused], rng)
    optimizer.step()
    optimizer.zero_grad()
    used.accumulate_grad(np.full(2, 3, np.float32))
    assert optimizer.step() == pytest.approx(np.sqrt(18))


def amsgrad(params, **settings):
    return Adam(params, amsgrad=True, **settings)


def momentum(params, **settings):
    return SGD(params, momentum=0.9, nesterov=True, **settings)


def small(kind):
    return lambda params, **settings: kind(params, state_bits=8, **settings)


EIGHT_BITS = [small(kind) for kind in (Adam, AdamW, Lion, amsgrad, momentum)]


KINDS = [Adafactor, Adam, AdamW, Lion, SGD, amsgrad, momentum, *EIGHT_BITS]


@pytest.mark.parametrize("kind", KINDS)
def test_state_continues_bitwise(kind, rng):
    runs = []
    for stop in (None, 3):
        generator = np.random.default_rng(0)
        params = parameters(generator, (5, 3), (7,), (70, 60))
        optimizer = kind(params, lr=0.1, weight_decay=0.1)
        for step in range(6):
            if step == stop:
                state = optimizer.state_dict()
                params = [Parameter(p.data.copy()) for p in params]
                optimizer = kind(params, lr=0.1, weight_decay=0.1)
                optimizer.load_state_dict(state)
            set_gradients(params, generator)
            optimizer.step()
        runs.append([p.data.tobytes() for p in params])
    assert runs[0] == runs[1]


@pytest.mark.parametrize("kind", [Adam, AdamW, amsgrad, momentum])
def test_eight_bits_learn_as_32_do(kind, rng):
    x, solution = rng.normal(size=(500, 80)), rng.normal(size=(80, 60))
    losses = {}
    for bits in (8, 32):
        p = Parameter(np.zeros((80, 60), np.float32))
        optimizer = kind([p], lr=0.02, weight_decay=0.0, state_bits=bits)
        for _ in range(300):
            error = x @ (p.data - solution)
            optimizer.zero_grad()
            p.accumulate_grad((x.T @ error / len(x)).astype(np.float32))
            optimizer.step()
        losses[bits] = (error**2).mean()
    assert losses[8] < 1.1 * losses[32]
    assert losses[32] < 1e-3 * solution.var() * 80


def test_small_parameters_keep_full_states(rng):
    matrix, odd, bias = parameters(rng, (128, 96), (65, 65), (96,))
    optimizer = AdamW([matrix, bias, odd], state_bits=8)
    quantized, full = optimizer.state_dict()["states"]
    blocks = 48 + 17
    assert quantized["exp_avg"].dtype == np.uint8
    assert quantized["exp_avg"].shape == (256 * blocks,)  # each parameter from a block of its own
    assert quantized["exp_avg_sq_scale"].shape == (blocks,)
    assert full["exp_avg"].dtype == np.float32
    assert optimizer.state_nbytes == 2 * (256 + 4) * blocks + 2 * 4 * 96


def test_states_of_other_bits_do_not_fit(rng):
    (p,) = parameters(rng, (64, 64))
    for bits in ((8, 32), (32, 8)):
        mine, theirs = (AdamW([Parameter(p.data.copy())], state_bits=b) for b in bits)
        with pytest.raises(ValueError, match=r"exp_avg(_scale)? does not fit"):
            mine.load_state_dict(theirs.state_dict())
    with pytest.raises(ValueError, match="state_bits: expected 8 or 32"):
        Lion([p], state_bits=4)


def test_errors(rng):
    (p,) = parameters(rng, (2,))
    for bad in ([], [p, p], [{"params": [p]}, {"params": []}]):
        with pytest.raises(ValueError, match="each parameter once"):
            AdamW(bad)
    (other,) = parameters(rng, (3,))
    with pytest.raises(ValueError, match="does not fit"):
        AdamW([p]).load_state_dict(AdamW([other]).state_dict())
    two = [{"params": [q]} for q in parameters(rng, (3,), (2,))]
    with pytest.raises(ValueError, match="2 groups do not fit these 1"):
        AdamW([p]).load_state_dict(AdamW(two).state_dict())
    with pytest.raises(ValueError, match="no setting learning_rate; there are amsgrad, betas"):
        AdamW([{"params": [p], "learning_rate": 1.0}])
    with pytest.raises(ValueError, match="lr: expected"):
        Lion([p], lr=-1.0)
    with pytest.raises(ValueError, match="max_norm"):
        SGD([p], max_norm=0.0)
    with pytest.raises(ValueError, match="warmup_init: only"):
        Adafactor([p], lr=0.1, warmup_init=True)
    with pytest.raises(ValueError, match="nesterov: needs momentum"):
        SGD([p], nesterov=True)


def test_state_brings_the_settings_back(rng):
    (p,) = parameters(rng, (2,))
    optimizer = AdamW([p], lr=0.5)
    state = optimizer.state_dict()
    optimizer.param_groups[0]["lr"] = 0.1
    optimizer.load_state_dict(state)
    assert optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize("kind", [Adafactor, Adam, AdamW, Lion, momentum])
def test_a_group_may_mix_dtypes(kind, rng):
    start = rng.normal(size=40).astype(ml_dtypes.bfloat16)
    mixed = [Parameter(start.copy()), Parameter(start.astype(np.float32))]
    double = Parameter(start.astype(np.float64))
    optimizer = kind(mixed, lr=1e-3)
    optimizer.add_param_group({"params": [double]})
    for _ in range(10):
        gradient = rng.normal(size=40).astype(ml_dtypes.bfloat16)
        optimizer.zero_grad()
        for p in (*mixed, double):
            p.accumulate_grad(gradient.astype(p.dtype))
        optimizer.step()
    half, single = (p.data for p in mixed)
    np.testing.assert_array_equal(half, single.astype(ml_dtypes.bfloat16))
    np.testing.assert_allclose(single, double.data, atol=1e-6)
