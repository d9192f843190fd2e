"""Tests of `aloe.writing`."""

import errno
import os
from pathlib import Path

import pytest

from aloe import writing
from aloe.errors import UserError
from aloe.writing import write_bytes, write_text


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "results.jsonl"
    write_text(path, "old")

    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing.os, "fsync", fail)
    with pytest.raises(UserError, match=r"results\.jsonl could not be written: the disk is full"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_that_is_no_full_disk_stays_what_it_is(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_bytes(tmp_path / "folder", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_really_full_device_is_a_sentence():
    explained = writing.explained_disk_errors(Path("x"))
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(UserError, match="disk is full"), explained:
        full.write(b"x")
