"""`pyllm train` and `pyllm generate`, from the outside: what they print, write and refuse."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from pyllm.data import shakespeare

SMALL = (
    "--data", "play.txt", "--tokenizer", "char", "--n-layer", "1", "--n-head", "2",
    "--n-embd", "16", "--context", "32", "--threads", "1", "--no-plot",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(pyllm, tmp_path_factory):
    """A finished run, and what the command printed."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "play.txt").write_text(shakespeare()[:30_000])
    (folder / "settings.toml").write_text("steps = 7\nlearning_rate = 0.01\nsample_tokens = 20")
    done = pyllm("train", "--config", "settings.toml", "--steps", "8", *SMALL, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_options_win_over_the_file(run):
    settings = json.loads((run[0] / "runs/gpt/train.json").read_text())
    assert (settings["steps"], settings["learning_rate"]) == (8, 0.01)


def test_output_says_what_happened(run):
    folder, output = run
    for expected in (
        "M parameters",
        "width 16",
        "step      8   validation loss",
        "bits/byte",
        "A sample",
        "pyllm generate --model runs/gpt",
    ):
        assert expected in output
    lines = (folder / "runs/gpt/metrics.jsonl").read_text().splitlines()
    assert all("step" in json.loads(line) for line in lines)


def test_generate_is_reproducible_and_streams_each_sequence(run, pyllm):
    folder, _ = run
    arguments = ("generate", "ROMEO:", "-n", "30", "--seed", "3", "--samples", "2")
    first, second = (pyllm(*arguments, cwd=folder) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert first.stdout.count("ROMEO:") == 2
    assert "1 of 2" in first.stdout
    stopped = pyllm(*arguments, "--stop", "e", cwd=folder)
    assert "e" not in stopped.stdout.replace("1 of 2", "").replace("2 of 2", "")


def test_interrupt_leaves_politely_and_resume_finishes(run, tmp_path, pyllm):
    (tmp_path / "play.txt").write_text(shakespeare()[:30_000])
    arguments = [sys.executable, "-m", "pyllm", "train", *SMALL, "--steps", "100000"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        arguments, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        metrics = tmp_path / "runs/gpt/metrics.jsonl"
        while not (metrics.is_file() and metrics.stat().st_size):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "pyllm train --resume --out runs/gpt" in output
    step = int(output.split("Stopped after step ")[1].split(";")[0])
    done = pyllm("train", "--resume", "--steps", str(step + 2), "--no-plot", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"Resuming after step {step}." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", *SMALL), "holds a run already: --resume continues it"),
        (("train", "--resume", "--n-embd", "32"), "this cannot change when a run is resumed"),
        (("train", "--data", "none.txt", "--out", "x"), "no file or folder none.txt"),
        (("train", "--learning-rate", "-1", "--out", "x"), "learning_rate: expected 0 or more"),
        (("train", "--config", "none.toml"), "no file none.toml"),
        (("train", "--model", "giant", "--out", "x", *SMALL), "expected one of nano"),
        (("train", *SMALL, "--n-embd", "8000000", "--out", "x"), "Unable to allocate"),
        (("generate", "--model", "x/y"), "neither a checkpoint nor a run"),
        (("generate", "--top-p", "2"), "top_p: expected more than 0"),
        (("generate", "--samples", "0"), "samples: expected at least 1"),
        (("generate", "--device", "tpu"), "device: expected 'cpu', 'cuda' or 'cuda:N'"),
        (("generate", "№"), "lacks ['№']"),
        (("generate", ""), "is empty"),
    ],
)
def test_errors_are_one_line(run, pyllm, arguments, message):
    done = pyllm(*arguments, cwd=run[0])
    assert done.returncode == 1, done.stdout
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
