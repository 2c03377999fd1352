"""Runs the command as a user would: in a process of its own, in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="session")
def pyllm():
    """pyllm("train", "--steps", "3", cwd=folder) -> the finished process."""

    def run(*arguments, cwd):
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        return subprocess.run(
            [sys.executable, "-m", "pyllm", *arguments],
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "100", "OMP_NUM_THREADS": "1"},
            timeout=120,
            check=False,
        )

    return run
