"""The text that ships with the package: Shakespeare's plays (shakespeare.md says from where)."""

import hashlib
import lzma
from importlib.resources import files

SHA256 = "701b5f91b599db4b5c7c61bccd4e1414d51526626a45b1e2a444d5fce5bfee5e"


def shakespeare() -> str:
    """38 plays, 5.0 MB of ASCII: speaker names, speeches, stage directions in square brackets.

    Raises:
        ValueError: the installed file is damaged.
    """
    data = lzma.decompress((files("pyllm.data") / "shakespeare.txt.xz").read_bytes())
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise ValueError("shakespeare.txt.xz is damaged (wrong SHA-256); reinstall pyllm")
    return data.decode("ascii")
