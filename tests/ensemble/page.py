"""A page of the documentation as the blocks of Python on it."""

import re
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```python([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[int, list[str], str]]:
    """(first line, libraries it needs besides the test ones, code) of each block."""
    text = (ROOT / page).read_text()
    return [(text[: m.start(2)].count("\n") + 1, m[1].split(), m[2]) for m in _BLOCK.finditer(text)]


def run_page(page: str) -> set[str]:
    """Runs the blocks in one namespace, but for those whose libraries are not here: returns these.

    A traceback names the page and its line.
    """
    namespace: dict = {"__name__": "page"}
    missing = set()
    for line, needs, code in blocks(page):
        absent = {library for library in needs if find_spec(library) is None}
        missing |= absent
        if not absent:
            exec(compile("\n" * (line - 1) + code, page, "exec"), namespace)
    return missing
