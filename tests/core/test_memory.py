import gc

import numpy as np

from pyllm import memory, ops


def test_a_freed_array_is_reused():
    x = np.ones((300, 1000), np.float32)
    y = ops.softmax(x)
    del y
    gc.collect()
    before = memory.stats()
    address = ops.softmax(x).ctypes.data
    assert ops.softmax(x).ctypes.data == address
    assert memory.stats()["system_allocations"] == before["system_allocations"]


def test_in_use_follows_the_arrays():
    x = np.ones((1000, 1024), np.float32)
    before = memory.stats()["in_use"]
    y = ops.softmax(x)
    view = y[10:20]
    del y
    assert memory.stats()["in_use"] - before >= x.nbytes
    del view
    assert memory.stats()["in_use"] == before


def test_peak_and_empty_cache():
    x = np.ones((1000, 1024), np.float32)
    memory.reset_peak()
    base = memory.stats()["in_use"]
    ops.softmax(x)
    assert memory.stats()["peak_in_use"] >= base + x.nbytes
    memory.empty_cache()
    assert memory.stats()["cached"] == 0


def test_alignment():
    for n in (1, 5, 1000, 1 << 20):
        assert ops.softmax(np.ones(n, np.float32)).ctypes.data % 64 == 0
