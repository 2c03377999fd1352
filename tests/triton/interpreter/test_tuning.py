"""How configurations are timed: no launch may see the traces of a timed one."""

import pytest
import torch
import triton
import triton.language as tl

from pyllm.kernels.triton.tuning import Tuned


@triton.jit
def double_kernel(x, y, N: tl.constexpr, STEP: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(y + i, 2 * tl.load(x + i))


@pytest.fixture
def timed(monkeypatch):
    """A kernel with two configurations, timed as on a GPU, and the configurations that ran."""
    ran = []

    def bench(call, quantiles):
        call()
        ran.append("timed")
        return [float(len(ran))] * 3

    kernel = Tuned(double_kernel, [triton.Config({"STEP": n}) for n in (1, 2)], ["N"], writes=["y"])
    monkeypatch.setattr(kernel._tuned, "_do_bench", bench)
    monkeypatch.setattr(kernel._tuned, "cache_results", False)
    return kernel, ran


def test_in_place_outputs_are_put_back_after_timing(timed):
    kernel, ran = timed
    x = torch.ones(4)
    kernel._tuned[(1,)](x, x, N=4)
    assert len(ran) == 2
    assert x.tolist() == [2.0] * 4
    kernel._tuned[(1,)](x, x, N=4)
    assert len(ran) == 2
    assert x.tolist() == [4.0] * 4


def test_untimed_takes_the_first_that_suits(timed):
    kernel, ran = timed
    kernel.suits = lambda config, arguments: config.kwargs["STEP"] == arguments["N"] // 2
    assert kernel.first(N=4).kwargs == {"STEP": 2}
    x = torch.ones(4)
    kernel[(1,)](x, x, N=4)
    assert not ran
    assert x.tolist() == [2.0] * 4
