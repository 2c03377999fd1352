"""Every case under pytest-benchmark: our side is the timed one; the peers' medians, measured
interleaved with it, go into `extra_info` of the same record."""

from pyllm.bench import measure


def test_case(benchmark, case, ceilings):
    row = measure(case, ceilings)
    benchmark.extra_info.update(
        {f"{side} seconds": seconds for side, seconds in row.seconds.items()}
        | {f"ratio to {peer}": ratio for peer, ratio in row.ratio.items()}
        | ({} if row.share is None else {"share of the machine's limit": row.share})
    )
    ours = next(iter(case.sides().values()))
    benchmark.pedantic(ours, rounds=case.repeats, iterations=case.calls, warmup_rounds=1)
