"""Scaled dot-product attention, forward and backward, in Triton.

`options.py` checks the arguments, `scores.py` is what the kernels share, `forward.py` and
`backward.py` hold the kernels, `dbias.py` that of the bias.
"""

import torch
import triton

from pyllm.kernels.triton import arguments
from pyllm.kernels.triton.attention.backward import DELTA, DKDV, DQ
from pyllm.kernels.triton.attention.dbias import bias_gradient
from pyllm.kernels.triton.attention.forward import FORWARD
from pyllm.kernels.triton.attention.options import Problem, rows_contiguous, strides


def attention(
    query, key, value, causal, window, scale, bias, key_padding_mask, alibi_slopes, softcap,
    dropout_p, seed, stream, cu_seqlens_q, cu_seqlens_k, out, return_lse,
):  # fmt: skip
    problem = Problem(
        query, key, value, causal, window, scale, bias, key_padding_mask, alibi_slopes, softcap,
        dropout_p, seed, stream, cu_seqlens_q, cu_seqlens_k,
    )  # fmt: skip
    out = problem.destination(
        out, "out", query, problem.out_shape, {"query": query, "key": key, "value": value}
    )
    lse = torch.empty(problem.lse_shape, dtype=torch.float32, device=query.device)
    programs = problem.batch * problem.heads
    if out.numel():
        with torch.cuda.device_of(query):
            FORWARD[lambda meta: (programs * triton.cdiv(problem.longest_q, meta["M"]),)](
                out=out, lse=lse, **strides(out, "out"), **problem.lse_steps(lse),
                **problem.arguments,
            )  # fmt: skip
    return (out, lse) if return_lse else out


def attention_backward(
    grad, query, key, value, out, lse, causal, window, scale, bias, key_padding_mask, alibi_slopes,
    softcap, dropout_p, seed, stream, cu_seqlens_q, cu_seqlens_k, need_dbias, dq_out, dk_out,
    dv_out,
):  # fmt: skip
    problem = Problem(
        query, key, value, causal, window, scale, bias, key_padding_mask, alibi_slopes, softcap,
        dropout_p, seed, stream, cu_seqlens_q, cu_seqlens_k,
    )  # fmt: skip
    for name, x in (("grad", grad), ("out", out)):
        arguments.beside(x, name, query, shape=problem.out_shape)
    arguments.beside(lse, "lse", query, (torch.float32,), problem.lse_shape)
    if need_dbias and bias is None:
        raise ValueError("need_dbias: expected a bias to go with it")
    others = {"grad": grad, "query": query, "key": key, "value": value, "out": out, "lse": lse}
    results = {}
    for name, given, like in (
        ("dq_out", dq_out, query), ("dk_out", dk_out, key), ("dv_out", dv_out, value),
    ):  # fmt: skip
        results[name] = problem.destination(given, name, like, like.shape, {**others, **results})
    dq, dk, dv = results.values()
    grad, out, lse = rows_contiguous(grad), rows_contiguous(out), lse.contiguous()
    delta = torch.empty_like(lse)
    steps = problem.lse_steps(lse)
    common = {
        "grad": grad, "lse": lse, "delta": delta, **strides(grad, "grad"), **steps,
        **problem.arguments,
    }  # fmt: skip
    programs = problem.batch * problem.heads

    def over_queries(meta):
        return (programs * triton.cdiv(problem.longest_q, meta["M"]),)

    def over_keys(meta):
        return (problem.batch * problem.kv_heads * triton.cdiv(problem.longest_k, meta["N"]),)

    with torch.cuda.device_of(query):
        if out.numel():
            DELTA[over_queries](
                out=out, **strides(out, "out"),
                **{name: common[name] for name in DELTA_ARGUMENTS}, DV=problem.arguments["DV"],
                PACKED=problem.packed,
            )  # fmt: skip
            DQ[over_queries](dq=dq, **strides(dq, "dq"), **common)
        if dk.numel():
            DKDV[over_keys](dk=dk, dv_out=dv, **strides(dk, "dk"), **strides(dv, "dv"), **common)
        dbias = bias_gradient(problem, common) if need_dbias else None
    return dq, dk, dv, dbias


DELTA_ARGUMENTS = (
    "grad", "delta", "q_starts", "grad_batch", "grad_row", "grad_head", "lse_batch", "lse_head",
    "Tq", "heads", "value_width", "drop_rows",
)  # fmt: skip
