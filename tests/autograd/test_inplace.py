"""In-place operators: values, gradients by differences, and refusals instead of wrong gradients."""

import ml_dtypes
import numpy as np
import pytest

from pyllm.autograd import Tensor, no_grad, split
from tests.autograd.differences import check_gradients


def add_to(x, y):
    x = x * 1
    x += y
    return x


def scale_rows(x, y):
    z = x * 2
    z *= y
    z /= 4
    z -= y
    return z.exp()


def add_to_slice(x, y):
    z = x * 1
    z[1:, 0] += y[0, 0] * 3
    z[0] *= 2
    return z.exp()


def set_slice(x, y):
    z = x * 1
    z[:, 1] = y[:, 0] ** 2
    z[0, 0] = 5.0
    return z * z


def set_places(x, y):
    z = x * 1
    z[[0, 1], [2, 0]] = y[0, :2]
    z[y.data > 10] = 1
    return z * z


def fill_from(x, y):
    z = Tensor(np.zeros((2, 3)))
    z[0] = x[0]
    z[1] = y[1]
    return z * x


def overwrite(x, y):
    z = x * 1
    z.copy_(y[0])
    return z * x


CASES = [add_to, scale_rows, add_to_slice, set_slice, set_places, fill_from, overwrite]


@pytest.mark.parametrize("function", CASES, ids=lambda f: f.__name__)
def test_gradients(function, rng):
    check_gradients(function, rng.normal(size=(2, 3)), rng.uniform(1, 2, (2, 3)))


def test_memory_and_dtype_stay(rng):
    for dtype in (np.float32, ml_dtypes.bfloat16):
        data = np.ones((2, 3), dtype)
        x = Tensor(data)
        x += np.arange(3.0)
        x *= 2
        x[0, 0] = 0.5
        assert x.data is data
        np.testing.assert_array_equal(data, np.array([[0.5, 4, 6], [2, 4, 6]], dtype))


def test_a_changed_value_that_was_saved_is_noticed(rng):
    def leaf():
        return Tensor(rng.uniform(1, 2, (2, 3)), requires_grad=True)

    for save in (
        lambda t: t * t,
        lambda t: t.log(),
        lambda t: t @ t.T,
        lambda t: t / t,
        lambda t: t.max(0),
        lambda t: t[0] * t[1],
        lambda t: t.reshape(6) ** 2,
        lambda t: t.T * 3 * t.T,
    ):
        hidden = leaf() * 1
        y = save(hidden)
        hidden += 1
        with pytest.raises(RuntimeError, match=r"that (mul|log|matmul|div|max|pow) saved has been"):
            y.backward(np.ones(y.shape))
    for save in (lambda t: t.exp(), lambda t: t.tanh(), lambda t: t.sigmoid(), lambda t: t.sqrt()):
        y = save(leaf())
        z = y * 1
        y[0] = 0
        with pytest.raises(RuntimeError, match="changed in place"):
            (y + z).backward(np.ones((2, 3)))


def test_changes_nobody_saved_are_fine(rng):
    x = Tensor(rng.normal(size=(2, 3)), requires_grad=True)
    hidden = x * 2
    y = hidden + 1  # saves nothing
    hidden *= 5
    (y + hidden).backward(np.ones((2, 3)))
    np.testing.assert_array_equal(x.grad.data, np.full((2, 3), 12.0))


def test_changes_through_views_and_detached_tensors_count(rng):
    x = Tensor(rng.normal(size=(2, 3)), requires_grad=True)
    for change in (lambda h: h.detach(), lambda h: h.reshape(-1).detach(), lambda h: h.detach().T):
        hidden = x * 1
        y = hidden**2
        other = change(hidden)
        other *= 0
        with pytest.raises(RuntimeError, match="pow saved has been changed in place since"):
            y.backward(np.ones((2, 3)))


def test_changed_data_can_be_told(rng):
    x = Tensor(rng.normal(size=3), requires_grad=True)
    y = x * x
    x.data[0] = 7
    x.mark_changed()
    with pytest.raises(RuntimeError, match="mul saved has been changed in place since"):
        y.backward(np.ones(3))


def test_histories_that_are_out_of_date_are_refused(rng):
    x = Tensor(rng.normal(size=(2, 3)), requires_grad=True)
    hidden = x * 1
    row = hidden[0]
    row += x[1]
    with pytest.raises(RuntimeError, match="was changed in place through another that shares"):
        hidden.sum()
    assert row.sum().requires_grad
    first, second = split(x * 1, 1)
    first *= 2
    with pytest.raises(RuntimeError, match="was changed in place through another"):
        second * 1
    hidden = x * 1
    row = hidden[0]
    row += x[1]
    with pytest.raises(RuntimeError, match="was changed in place through another"):
        hidden[1] = row  # row 0 has changed too
    hidden = x * 1
    rows = hidden[:2]
    rows += x
    with pytest.raises(RuntimeError, match="was changed in place through another"):
        hidden[0] = rows[0]  # row 1 has changed too


def test_a_detached_tensor_may_be_written_to(rng):
    x = Tensor(rng.normal(size=(2, 3)), requires_grad=True)
    hidden = x * 1
    apart = hidden.detach()
    apart += x  # gets a history of its own
    assert apart.requires_grad
    hidden.sum().backward()  # keeps its own, whatever its values are now
    np.testing.assert_array_equal(x.grad.data, 1)


def test_leaves_change_only_in_no_grad(rng):
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    for change in (
        lambda: x.__iadd__(1),
        lambda: x.__setitem__(0, 1),
        lambda: x[0].__imul__(2),
        lambda: x.copy_(x * 2),
    ):
        with pytest.raises(RuntimeError, match=r"a leaf that requires a gradient .* no_grad\(\)"):
            change()
    np.testing.assert_array_equal(x.data, 1)
    y = x * x
    with no_grad():
        x += 1
        x[0] *= 3
    np.testing.assert_array_equal(x.data, [[6] * 3, [2] * 3])
    with pytest.raises(RuntimeError, match="mul saved"):
        y.backward(np.ones((2, 3)))
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, 2 * x.data)


def test_sums_of_losses_may_be_collected():
    x = Tensor(np.array(3.0), requires_grad=True)
    total = 0
    for factor in (1, 2, 3):
        total += x * factor
    total.backward()
    assert x.grad.item() == 6


def test_errors():
    x = Tensor(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"in place: expected a result of shape \(2, 3\)"):
        x += np.ones((4, 2, 3))
    with pytest.raises(ValueError, match="broadcast"):
        x[0] = np.ones(4)
    counts = Tensor(np.ones(2, np.int64))
    with pytest.raises(TypeError, match="in place: float32 does not fit into int64"):
        counts /= 2
    with pytest.raises(TypeError, match="in place: float32 does not fit into int64"):
        Tensor(np.ones(2, np.int64))[0] = 0.5
    with pytest.raises(ValueError, match="read-only"):
        x.expand(4, 2, 3).copy_(0)
    with pytest.raises(ValueError, match="index: names a place twice"):
        x[[0, 0]] = Tensor(np.ones((2, 3)), requires_grad=True)
    x[[0, 0]] = 4
    with pytest.raises(IndexError):
        x[5] = 1
