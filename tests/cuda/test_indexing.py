"""Indexing on a device: values as NumPy's, gradients as on the CPU, what is wrong an error."""

import numpy as np
import pytest

from pyllm import Tensor, cuda

pytestmark = pytest.mark.usefixtures("emulated_device")

MASK = np.arange(12).reshape(3, 4) % 3 == 1
INDICES = {
    "rows": np.array([[0, 2], [2, -1]]),
    "list": [1, 1],
    "empty": np.zeros(0, np.int32),
    "middle axis": (slice(None), np.array([1, 1, 0])),
    "last axis, strided": (slice(None, None, 2), slice(1, 3), np.array([1, 0])),
    "pairs": (np.array([0, 1, 1]), np.array([2, 2, -2])),
    "column and row": (np.array([[0], [2]]), np.array([1, 3, 1])),
    "slice between": (np.array([0, 1, 0]), slice(1, None), np.array([1, 1, 1])),
    "dots between": (np.array([0, 1]), ..., np.array([1, 0])),
    "integer beside": (slice(None), np.array([3, 3, 0]), 1),
    "integer apart": (1, slice(None), np.array([1, 1])),
    "none": (None, np.array([0, 0])),
    "one place": (np.int64(1), 2, -1),
    "every element": (np.array([0, 0]), np.array([1, 1]), np.array([1, 1])),
    "array of no axes": np.array(1),
    "mask": MASK,
    "mask of rows and array": (np.array([True, False, True]), np.array([1, 1])),
    "true": True,
}


@pytest.mark.parametrize("kind", [np.float32, np.float16])
@pytest.mark.parametrize("name", INDICES)
def test_values_gradients_and_assignment(rng, name, kind):
    index, x = INDICES[name], rng.normal(size=(3, 4, 2)).astype(kind)
    expected = x[index]
    g = rng.normal(size=expected.shape).astype(kind)
    made = []
    for device in ("cpu", "cuda"):
        leaf = Tensor(x, requires_grad=True)
        picked = leaf.to(device)[index]
        np.testing.assert_array_equal(picked.numpy(), expected)
        picked.backward(Tensor(g).to(device))
        changed = Tensor(x.copy()).to(device)
        changed[index] = Tensor(g).to(device)
        changed[index] = 2.5 if name == "one place" else changed[index]
        made.append((leaf.grad.numpy(), changed.numpy()))
    np.testing.assert_array_equal(made[1][0], made[0][0])
    np.testing.assert_array_equal(made[1][1], made[0][1])


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.float64, bool])
def test_any_element_moves(kind):
    x = (np.arange(12).reshape(4, 3) % 5).astype(kind)
    there = cuda.to_device(x)
    np.testing.assert_array_equal(there[np.array([3, 0, 3])].numpy(), x[[3, 0, 3]])
    there.T[np.array([2, 0])] = x[:2].repeat(2, axis=0).T[:2]  # not contiguous
    x.T[[2, 0]] = x[:2].repeat(2, axis=0).T[:2]
    np.testing.assert_array_equal(there.numpy(), x)


def test_the_last_of_several_values_stays():
    there = Tensor(np.zeros(3, np.float32)).cuda()
    there[np.array([1, 0, 1])] = Tensor(np.array([1, 2, 3], np.float32)).cuda()
    np.testing.assert_array_equal(there.numpy(), [2, 3, 0])


def test_an_index_may_be_on_the_device(rng):
    x, index = rng.normal(size=(5, 2)).astype(np.float32), np.array([4, -5])
    np.testing.assert_array_equal(Tensor(x).cuda()[Tensor(index).cuda()].numpy(), x[index])
    np.testing.assert_array_equal(cuda.to_device(x)[cuda.to_device(index)].numpy(), x[index])


def test_what_goes_wrong():
    x = Tensor(np.zeros((2, 3), np.float32)).cuda()
    for index, message in [
        (np.array([0, 2]), "index 2 is out of range for axis 0 of size 2"),
        ((slice(None), np.array([0, -4])), "index -4 is out of range for axis 1 of size 3"),
        ((np.array([0, 1]), np.array([0, 1, 2])), "do not fit together"),
        (np.array([True, False, True]), r"a mask of shape \(3,\) for axes of \(2,\)"),
        (np.array([0.5]), "expected integers, slices or booleans, got float64"),
        ((0, 0, np.array([0])), "3 entries for 2 axes"),
        (5, "index 5 is out of range"),
    ]:
        with pytest.raises(IndexError, match=message):
            x[index]
        with pytest.raises(IndexError, match=message):
            x[index] = 0
    with pytest.raises(ValueError, match="cannot broadcast"):
        x[np.array([0, 1])] = Tensor(np.zeros((3, 3), np.float32)).cuda()
