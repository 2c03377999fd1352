"""`pytest benchmarks` runs every case through pytest-benchmark, one group a case."""

import pytest

from pyllm.bench import Ceilings, load_cases, measure_ceilings


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        cases = load_cases()
        metafunc.parametrize("case", cases, ids=[case.name for case in cases])


@pytest.fixture(scope="session")
def ceilings() -> Ceilings:
    return measure_ceilings()
