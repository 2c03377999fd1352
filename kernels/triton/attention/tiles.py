"""Which tile sizes suit a launch of an attention kernel."""

import triton

_COSTLY = ("SOFTCAP", "BIAS", "KEY_MASK", "ALIBI", "DROPOUT")
_KEY = ["D", "DV", "BYTES", "LEFT", "RIGHT", *_COSTLY]


def cost(arguments):
    """What a tile of one size needs in registers, in elements of head size.

    float32 operands are split in three for the tensor cores and are twice as large; scores with a
    bias, a cap or a random mask keep more of themselves alive.
    """
    widest = max(arguments["D"], arguments["DV"])
    options = any(arguments[name] for name in _COSTLY)
    return widest * (8 if arguments["BYTES"] == 4 else 1) * (4 if options else 1)


def tiles(*choices):
    """Configurations, key and condition, for `Tuned`.

    Args:
        choices: (most, M, N, warps, stages): M queries by N keys, for launches that cost at most
            `most`; in dearer ones the registers would not do.
    """
    most = {(m, n, warps, stages): limit for limit, m, n, warps, stages in choices}
    configs = [
        triton.Config({"M": m, "N": n}, num_warps=warps, num_stages=stages)
        for m, n, warps, stages in most
    ]

    def suits(config, arguments):
        size = (config.kwargs["M"], config.kwargs["N"], config.num_warps, config.num_stages)
        return cost(arguments) <= most[size]

    return configs, _KEY, suits
