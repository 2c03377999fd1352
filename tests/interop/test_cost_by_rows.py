"""scripts/tree_rows.py measures and draws; its figures stand in docs/pictures."""

import json

import pytest

from scripts import tree_rows

for library in ("lightgbm", "matplotlib", "xgboost"):
    pytest.importorskip(library)


def test_every_side_is_measured_and_drawn(tmp_path):
    path, picture = tmp_path / "rows.json", tmp_path / "rows.svg"
    tree_rows.measure(path, [1000, 3000], None)
    tree_rows.measure(path, [2000], None)  # adds to the file
    record = json.loads(path.read_text())
    assert set(record["seconds"]) == {"pyllm", "lightgbm", "xgboost"}
    for seconds in record["seconds"].values():
        assert set(seconds) == {"1000", "2000", "3000"}
        assert min(seconds.values()) > 0
    tree_rows.draw(path, picture)
    assert "<svg" in picture.read_text()


def test_figures_of_other_settings_are_not_mixed_in(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps({"settings": {"trees": 1}, "seconds": {}}))
    with pytest.raises(SystemExit, match=r"was measured with \{'trees': 1"):
        tree_rows.measure(path, [1000], None)
