"""The vocabulary projection and its loss, a chunk of rows at a time.

    logits = hidden_c weight^T + bias      into the chunk's buffer, float32
    dlogits = gradient of the loss         in its place (cross_entropy.py)
    dhidden_c = dlogits weight,  dweight += dlogits^T hidden_c,  dbias += column sums of dlogits

The products are torch's (cuBLAS): 16-bit inputs on the tensor cores, float32 sums. There dlogits
are rounded to the inputs' type, before they are scaled by the reduction, so that float16 does not
underflow; under the interpreter all products are float32. The buffer is the only memory that grows
with the vocabulary besides the gradients.
"""

import torch

from pyllm.kernels.triton import arguments
from pyllm.kernels.triton.cross_entropy import Loss

CHUNK_BYTES = 256 << 20  # products of fewer rows leave a large GPU idle


def _product(a, b):
    """a b in float32."""
    if a.is_cuda and b.dtype != torch.float32:
        return torch.mm(a.to(b.dtype), b, out_dtype=torch.float32)
    return a.float() @ b.float()


class _Problem:
    """The checked inputs, and one chunk of rows after another."""

    def __init__(
        self, hidden, weight, targets, bias, class_weight, ignore_index, smoothing, z_loss,
        reduction,
    ):  # fmt: skip
        arguments.floating(hidden, "hidden")
        arguments.beside(weight, "weight", hidden)
        if weight.ndim != 2:
            raise ValueError(f"weight: expected 2 axes, got shape {tuple(weight.shape)}")
        if hidden.ndim == 0 or hidden.shape[-1] != weight.shape[1]:
            raise ValueError(
                f"hidden: expected {weight.shape[1]} features along the last axis, as weight of "
                f"shape {tuple(weight.shape)} has, got shape {tuple(hidden.shape)}"
            )
        self.classes = weight.shape[0]
        if bias is not None:
            arguments.beside(bias, "bias", hidden, shape=(self.classes,))
        self.loss = Loss(
            targets, hidden.shape[:-1], self.classes, class_weight, hidden, ignore_index,
            smoothing, z_loss, reduction,
        )  # fmt: skip
        self.hidden, self.weight, self.bias = arguments.rows(hidden), weight, bias
        self.losses, self.lse, self.weights = torch.empty(
            (3, self.hidden.shape[0]), device=hidden.device
        )

    def chunks(self):
        """(rows as a slice, their logits), the losses of those rows done."""
        count = self.hidden.shape[0]
        height = max(16, CHUNK_BYTES // max(4 * self.classes, 1))
        for start in range(0, count, height):
            rows = slice(start, min(start + height, count))
            logits = _product(self.hidden[rows], self.weight.T)
            if self.bias is not None:
                logits += self.bias
            self.loss.forward(logits, rows, self.losses, self.lse, self.weights)
            yield rows, logits

    def result(self):
        return self.loss.reduce(self.losses, self.weights)


def linear_cross_entropy(
    hidden, weight, targets, bias, class_weight, ignore_index, label_smoothing, z_loss, reduction
):
    problem = _Problem(
        hidden, weight, targets, bias, class_weight, ignore_index, label_smoothing, z_loss,
        reduction,
    )  # fmt: skip
    for _ in problem.chunks():
        pass
    return problem.result()


class _Gradient:
    """A sum in float32, added to or written over the caller's buffer at the end."""

    def __init__(self, out, like, name, accumulate, inputs):
        if out is None and accumulate:
            raise ValueError(f"{name}: accumulate=True needs a buffer to add to")
        if out is not None:
            arguments.beside(out, name, like, (like.dtype, torch.float32), like.shape)
            arguments.apart(out, name, inputs)
        self.out = torch.empty(like.shape, dtype=like.dtype, device=like.device) if (
            out is None
        ) else out  # fmt: skip
        self.accumulate = accumulate
        self.sum = torch.zeros(like.shape, dtype=torch.float32, device=like.device)

    def result(self, scale):
        self.sum *= scale
        return self.out.copy_(self.out + self.sum if self.accumulate else self.sum)


def linear_cross_entropy_forward_backward(
    hidden, weight, targets, bias, class_weight, ignore_index, label_smoothing, z_loss, reduction,
    dhidden_out, dweight_out, dbias_out, accumulate, grad_scale,
):  # fmt: skip
    problem = _Problem(
        hidden, weight, targets, bias, class_weight, ignore_index, label_smoothing, z_loss,
        reduction,
    )  # fmt: skip
    inputs = {"hidden": hidden, "weight": weight, "bias": bias}
    dhidden = arguments.Output(dhidden_out, hidden, unshared=inputs, name="dhidden_out")
    dweight = _Gradient(dweight_out, weight, "dweight_out", accumulate, inputs)
    dbias = bias if bias is None else _Gradient(dbias_out, bias, "dbias_out", accumulate, inputs)
    flat = dhidden.data.view(problem.hidden.shape)
    totals = problem.loss.totals()
    scale = grad_scale * problem.loss.share(totals)
    for rows, logits in problem.chunks():
        problem.loss.backward(logits, rows, problem.lse, totals, logits)
        flat[rows] = (_product(logits, weight) * scale).to(hidden.dtype)
        dweight.sum += _product(logits.T, problem.hidden[rows])
        if dbias is not None:
            dbias.sum += logits.sum(0)
    return (
        problem.result(),
        dhidden.result(),
        dweight.result(scale),
        None if dbias is None else dbias.result(scale),
    )
