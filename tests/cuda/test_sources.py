"""Rules that the CUDA sources keep."""

import json
import re
from pathlib import Path

from tests.cuda.emulator.build import KERNELS


def test_all_inline_ptx_is_in_one_file():
    with_asm = {
        f.name
        for f in [*KERNELS.glob("*.cuh"), *KERNELS.glob("*.cu"), *KERNELS.glob("*.h")]
        if re.search(r"\basm\b", f.read_text())
    }
    assert with_asm == {"device.cuh"}


def test_every_family_has_a_budget():
    budgets = json.loads((Path(__file__).parent / "static" / "budgets.json").read_text())
    assert set(budgets) == {f.stem for f in KERNELS.glob("*.cu")}
