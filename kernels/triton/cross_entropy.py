"""cross_entropy of logits, forward and backward: probabilities are never stored.

With lse the log-sum-exp of a row x with target y, s = label_smoothing, W the sum of the weights w:

    loss = (1 - s) w_y (lse - x_y) + s / n (W lse - sum_c w_c x_c) + z w_y lse^2
    dx_c = exp(x_c - lse) ((1 - s) w_y + s W / n + 2 z w_y lse) - s w_c / n - (1 - s) w_y [c = y]

A program takes a row and walks over its classes in tiles of N, with an online maximum and sum: each
pass reads the logits once. lse (4 bytes a row) is all that backward needs. torch sums the rows. The
tile is as wide as the classes up to 4096; warps are tuned.
"""

import math

import torch
import triton
import triton.language as tl

from pyllm.kernels.triton import arguments
from pyllm.kernels.triton.storage import narrow, widen
from pyllm.kernels.triton.tuning import Tuned, warps

TILE = 4096


@triton.jit
def cross_entropy_forward_kernel(
    logits, targets, weight, loss_out, lse_out, weight_out, n, pitch, ignore_index, smoothing,
    z_loss, WEIGHT: tl.constexpr, SMOOTH: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    y = tl.load(targets + row).to(tl.int64)
    counts = y != ignore_index
    x = logits + row * pitch
    top, total, weights, weighted = -float("inf"), 0.0, 0.0, 0.0
    for start in range(0, tl.where(counts, n, 0), N):
        c = start + tl.arange(0, N)
        inside = c < n
        value = widen(tl.load(x + c, mask=inside, other=-float("inf")))
        higher = tl.maximum(top, tl.max(value, 0))
        safe = tl.where(higher == -float("inf"), 0.0, higher)
        total = total * tl.exp(top - safe) + tl.sum(tl.exp(value - safe), 0)
        top = higher
        if SMOOTH:
            w = tl.where(inside, 1.0, 0.0)
            if WEIGHT:
                w = widen(tl.load(weight + c, mask=inside, other=0))
            weights += tl.sum(w, 0)
            weighted += tl.sum(tl.where(inside, w * value, 0.0), 0)
    lse = tl.where(top == -float("inf"), 0.0, top) + tl.log(total)
    # A target out of range, where nobody looked for one, gives NaN and no stray access.
    valid = (y >= 0) & (y < n)
    lse = tl.where(valid, lse, float("nan"))
    at = tl.where(valid, y, 0)
    x_y = widen(tl.load(x + at))
    w_y = 1.0
    if WEIGHT:
        w_y = widen(tl.load(weight + at))
    loss = w_y * (lse - x_y)
    if SMOOTH:
        loss = (1 - smoothing) * loss + smoothing / n * (weights * lse - weighted)
    loss += z_loss * w_y * lse * lse
    tl.store(loss_out + row, tl.where(counts, loss, 0.0))
    tl.store(lse_out + row, tl.where(counts, lse, 0.0))
    if weight_out is not None:
        tl.store(weight_out + row, tl.where(counts, w_y, 0.0))


@triton.jit
def cross_entropy_backward_kernel(
    logits, targets, weight, lse_in, grad, totals, dlogits, n, pitch, dpitch, grad_step, mean,
    scale, ignore_index, smoothing, z_loss, WEIGHT: tl.constexpr, SMOOTH: tl.constexpr,
    N: tl.constexpr,
):  # fmt: skip
    """dlogits may be logits, or lie in the first half of each row of it, in 16 bits."""
    row = tl.program_id(0).to(tl.int64)
    y = tl.load(targets + row).to(tl.int64)
    counts = y != ignore_index
    valid = (y >= 0) & (y < n)
    lse, g = tl.where(valid, tl.load(lse_in + row), float("nan")), scale
    if grad is not None:
        g *= tl.load(grad + row * grad_step)
    if mean:
        total = tl.load(totals)
        g = tl.where(total == 0, 0.0, g / total)
    w_y = 1.0
    if WEIGHT:
        w_y = widen(tl.load(weight + tl.where(valid, y, 0)))
    hit = (1 - smoothing) * w_y
    slope = hit + 2 * z_loss * w_y * lse
    if SMOOTH:
        slope += smoothing / n * tl.load(totals + 1)
    needed = tl.where(counts, n, 0)  # an ignored row is not read
    for start in range(0, n, N):
        c = start + tl.arange(0, N)
        inside = c < n
        value = widen(tl.load(logits + row * pitch + c, mask=c < needed, other=0))
        d = tl.exp(value - lse) * slope
        if SMOOTH:
            w = 1.0
            if WEIGHT:
                w = widen(tl.load(weight + c, mask=inside, other=0))
            d -= smoothing / n * w
        d = tl.where(counts, (d - tl.where(c == y, hit, 0.0)) * g, 0.0)
        if dlogits.dtype.element_ty.primitive_bitwidth < logits.dtype.element_ty.primitive_bitwidth:
            tl.debug_barrier()  # this tile is written where all of it has been read
        at = dlogits + row * dpitch + c
        tl.store(at, narrow(d, dlogits.dtype.element_ty), mask=inside)


FORWARD = Tuned(cross_entropy_forward_kernel, warps(8, 4, 16), key=["N", "SMOOTH", "WEIGHT"])
BACKWARD = Tuned(
    cross_entropy_backward_kernel, warps(8, 4, 16), ["N", "SMOOTH", "WEIGHT"], writes=["dlogits"]
)


class Loss:
    """The options of a loss, checked, and its kernels on blocks of rows.

    Args:
        targets: of shape `rows`, checked against [0, classes) or to be ignore_index.
        weight: per class, or None; `like` gives its dtype.
    """

    def __init__(
        self, targets, rows, classes, weight, like, ignore_index, smoothing, z_loss, reduction
    ):
        arguments.integers(targets, "targets", like, rows)
        if not 0 <= smoothing <= 1:
            raise ValueError(f"label_smoothing: expected a number in [0, 1], got {smoothing}")
        if not (z_loss >= 0 and math.isfinite(z_loss)):
            raise ValueError(f"z_loss: expected a finite number of at least 0, got {z_loss}")
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"reduction: expected 'mean', 'sum' or 'none', got {reduction!r}")
        if weight is not None:
            weight = arguments.beside(weight, "weight", like, shape=(classes,)).contiguous()
        self._check_targets(targets, classes, ignore_index)
        self.shape, self.classes, self.weight = targets.shape, classes, weight
        self.targets = targets.reshape(-1).contiguous()
        self.ignore_index, self.smoothing, self.z_loss = ignore_index, smoothing, z_loss
        self.reduction = reduction
        self.options = {
            "WEIGHT": weight is not None,
            "SMOOTH": smoothing > 0,
            "N": min(triton.next_power_of_2(max(classes, 1)), TILE),
        }

    @staticmethod
    def _check_targets(targets, classes, ignore_index):
        if targets.is_cuda and torch.cuda.is_current_stream_capturing():
            return  # no looking at the device then; the kernels give NaN
        bad = ((targets < 0) | (targets >= classes)) & (targets != ignore_index)
        if not bad.any():
            return
        position = tuple(torch.nonzero(bad)[0].tolist())
        raise ValueError(
            f"targets: {int(targets[position])} at position {position} is neither a class in "
            f"[0, {classes}) nor ignore_index {ignore_index}"
        )

    def total_weight(self):
        """Sum of the weights of the targets that count, on the device."""
        counts = self.targets != self.ignore_index
        if self.weight is None:
            return counts.sum(dtype=torch.float32)
        each = self.weight.float()[self.targets.clamp(0, max(self.classes - 1, 0)).long()]
        return torch.where(counts, each, 0.0).sum()

    def totals(self):
        """(2,) on the device: the weights of the targets that count, and of all classes."""
        if self.weight is None:
            all_classes = torch.full((), float(self.classes), device=self.targets.device)
        else:
            all_classes = self.weight.float().sum()
        return torch.stack((self.total_weight(), all_classes))

    def share(self, totals):
        """What the reduction multiplies the gradient of a row by; 0 where no row counts."""
        if self.reduction != "mean":
            return torch.ones((), device=self.targets.device)
        return torch.where(totals[0] == 0, 0.0, 1 / totals[0])

    def reduce(self, losses, weights):
        if self.reduction == "none":
            return losses.reshape(self.shape)
        return losses.sum() / weights.sum() if self.reduction == "mean" else losses.sum()

    def forward(self, logits, rows, losses, lse, weights):
        """losses, lse and weights of a slice of the rows, whose logits are (rows, classes)."""
        if self.classes == 0:  # then all targets are ignored
            for result in (losses, lse, weights):
                result[rows] = 0
        elif logits.shape[0]:
            with torch.cuda.device_of(logits):
                FORWARD[(logits.shape[0],)](
                    logits, self.targets[rows], self.weight, losses[rows], lse[rows], weights[rows],
                    self.classes, logits.stride(0), self.ignore_index, self.smoothing, self.z_loss,
                    **self.options,
                )  # fmt: skip

    def backward(self, logits, rows, lse, totals, dlogits, grad=None, scale=1.0, mean=False):
        """dlogits of a slice of the rows.

        Args:
            totals: as the method of that name has them.
            grad: of the loss, one element, or one a row of all; default 1.
            scale: a number that multiplies it.
            mean: divide by the weights of the targets.
        """
        if dlogits.numel():
            each = grad is not None and grad.numel() > 1
            with torch.cuda.device_of(logits):
                BACKWARD[(logits.shape[0],)](
                    logits, self.targets[rows], self.weight, lse[rows],
                    grad[rows] if each else grad, totals, dlogits, self.classes, logits.stride(0),
                    dlogits.stride(0), int(each), int(mean), scale, self.ignore_index,
                    self.smoothing, self.z_loss, **self.options,
                )  # fmt: skip


