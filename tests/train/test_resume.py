"""A run that is killed at any moment and resumed ends bitwise like an uninterrupted one."""

import dataclasses
import json
import multiprocessing
import os
import random
import shutil
import signal
import time

import pytest

from pyllm.train import Callback, TrainConfig, Trainer, read_metrics
from pyllm.train.checkpoint import checkpoints, load_state

TEXT = "".join(f"{i} bottles of beer on the wall, {i} bottles of beer.\n" for i in range(400))


@pytest.fixture
def config(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    return TrainConfig(
        data=[str(tmp_path / "text.txt")],
        out=str(tmp_path / "run"),
        tokenizer="char",
        n_layer=2,
        n_head=2,
        n_embd=16,
        context=16,
        batch_size=2,
        dropout=0.1,
        accumulation=2,
        steps=12,
        warmup=5,
        threads=1,
        log_every=1,
        evaluate_every=3,
        checkpoint_every=5,
        keep_checkpoints=1,
        plot=False,
    )


@pytest.fixture
def expected(config):
    return result(run(dataclasses.replace(config, out=config.out + "-whole")))


def run(config, resume=False):
    Trainer(config, resume=resume).train()
    return config


def result(config):
    """What the run has made: weights, state and metrics, without the clock."""
    (last,) = checkpoints(config.out_folder)
    state = load_state(last / "state.safetensors")
    del state["seconds"]
    metrics = [
        {k: v for k, v in line.items() if k not in ("seconds", "tokens_per_second")}
        for line in read_metrics(config.out_folder / "metrics.jsonl")
    ]
    return {
        "step": last.name,
        "weights": (last / "model.safetensors").read_bytes(),
        "state": repr(_bytes_of(state)),
        "metrics": json.dumps(metrics),
    }


def _bytes_of(node):
    if isinstance(node, dict):
        return {key: _bytes_of(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_bytes_of(value) for value in node]
    return node.tobytes() if hasattr(node, "tobytes") else node


def in_child(function, *arguments):
    child = multiprocessing.get_context("fork").Process(target=function, args=arguments)
    child.start()
    return child


def test_two_whole_runs_are_the_same(config, expected):
    assert result(run(config)) == expected


def test_kill_at_random_moments(config, expected):
    rng = random.Random(0)
    started = time.monotonic()
    whole = in_child(run, dataclasses.replace(config, out=config.out + "-timed"))
    whole.join()
    duration = time.monotonic() - started
    kills = 0
    while True:
        child = in_child(run, config, True)
        if kills < 8:
            child.join(rng.uniform(0, duration / 2))
            child.kill()
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
        kills += 1
    assert kills
    assert result(config) == expected


def exit_at(number, config):
    """Run until the `number`-th time that a file is synced, renamed or deleted; then vanish."""
    left = number

    def counted(function):
        def call(*arguments, **keywords):
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(7)
            return function(*arguments, **keywords)

        return call

    for name in ("fsync", "replace", "rename", "unlink", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))
    shutil.rmtree = counted(shutil.rmtree)
    run(config, True)


def test_kill_at_every_kind_of_file_operation(config, expected):
    number = 0
    while True:
        config = dataclasses.replace(config, out=f"{config.out.rstrip('0123456789')}{number}")
        child = in_child(exit_at, number, config)
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == 7
        again = in_child(run, config, True)
        again.join()
        assert again.exitcode == 0, number
        assert result(config) == expected, number
        number += 1 if number < 12 else 4
    assert number > 24


class InterruptAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step(self, trainer, metrics):
        if metrics.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def test_interrupt_saves_and_resume_goes_on(config, expected):
    before = signal.getsignal(signal.SIGINT)
    trainer = Trainer(config, callbacks=[InterruptAt(7)])
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert trainer.step == 7
    assert checkpoints(config.out_folder)[-1].name.endswith("7")
    assert result(run(config, resume=True)) == expected
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_is_not_overwritten_by_accident(config):
    config = dataclasses.replace(config, steps=2)
    run(config)
    with pytest.raises(FileExistsError, match="holds a run already: --resume continues it"):
        Trainer(config)
    with pytest.raises(ValueError, match=r"n_embd: the run in .* has 16, got 32"):
        Trainer(dataclasses.replace(config, n_embd=32), resume=True)
    Trainer(config, replace=True)
    assert not checkpoints(config.out_folder)


def test_a_foreign_folder_is_left_alone(config, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("")
    for arguments in ({}, {"resume": True}, {"replace": True}):
        with pytest.raises(FileExistsError, match="is no run of pyllm"):
            Trainer(config, **arguments)
    assert (tmp_path / "run" / "thesis.tex").exists()
