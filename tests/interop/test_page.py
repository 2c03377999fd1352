"""docs/ensembles.md with every library that it shows."""

import matplotlib
import pytest

from tests.ensemble.page import run_page

for library in ("lightgbm", "pandas", "polars", "xgboost"):
    pytest.importorskip(library)


def test_every_block_of_the_page_runs(tmp_path, monkeypatch):
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    assert run_page("docs/ensembles.md") == set()
