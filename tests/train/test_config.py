"""Training settings: files, types, messages."""

import pytest

from pyllm.train.config import TrainConfig


def test_defaults_are_valid():
    TrainConfig().check()


def test_toml_and_json_say_the_same(tmp_path):
    (tmp_path / "a.toml").write_text('data = "x.txt"\nlearning-rate = 1\nn_layer = 3\nplot = false')
    (tmp_path / "a.json").write_text(
        '{"data": ["x.txt"], "learning_rate": 1.0, "n_layer": 3, "plot": false}'
    )
    config = TrainConfig.load(tmp_path / "a.toml")
    assert config == TrainConfig.load(tmp_path / "a.json")
    assert config.data == ["x.txt"]
    assert isinstance(config.learning_rate, float)


def test_saved_settings_come_back(tmp_path):
    config = TrainConfig(data=["a", "b"], n_head=2, prompt="é\n")
    config.save(tmp_path / "train.json")
    assert TrainConfig.load(tmp_path / "train.json") == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rat = 1", "no setting 'learning_rat'; did you mean learning_rate"),
        ('steps = "many"', "steps expects int, got 'many'"),
        ("steps = 1.5", "steps expects int, got 1.5"),
        ("steps = true", "steps expects int, got True"),
        ("data = [1]", "data expects"),
        ("n_layer = 0.5", "n_layer expects"),
        ("steps", "a.toml"),
    ],
)
def test_wrong_files(tmp_path, text, message):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        TrainConfig.load(tmp_path / "a.toml")


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        TrainConfig.load(tmp_path / "a.toml")
    (tmp_path / "a.yaml").write_text("")
    with pytest.raises(ValueError, match=r"expected a \.toml or \.json file"):
        TrainConfig.load(tmp_path / "a.yaml")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ValueError, match="expected settings by name, got list"):
        TrainConfig.load(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"steps": 0}, "steps: expected at least 1, got 0"),
        ({"n_layer": 0}, "n_layer: expected at least 1"),
        ({"clip": -1.0}, "clip: expected 0 or more"),
        ({"dropout": 1.0}, "dropout: expected at least 0 and below 1"),
        ({"optimizer": "adagrad"}, "optimizer: expected one of adamw, adam, adafactor"),
        ({"dtype": "float16"}, "dtype: expected one of float32, bfloat16"),
        ({"prompt": ""}, "prompt: expected some text"),
        ({"learning_rate": float("nan")}, "learning_rate: expected 0 or more"),
    ],
)
def test_senseless_values(bad, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**bad).check()
