"""Every planted bug is caught by the check meant for it, and its right twin passes all of them."""

import numpy as np
import pytest

from tests.cuda.conftest import PLANTED
from tests.cuda.emulator.client import ORDERS, EmulatorReport, inout

# Kernel: the build variant that catches it, and what the report must say.
CAUGHT = {
    "missing_barrier": ("tsan", "data race"),
    "write_after_read": ("tsan", "data race"),
    "shuffle_is_no_fence": ("tsan", "data race"),
    "overwritten_scale": ("tsan", "data race"),
    "narrowed_in_place": ("tsan", "data race"),
    "missing_tail_barrier": ("tsan", "data race"),
    "race_between_blocks": ("tsan", "data race"),
    "race_at_same_thread": ("tsan", "data race"),
    "raw_pointer_race": ("tsan", "data race"),
    "copy_waited_without_barrier": ("tsan", "data race"),
    "parts_of_warps_overlap": ("tsan", "data race"),
    "raw_pointer_overrun": ("asan", "heap-buffer-overflow"),
    "overflowing_sum": ("plain", "EMULATOR integer overflow"),
    "shared_overrun": ("plain", "EMULATOR out of bounds"),
    "part_overrun": ("plain", "EMULATOR out of bounds"),
    "global_overrun": ("plain", "EMULATOR out of bounds"),
    "global_underrun": ("plain", "EMULATOR out of bounds"),
    "write_to_input": ("plain", "EMULATOR write to an input"),
    "misaligned_global": ("plain", "EMULATOR misaligned access"),
    "misaligned_shared": ("plain", "EMULATOR misaligned access"),
    "misaligned_copy": ("plain", "EMULATOR misaligned access"),
    "misaligned_ldmatrix": ("plain", "EMULATOR misaligned access"),
    "unwritten_shared": ("plain", "EMULATOR unwritten shared memory"),
    "divergent_barrier": ("plain", "EMULATOR divergent barrier"),
    "round_skipped_by_a_warp": ("plain", "EMULATOR divergent barrier"),
    "exit_before_barrier": ("plain", "EMULATOR partial barrier"),
    "barrier_against_collective": ("plain", "EMULATOR deadlock"),
    "mask_names_exited_lane": ("plain", "EMULATOR warp mask"),
    "lane_not_in_mask": ("plain", "EMULATOR warp mask"),
    "shuffle_from_outside_mask": ("plain", "EMULATOR warp mask"),
    "lanes_at_different_collectives": ("plain", "EMULATOR divergent warp"),
    "unwaited_copy": ("plain", "EMULATOR unwaited copy"),
    "wait_one_group_short": ("plain", "EMULATOR unwaited copy"),
    "write_over_copy": ("plain", "EMULATOR unwaited copy"),
    "copy_in_flight_at_exit": ("plain", "EMULATOR unwaited copy"),
}
ORDER_DEPENDENT = ("rank_by_atomics", "float_sum_by_atomics")
COUNTED = ("bank_conflict", "uncoalesced")


def run(emulator_for, variant, name, bug, **options):
    x = np.arange(64, dtype=np.float32)
    y = np.zeros(64, np.float32)
    emulator = emulator_for(variant, [PLANTED / "bugs.cu"])
    return emulator.call(f"planted_{name}", "PlantedArgs", x=x, y=inout(y), bug=bug, **options)


@pytest.mark.parametrize("name", CAUGHT)
def test_bug_is_caught_with_its_place(emulator_for, name):
    variant, what = CAUGHT[name]
    with pytest.raises(EmulatorReport) as caught:
        run(emulator_for, variant, name, bug=1)
    text = str(caught.value)
    assert what in text
    assert f"{name}_kernel" in text
    assert "block (" in text
    assert "bugs.cu:" in text


@pytest.mark.parametrize("variant", ["plain", "asan", "tsan"])
@pytest.mark.parametrize("order", ORDERS)
def test_right_twins_pass(emulator_for, variant, order):
    for name in (*CAUGHT, *ORDER_DEPENDENT, *COUNTED):
        run(emulator_for, variant, name, bug=0, order=order, order_seed=1)


def test_missing_tail_barrier_shows_in_values_only_in_some_orders(emulator_for):
    right = run(emulator_for, "plain", "missing_tail_barrier", bug=0)["y"]
    values = {
        o: run(emulator_for, "plain", "missing_tail_barrier", 1, order=o)["y"] for o in ORDERS
    }
    assert any(not np.array_equal(v, right) for v in values.values())


@pytest.mark.parametrize("name", ORDER_DEPENDENT)
def test_results_that_depend_on_the_order_of_threads_show(emulator_for, name):
    for bug in (0, 1):
        values = [run(emulator_for, "plain", name, bug, order=o, order_seed=2)["y"] for o in ORDERS]
        same = all(v.tobytes() == values[0].tobytes() for v in values)
        assert same == (bug == 0)


@pytest.mark.parametrize(
    ("name", "took", "ideal"),
    [
        ("bank_conflict", "wavefronts", "ideal_wavefronts"),
        ("uncoalesced", "sectors", "ideal_sectors"),
    ],
)
def test_waste_is_counted(emulator_for, name, took, ideal):
    right = run(emulator_for, "plain", name, bug=0, counted=True).kernels[f"{name}_kernel"]
    wrong = run(emulator_for, "plain", name, bug=1, counted=True).kernels[f"{name}_kernel"]
    assert right[took] == right[ideal]
    # 32 reads by 32 lanes in one bank; 8 lanes that each touch a sector of their own.
    assert wrong[took] - wrong[ideal] == {"bank_conflict": 32 * 31, "uncoalesced": 7}[name]
