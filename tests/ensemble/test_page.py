"""What docs/ensembles.md shows is run, block by block."""

import re

import matplotlib
import pytest

from pyllm.ensemble import GradientBoostingRegressor
from tests.ensemble.page import ROOT, blocks, run_page

PAGE = "docs/ensembles.md"


def test_the_page_runs(tmp_path, monkeypatch):
    """Blocks that need tables or peers run where these are installed."""
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    assert run_page(PAGE) <= {"pandas", "polars", "lightgbm", "xgboost"}
    assert {p.name for p in tmp_path.iterdir()} >= {"explanations.svg", "tree.svg"}


def test_a_block_that_fails_names_its_line():
    line, _, _ = blocks(PAGE)[0]
    text = (ROOT / PAGE).read_text().splitlines()
    assert text[line - 2].startswith("```python")
    assert text[line - 1] == "from sklearn.datasets import load_breast_cancer"


def test_links_lead_somewhere():
    text = (ROOT / PAGE).read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / "docs" / target).exists(), target


def test_the_settings_listed_are_those_there_are():
    table = (ROOT / PAGE).read_text().partition("names you know")[2].partition("## Averaged")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = {m for row in rows for m in re.findall(r"`(\w+)[`=(]", row)}
    known = set(GradientBoostingRegressor().get_params())
    assert len(rows) > 25
    unknown = named - known - {"_bylevel", "_bynode", "base_margin", "refit"}
    assert not unknown
    with_default = dict(re.findall(r"`(\w+)=([\d.e-]+|None)`", " ".join(rows)))
    for name, value in with_default.items():
        assert str(GradientBoostingRegressor().get_params()[name]) == value or (
            float(value) == GradientBoostingRegressor().get_params()[name]
        ), name
    assert with_default


@pytest.mark.parametrize("library", ["pandas", "lightgbm"])
def test_what_a_block_needs_stands_in_its_first_line(library):
    assert any(library in needs for _, needs, _ in blocks(PAGE))
