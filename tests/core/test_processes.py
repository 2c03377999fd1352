"""One pool, in every kind of process: after fork, after spawn, beside other runtimes."""

import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import pyllm
from pyllm import ops


def work(queue=None):
    x = np.random.default_rng(0).normal(size=(512, 512)).astype(np.float32)
    result = ops.softmax(x).tobytes()
    if queue is not None:
        queue.put(result)
    return result


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_child_processes(method, threads):
    threads(2)
    expected = work()
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    children = [context.Process(target=work, args=(queue,)) for _ in range(2)]
    for child in children:
        child.start()
    try:
        assert [queue.get(timeout=60) for _ in children] == [expected] * 2
    finally:
        for child in children:
            child.join(10)
            child.kill()
    assert work() == expected


def test_python_threads_get_the_same_bits(threads):
    threads(2)
    expected = work()
    results = []
    callers = [threading.Thread(target=lambda: results.append(work())) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert results == [expected] * 6


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_workers_stay_where_they_may_run():
    # One CPU for the process, then all again: no thread of the pool runs elsewhere meanwhile, and
    # none is left with less.
    code = """
import os, time
import numpy as np
from pyllm import ops

def affinities():
    return [os.sched_getaffinity(int(thread)) for thread in os.listdir("/proc/self/task")]

def allow(cpus):
    for thread in os.listdir("/proc/self/task"):
        os.sched_setaffinity(int(thread), cpus)

x = np.ones((512, 512), np.float32)
every = os.sched_getaffinity(0)
ops.softmax(x)
for cpus in (every, {min(every)}, every):
    allow(cpus)
    for _ in range(20):
        time.sleep(0.005)  # the workers go to sleep
        ops.softmax(x)
        assert all(affinity <= cpus for affinity in affinities())
    time.sleep(0.05)
    assert all(affinity == cpus for affinity in affinities()), (cpus, affinities())
"""
    done = run(code, OMP_NUM_THREADS="3")
    assert done.returncode == 0, done.stderr


def test_thread_count_from_the_environment():
    code = "import pyllm; print(pyllm.get_num_threads())"
    assert run(code, OMP_NUM_THREADS="3").stdout.strip() == "3"
    assert run(code, OMP_NUM_THREADS="5,2").stdout.strip() == "5"


def test_thread_count_below_one():
    with pytest.raises(ValueError, match="n: expected a thread count of at least 1, got 0"):
        pyllm.set_num_threads(0)


def test_isa_from_the_environment():
    code = "import pyllm; print(pyllm.get_isa())"
    baseline = pyllm._cpu.available_isas()[0]
    assert run(code, PYLLM_ISA=baseline).stdout.strip() == baseline
    failed = run(code, PYLLM_ISA="mmx")
    assert failed.returncode != 0
    assert "instruction set 'mmx' is not available here; choose from" in failed.stderr


@pytest.mark.parametrize("other", ["scipy.linalg", "sklearn.svm"])
@pytest.mark.parametrize("first", ["pyllm", "other"])
def test_import_order(first, other):
    imports = [f"import {other}", "import pyllm"]
    order = imports[::-1] if first == "pyllm" else imports
    code = "\n".join(
        [
            *order,
            "import numpy as np",
            "from pyllm import ops",
            "x = np.ones((400, 400), np.float32)",
            "assert abs(float(ops.softmax(x).sum()) - 400) < 1e-3",
            "print(float((x @ x)[0, 0]))",
        ]
    )
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "400.0"
