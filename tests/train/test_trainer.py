"""The training loop: it learns, it reports, it stops where it should."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from pyllm.generation import SamplingConfig, generate
from pyllm.models import GPT
from pyllm.train import Callback, TrainConfig, Trainer, read_metrics
from pyllm.train.checkpoint import checkpoints, find_model
from pyllm.train.config import OPTIMIZERS

WORDS = (
    "".join(
        f"the {a} {b} {c}.\n"
        for a, b, c in itertools.product(
            ("red", "blue", "green"), ("cat", "dog", "cow"), ("runs", "eats", "sings")
        )
    )
    * 20
)


@pytest.fixture
def config(tmp_path):
    (tmp_path / "text.txt").write_text(WORDS)
    return TrainConfig(
        data=[str(tmp_path / "text.txt")],
        out=str(tmp_path / "run"),
        tokenizer="char",
        n_layer=1,
        n_head=2,
        n_embd=32,
        context=32,
        steps=120,
        learning_rate=1e-2,
        warmup=5,
        log_every=5,
        evaluate_every=40,
        checkpoint_every=0,
        threads=1,
    )


class Recorder(Callback):
    def __init__(self):
        self.events = []

    def on_start(self, trainer):
        self.events.append("start")

    def on_step(self, trainer, metrics):
        self.events.append(metrics)

    def on_evaluation(self, trainer, metrics):
        self.events.append("evaluation")

    def on_checkpoint(self, trainer, folder):
        self.events.append("checkpoint")

    def on_end(self, trainer):
        self.events.append("end")


def test_learns_and_writes_what_it_has_learnt(config):
    recorder = Recorder()
    trainer = Trainer(config, callbacks=[recorder])
    first = trainer.evaluate()
    trainer.train()
    assert first.validation_loss == pytest.approx(math.log(trainer.tokenizer.vocab_size), rel=0.05)
    lines = read_metrics(trainer.folder / "metrics.jsonl")
    losses = [line["loss"] for line in lines if "loss" in line]
    assert len(losses) == 24
    evaluations = [line for line in lines if "validation_loss" in line]
    assert [line["step"] for line in evaluations] == [40, 80, 120]
    # The text has log(27) / 17 = 0.19 nats a character.
    assert evaluations[-1]["validation_loss"] < 0.6
    bits = evaluations[-1]["validation_loss"] / math.log(2)
    assert evaluations[-1]["bits_per_byte"] == pytest.approx(bits, rel=0.02)
    assert trainer.sample("the ", 30, temperature=0).count("the ") >= 1
    names = [e if isinstance(e, str) else "step" for e in recorder.events]
    assert (names[0], names[-2:]) == ("start", ["checkpoint", "end"])
    assert names.count("step") == 120
    rates = [e.learning_rate for e in recorder.events if not isinstance(e, str)]
    assert np.argmax(rates) in (4, 5)
    assert rates[-1] < 0.1 * rates[5]


@pytest.mark.parametrize(
    ("settings", "state"),
    [({"dtype": "bfloat16"}, "master"), ({"state_bits": 8, "n_embd": 64}, "exp_avg_scale")],
)
def test_narrow_numbers_learn_and_resume(config, settings, state):
    whole = dataclasses.replace(config, **settings)
    trainer = Trainer(whole)
    assert any(state in states for states in trainer.optimizer.state_dict()["states"])
    trainer.train()
    assert trainer.evaluate().validation_loss < 0.7
    half = dataclasses.replace(whole, out=config.out + "-2", checkpoint_every=50)
    stopped = Trainer(half, callbacks=[StopAt(70)])
    with pytest.raises(StopIteration):
        stopped.train()
    resumed = Trainer(half, resume=True)
    assert resumed.step == 50
    resumed.train()
    for one, two in zip(trainer.model.parameters(), resumed.model.parameters(), strict=True):
        assert one.data.dtype.name == whole.dtype
        assert one.data.tobytes() == two.data.tobytes()


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step(self, trainer, metrics):
        if metrics.step == self.step:
            raise StopIteration


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", ["linear", "constant", "inverse_sqrt", "exponential"])
def test_every_optimizer_and_schedule_runs(config, optimizer, schedule):
    config = dataclasses.replace(config, steps=4, optimizer=optimizer, schedule=schedule, warmup=0)
    trainer = Trainer(config)
    before = trainer.evaluate().validation_loss
    trainer.train()
    assert trainer.evaluate().validation_loss < before


def test_checkpoint_is_the_model(config):
    trainer = Trainer(dataclasses.replace(config, steps=3))
    trainer.train()
    read = GPT.from_pretrained(find_model(trainer.folder))
    read.eval()
    greedy = SamplingConfig(temperature=0)
    got = generate(read, trainer.tokenizer, ["the cat"], 20, greedy)[0]
    assert got == trainer.sample("the cat", 20, temperature=0)


def test_evaluation_changes_nothing(config):
    config = dataclasses.replace(config, steps=6, dropout=0.2)
    often = dataclasses.replace(config, out=config.out + "-often", evaluate_every=1)
    weights = []
    for settings in (config, often):
        Trainer(settings).train()
        weights.append((find_model(settings.out_folder) / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_accumulation_is_a_larger_batch(config):
    """Two half batches give the gradient of the whole, up to the order of the sums."""
    config = dataclasses.replace(config, steps=3, learning_rate=1e-3)
    whole = dataclasses.replace(config, batch_size=8, accumulation=1)
    halves = dataclasses.replace(config, out=config.out + "-2", batch_size=4, accumulation=2)
    models = []
    for settings in (whole, halves):
        trainer = Trainer(settings)
        trainer.train()
        models.append(trainer.model)
    for one, two in zip(*(model.parameters() for model in models), strict=True):
        np.testing.assert_allclose(one.data, two.data, atol=2e-5)


def test_fine_tuning_starts_from_the_weights(config):
    first = Trainer(config)
    first.train()
    second = Trainer(
        TrainConfig(
            data=config.data,
            out=config.out + "-2",
            init_from=config.out,
            threads=1,
            steps=1,
        )
    )
    assert second.model.config.n_embd == 32
    assert second.tokenizer.to_json() == first.tokenizer.to_json()
    assert second.evaluate().validation_loss < 0.6
    with pytest.raises(ValueError, match="n_layer: the shape comes with the weights"):
        Trainer(dataclasses.replace(config, out=config.out + "-3", init_from=config.out))


def test_token_folder_as_data(config):
    Trainer(dataclasses.replace(config, steps=1)).train()
    tokens = str(config.out_folder / "tokens")
    again = Trainer(dataclasses.replace(config, data=[tokens], out=config.out + "-2", steps=1))
    again.train()
    assert not (again.folder / "tokens").exists()
    with pytest.raises(ValueError, match="cannot be mixed"):
        Trainer(dataclasses.replace(config, data=[tokens, *config.data], out=config.out + "-3"))


def test_a_diverged_run_says_so(config):
    trainer = Trainer(config)
    trainer.model.parameters()[0].data[...] = np.inf
    with (
        pytest.raises(FloatingPointError, match="try a lower learning_rate"),
        np.errstate(all="ignore"),
    ):
        trainer.train()
    assert not checkpoints(trainer.folder)


def test_too_little_text(config, tmp_path):
    (tmp_path / "short.txt").write_text("too short\n")
    with pytest.raises(ValueError, match="one window needs 33"):
        Trainer(dataclasses.replace(config, data=[str(tmp_path / "short.txt")]))
