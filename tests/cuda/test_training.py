"""The training loop on a device: as on the CPU, resumed on either, and where there is none."""

import dataclasses

import numpy as np
import pytest

from pyllm import cuda
from pyllm.models import GPT
from pyllm.train import TrainConfig, Trainer
from pyllm.train.checkpoint import find_model
from tests.cuda.emulator.module import emulated_module


@pytest.fixture
def config(tmp_path):
    (tmp_path / "text.txt").write_text("the red cat runs.\nthe blue dog eats.\n" * 40)
    return TrainConfig(
        data=[str(tmp_path / "text.txt")],
        out=str(tmp_path / "cpu"),
        tokenizer="char",
        n_layer=1,
        n_head=2,
        n_embd=16,
        context=8,
        batch_size=2,
        steps=3,
        warmup=1,
        dropout=0.1,
        evaluate_every=0,
        checkpoint_every=2,
        threads=1,
    )


def test_trains_and_resumes_on_either(config, tmp_path, monkeypatch):
    monkeypatch.setattr(cuda, "extension", emulated_module)
    runs = []
    for device in ("cpu", "cuda"):
        own = dataclasses.replace(config, out=str(tmp_path / device), device=device)
        trainer = Trainer(own)
        trainer.train()
        assert len(trainer.sample("the", 4)) == 4
        runs.append(GPT.from_pretrained(find_model(trainer.folder)).state_dict())
    for name, array in runs[0].items():
        np.testing.assert_allclose(runs[1][name], array, atol=2e-5, err_msg=name)
    for device, other in (("cpu", "cuda"), ("cuda", "cpu")):
        more = dataclasses.replace(config, out=str(tmp_path / device), device=other, steps=5)
        trainer = Trainer(more, resume=True)
        assert trainer.step == 3
        trainer.train()
        assert trainer.model.wte.weight.device.startswith(other)


def test_no_device(config, monkeypatch):
    monkeypatch.setattr(cuda, "extension", lambda: None)
    with pytest.raises(ValueError, match="cuda cannot be used: built without CUDA"):
        Trainer(dataclasses.replace(config, device="cuda"))
    monkeypatch.setattr(cuda, "extension", emulated_module)
    with pytest.raises(ValueError, match="cuda:5 cannot be used: there are 2"):
        Trainer(dataclasses.replace(config, device="cuda:5"))
    with pytest.raises(ValueError, match="device: expected 'cpu'"):
        Trainer(dataclasses.replace(config, device="tpu"))
