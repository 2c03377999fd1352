"""The training loop.

    from pyllm.train import TrainConfig, Trainer

    trainer = Trainer(TrainConfig(data=["input.txt"], out="runs/mine", steps=1000))
    trainer.train()
    print(trainer.sample("Once upon a time"))

A run is a folder: config.json, tokens/ (memory-mapped), checkpoint-N/, metrics.jsonl, loss.png. The
parameters after step n are a function of the settings alone: batches come from (seed, position),
dropout from (seed, stream), kernels are deterministic at a given thread count. A checkpoint holds
all that the next step depends on, so a resumed run ends with bitwise the same parameters.
"""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pyllm
from pyllm.autograd import no_grad
from pyllm.data import BatchSampler, TokenFile
from pyllm.data.sampler import validation_batches
from pyllm.files import atomic_folder
from pyllm.generation import SamplingConfig, generate
from pyllm.train import checkpoint
from pyllm.train.callbacks import Callback, EvaluationMetrics, MetricsFile, StepMetrics
from pyllm.train.config import TrainConfig
from pyllm.train.optimizer import make_optimizer, make_schedule
from pyllm.train.setup import build_model, open_data, open_run


class Trainer:
    """A run: set up by the constructor, worked through by `train`.

    Args:
        config: the settings.
        resume: continue from the newest checkpoint in config.out, if there is one; settings that
            the run began with and that would change its model or data may not differ.
        replace: delete a run that is in config.out.
        callbacks: called after the metrics file.

    Attributes:
        step: updates done so far.
        model, tokenizer, optimizer, folder, config: the parts.

    Raises:
        ValueError: a setting makes no sense.
        FileExistsError: config.out holds a run, and neither resume nor replace is asked for.
        FileNotFoundError: data, tokenizer or initial weights are not there.
    """

    def __init__(
        self,
        config: TrainConfig,
        *,
        resume: bool = False,
        replace: bool = False,
        callbacks: list[Callback] | None = None,
    ) -> None:
        config.check()
        self.folder = config.out_folder
        self.config = config = open_run(self.folder, config, resume=resume, replace=replace)
        assert config.threads is not None
        pyllm.set_num_threads(config.threads)
        pyllm.seed(config.seed)
        self.tokenizer, token_folder = open_data(config, self.folder)
        self.model = build_model(config, self.tokenizer)
        self.model.to(config.device)
        self.optimizer = make_optimizer(self.model, config)
        self._schedule = make_schedule(config)
        length = self.model.config.n_positions
        self._sampler = BatchSampler(
            TokenFile.open(token_folder, "train"), config.batch_size, length, config.seed
        )
        self._validation = TokenFile.open(token_folder, "validation")
        self._callbacks = [MetricsFile(), *(callbacks or [])]
        self.step = 0
        self.seconds_per_step = 0.0
        self._seconds = 0.0
        self._interrupted = False
        if found := checkpoint.checkpoints(self.folder):
            self._restore(found[-1])
            checkpoint.prune(self.folder, config.keep_checkpoints)

    @property
    def training_tokens(self) -> int:
        """Tokens in the training data."""
        return self._sampler.tokens

    def train(self) -> None:
        """Run the remaining steps. Ctrl-C ends it after the current step, with a checkpoint.

        Raises:
            KeyboardInterrupt: after Ctrl-C, once the checkpoint is written.
            FloatingPointError: the loss is no longer finite; the last checkpoint is kept.
        """
        self._notify("on_start")
        started = time.perf_counter() - self._seconds
        try:
            with self._interruptible():
                while self.step < self.config.steps and not self._interrupted:
                    self._train_step(started)
            if self._interrupted:
                self.save()
                raise KeyboardInterrupt
        finally:
            self._notify("on_end")

    def _train_step(self, started: float) -> None:
        before = time.perf_counter()
        config = self.config
        rate = self._schedule(self.step)
        loss, norm = self._update(rate)
        self.step += 1
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise FloatingPointError(
                f"step {self.step}: loss {loss}, gradient norm {norm}; try a lower learning_rate "
                "or clip, or dtype float32"
            )
        now = time.perf_counter()
        self._seconds = now - started
        took = now - before
        recent = self.seconds_per_step or took
        self.seconds_per_step = recent + 0.05 * (took - recent)
        tokens = config.batch_size * self._sampler.length * config.accumulation
        metrics = StepMetrics(
            self.step, loss, rate, norm, tokens / self.seconds_per_step, self._seconds
        )
        self._notify("on_step", metrics)
        last = self.step == config.steps
        due = config.evaluate_every and (self.step % config.evaluate_every == 0 or last)
        if due and (measured := self.evaluate()):
            self._notify("on_evaluation", measured)
        if last or (config.checkpoint_every and self.step % config.checkpoint_every == 0):
            self.save()

    def _update(self, rate: float) -> tuple[float, float]:
        """One step of the optimizer: (mean loss, norm of the gradient before clipping)."""
        parts = self.config.accumulation
        self.model.train()
        self.optimizer.zero_grad()
        total = 0.0
        for _ in range(parts):
            inputs, targets = self._sampler.next()
            loss = self.model.loss(inputs, targets)
            (loss / parts if parts > 1 else loss).backward()
            total += loss.item()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        norm = self.optimizer.step()
        return total / parts, norm

    def evaluate(self) -> EvaluationMetrics | None:
        """Mean loss over the validation windows; None if there is too little text for one."""
        batches = validation_batches(
            self._validation,
            self.config.batch_size,
            self._sampler.length,
            self.config.evaluate_batches or None,
        )
        if not batches:
            return None
        self.model.eval()
        total = windows = 0.0
        with no_grad():
            for starts in batches:
                inputs, targets = self._validation.windows(starts, self._sampler.length)
                total += self.model.loss(inputs, targets).item() * len(starts)
                windows += len(starts)
        loss = total / windows
        size = self._validation.text_bytes
        bits = loss / math.log(2) * len(self._validation) / size if size else None
        return EvaluationMetrics(self.step, loss, bits, self._seconds)

    def sample(self, prompt: str = "\n", tokens: int = 200, **sampling: Any) -> str:
        """Text that the model writes after `prompt`; keywords as in `SamplingConfig`."""
        self.model.eval()
        settings = SamplingConfig(**{"temperature": 0.8, "top_p": 0.95, **sampling})
        return generate(self.model, self.tokenizer, [prompt], tokens, settings)[0]

    def save(self) -> Path:
        """Write a checkpoint of the current step, then delete those that are too old."""
        folder = checkpoint.checkpoint_folder(self.folder, self.step)
        state = {
            "step": self.step,
            "seconds": self._seconds,
            "batches": self._sampler.position,
            "random": pyllm.random.get_state(),
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic_folder(folder) as temporary:
            self.model.save_pretrained(temporary)
            (temporary / "tokenizer.json").write_text(self.tokenizer.to_json(), encoding="utf-8")
            checkpoint.save_state(temporary / "state.safetensors", state)
        self._notify("on_checkpoint", folder)
        checkpoint.prune(self.folder, self.config.keep_checkpoints)
        return folder

    def _restore(self, folder: Path) -> None:
        self.model.load_pretrained(folder)
        state = checkpoint.load_state(folder / "state.safetensors")
        self.step, self._seconds = state["step"], state["seconds"]
        self._sampler.position = state["batches"]
        pyllm.random.set_state(state["random"])
        # The settings of its groups are this run's, which may differ from those it began with.
        groups = self.optimizer.state_dict()["groups"]
        self.optimizer.load_state_dict({**state["optimizer"], "groups": groups})

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C asks for an end after the step, the second one ends at once."""

        def on_signal(number: int, frame: FrameType | None) -> None:
            if self._interrupted:
                raise KeyboardInterrupt
            self._interrupted = True

        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may set handlers
            return
        before = signal.signal(signal.SIGINT, on_signal)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _notify(self, event: str, *arguments: Any) -> None:
        for callback in self._callbacks:
            getattr(callback, event)(self, *arguments)
