"""`pyllm prepare`, from the outside."""

import pytest

from pyllm.data import TokenFile, shakespeare


def test_prepare_writes_a_folder_and_says_what_is_in_it(pyllm, tmp_path):
    (tmp_path / "play.txt").write_text(shakespeare()[:60_000])
    done = pyllm("prepare", "play.txt", "-o", "tokens", "--vocab-size", "300", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "300" in done.stdout
    assert "pyllm train --data tokens" in done.stdout
    assert len(TokenFile.open(tmp_path / "tokens")) > 10_000
    again = pyllm("prepare", "play.txt", "-o", "tokens", cwd=tmp_path)
    assert again.returncode == 1
    assert "--force" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prepare", "missing.txt", "-o", "x"), "no file or folder missing.txt"),
        (("prepare", ".", "-o", "x"), "no .txt"),
        (("prepare", "a.txt", "-o", "x", "--tokenizer", "none.json"), "no file none.json"),
        (("prepare", "a.txt", "-o", ".", "--force"), "no folder of token files"),
    ],
)
def test_errors_are_one_line(pyllm, tmp_path, arguments, message):
    (tmp_path / "sub").mkdir()
    if arguments[1] == "a.txt":
        (tmp_path / "a.txt").write_text("text\n")
    done = pyllm(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
