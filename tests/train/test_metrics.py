"""metrics.jsonl and the loss curve."""

import json

import pytest

from pyllm.train.callbacks import read_metrics
from pyllm.train.plot import plot_loss


def test_a_cut_last_line_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_metrics(path) == [{"step": 1, "loss": 2.0}]


def test_plot(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(FileNotFoundError, match="has no lines"):
        plot_loss(tmp_path)
    lines = [{"step": i, "loss": 4.0 - i / 10} for i in range(1, 20)]
    lines.append({"step": 19, "validation_loss": 2.0})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert plot_loss(tmp_path).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
