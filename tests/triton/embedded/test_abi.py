"""What the launcher packs is what the machine code of every entry of the table reads."""

import pytest

from pyllm.kernels.triton.embedded import CAPABILITIES
from tests.triton.ahead_of_time.cubins import parameters, stack
from tests.triton.embedded.driver import table

SIZES = {"pointer": 8, "int32": 4, "int64": 8, "uint32": 4, "uint64": 8, "float32": 4}


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_parameters_of_the_machine_code(capability):
    compiled = [(entry, images[capability]) for entry, _, images in table() if capability in images]
    assert len(compiled) >= 48
    for entry, (image, code) in compiled:
        sizes = [SIZES[p["kind"]] for p in entry["parameters"] if p["kind"] in SIZES]
        expected, offset = [], 0
        for size in (*sizes, 8, 8):  # Triton's two scratch pointers come last
            offset = -(-offset // size) * size
            expected.append((offset, size))
            offset += size
        assert parameters(code, entry["function"]) == expected, entry["name"]
        assert image["threads"] in (128, 256, 512)
        assert image["shared"] <= {80: 99, 90: 227, 100: 227}[capability] << 10  # 8.6 has the least


def test_nothing_is_spilled():
    spilled = [
        (entry["name"], capability)
        for entry, _, images in table()
        for capability, (_, code) in images.items()
        if stack(code) > 0
    ]
    assert spilled == []


def test_no_kernel_twice():
    seen = [(e["function"], *(tuple(p.values()) for p in e["parameters"])) for e, _, _ in table()]
    assert len(set(seen)) == len(seen)
