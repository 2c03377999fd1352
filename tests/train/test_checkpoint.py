"""Checkpoint files: any tree of state, whole or absent, oldest ones pruned."""

import ml_dtypes
import numpy as np
import pytest

from pyllm.train.checkpoint import (
    checkpoint_folder,
    checkpoints,
    find_model,
    load_state,
    prune,
    save_state,
)


def test_state_round_trip_is_bitwise(tmp_path, rng):
    state = {
        "step": 3,
        "rate": 0.1,
        "none": None,
        "big": 2**63,
        "nested": [{"a": rng.normal(size=(2, 3)).astype(np.float32)}, "text", True],
        "bf16": rng.normal(size=5).astype(ml_dtypes.bfloat16),
        "bytes": np.arange(7, dtype=np.uint8),
        "empty": np.empty((0, 4), np.float32),
        "by_number": {0: np.ones(1), 1: {"x": 2}},
        "strided": np.arange(10, dtype=np.float32)[::3],
        "scalar": np.float32(1.5),
    }
    save_state(tmp_path / "s", state)
    loaded = load_state(tmp_path / "s")
    assert loaded.keys() == state.keys()
    for name in ("bf16", "bytes", "empty", "strided"):
        assert loaded[name].dtype == state[name].dtype
        assert loaded[name].tobytes() == state[name].tobytes()
        assert loaded[name].flags.writeable
    assert loaded["nested"][0]["a"].tobytes() == state["nested"][0]["a"].tobytes()
    assert loaded["nested"][1:] == ["text", True]
    assert loaded["by_number"][1] == {"x": 2}
    assert (loaded["step"], loaded["rate"], loaded["none"], loaded["big"]) == (3, 0.1, None, 2**63)


def test_damaged_state(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no"):
        load_state(tmp_path / "s")
    save_state(tmp_path / "s", {"x": np.arange(1000)})
    whole = (tmp_path / "s").read_bytes()
    for damaged in (b"", whole[:100], whole[:-1], b"\xff" * 100):
        (tmp_path / "s").write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged"):
            load_state(tmp_path / "s")


def test_prune_keeps_the_newest(tmp_path):
    for step in (5, 10, 20, 100):
        checkpoint_folder(tmp_path, step).mkdir()
    (tmp_path / ".checkpoint-00000200.7.tmp").mkdir()
    (tmp_path / "checkpoint-notes").mkdir()
    prune(tmp_path, 2)
    assert [path.name[-3:] for path in checkpoints(tmp_path)] == ["020", "100"]
    assert not list(tmp_path.glob(".*"))
    assert (tmp_path / "checkpoint-notes").exists()


def test_find_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a checkpoint nor a run"):
        find_model(tmp_path)
    for step in (5, 10):
        checkpoint_folder(tmp_path, step).mkdir()
        (checkpoint_folder(tmp_path, step) / "config.json").write_text("{}")
    assert find_model(tmp_path) == checkpoint_folder(tmp_path, 10)
    assert find_model(checkpoint_folder(tmp_path, 5)) == checkpoint_folder(tmp_path, 5)
