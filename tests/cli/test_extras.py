"""A command that lacks an optional package names the extra that brings it."""

import pytest

TINY = (
    "--tokenizer", "char", "--n-layer", "1", "--n-head", "1", "--n-embd", "8", "--context", "8",
    "--steps", "1", "--sample-tokens", "0", "--threads", "1",
)  # fmt: skip


@pytest.mark.parametrize(
    ("package", "arguments", "status", "message"),
    [
        ("matplotlib", ("train", "--data", "play.txt", *TINY), 0, "'pyllm[viz]'"),
        (
            "torch",
            ("bench", "--match", "softmax 2x4"),
            1,
            "bench_softmax.py is left out, it needs torch: pip install 'pyllm[bench]'",
        ),
        (
            "xgboost",
            ("bench", "--suite", "trees", "--match", "predict 1x28"),
            1,
            "(xgboost's) is left out, it needs xgboost: pip install 'pyllm[bench]'",
        ),
    ],
)
def test_the_extra_is_named(pyllm, tmp_path, monkeypatch, package, arguments, status, message):
    missing = tmp_path / "missing"
    missing.mkdir()
    (missing / f"{package}.py").write_text(f"raise ModuleNotFoundError(name={package!r})")
    (tmp_path / "play.txt").write_text("To be, or not to be, that is the question: " * 20)
    monkeypatch.setenv("PYTHONPATH", str(missing))
    done = pyllm(*arguments, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert message in done.stdout
