"""Files and folders that are whole or absent."""

import pytest

from pyllm.files import atomic_folder, remove_leftovers, write_atomically, write_text


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_text_is_replaced(tmp_path):
    for text in ("one", "two\né"):
        write_text(tmp_path / "x", text)
        assert (tmp_path / "x").read_text(encoding="utf-8") == text
    assert names(tmp_path) == ["x"]


def test_failure_keeps_the_old_file(tmp_path):
    write_text(tmp_path / "x", "old")

    def fail(path):
        path.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_atomically(tmp_path / "x", fail)
    assert (tmp_path / "x").read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_folder_appears_at_the_end_and_replaces(tmp_path):
    for text in ("one", "two"):
        with atomic_folder(tmp_path / "deep" / "folder") as temporary:
            (temporary / text).write_text(text)
            assert temporary.name != "folder"
        assert names(tmp_path / "deep") == ["folder"]
        assert names(tmp_path / "deep" / "folder") == [text]


def test_failure_keeps_the_old_folder(tmp_path):
    with atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "x").write_text("old")

    def fail():
        with atomic_folder(tmp_path / "folder") as temporary:
            (temporary / "x").write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert (tmp_path / "folder" / "x").read_text() == "old"
    assert names(tmp_path) == ["folder"]


def test_leftovers_of_killed_writers_go(tmp_path):
    (tmp_path / ".model.123.tmp").write_text("half")
    (tmp_path / ".checkpoint-1.123.old").mkdir()
    (tmp_path / ".checkpoint-1.123.old" / "x").write_text("half")
    (tmp_path / ".keep").write_text("mine")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == [".keep"]