def _rows(logits):
    arguments.floating(logits, "logits")
    if logits.ndim == 0:
        raise ValueError("logits: expected at least one axis (the classes), got shape ()")
    return logits.shape[:-1]


def cross_entropy(
    logits, targets, weight, ignore_index, label_smoothing, z_loss, reduction, return_lse
):
    shape, classes = _rows(logits), logits.shape[-1]
    loss = Loss(
        targets, shape, classes, weight, logits, ignore_index, label_smoothing, z_loss, reduction
    )
    losses, lse, weights = torch.empty((3, math.prod(shape)), device=logits.device)
    loss.forward(arguments.rows(logits), slice(None), losses, lse, weights)
    result = loss.reduce(losses, weights)
    return (result, lse.reshape(shape)) if return_lse else result


def _gradient(grad, loss, like):
    """The gradient of the loss: float32 on the device, one element or one a row; or a number."""
    if not isinstance(grad, torch.Tensor):
        try:
            return {"scale": float(grad)}
        except (TypeError, ValueError):
            raise TypeError(
                f"grad: expected a number or an array, got {type(grad).__name__}"
            ) from None
    arguments.beside(grad, "grad", like, (torch.float32, torch.float64))
    if loss.reduction == "none":
        arguments.beside(grad, "grad", like, (grad.dtype,), loss.shape)
    elif grad.numel() != 1:
        raise ValueError(f"grad: expected a single element, got shape {tuple(grad.shape)}")
    return {"grad": grad.reshape(-1).float().contiguous()}


def cross_entropy_backward(
    grad, logits, targets, lse, weight, ignore_index, label_smoothing, z_loss, reduction, out
):
    shape, classes = _rows(logits), logits.shape[-1]
    loss = Loss(
        targets, shape, classes, weight, logits, ignore_index, label_smoothing, z_loss, reduction
    )
    arguments.beside(lse, "lse", logits, (torch.float32,), shape)
    gradient = _gradient(grad, loss, logits)
    dlogits = arguments.Output(out, logits, {"logits": logits}, {"lse": lse})
    flat = dlogits.data.view(math.prod(shape), classes)
    loss.backward(
        arguments.rows(logits), slice(None), lse.reshape(-1).contiguous(), loss.totals(), flat,
        mean=loss.reduction == "mean", **gradient,
    )  # fmt: skip
    return dlogits.result()
