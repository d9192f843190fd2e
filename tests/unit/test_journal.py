"""The journal: what is kept, found again, put together, and what a damaged file leads to."""

import json
import signal
import sqlite3
import subprocess
import sys

import pytest

from aloe.__main__ import main
from aloe.errors import UserError
from aloe.journal import Entry, Journal
from aloe.params import ROOT

ENTRY = Entry("user", "sandbox:", "simulated", "hi", "stop", 3, 4, 0.5)


def test_a_journal_survives_the_killing_of_its_process(tmp_path):
    program = (
        "import os, signal, sys; from pathlib import Path; from aloe.journal import *\n"
        f"journal = Journal(Path(sys.argv[1])); journal.put('k', {ENTRY!r}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "j.sqlite")], cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    with Journal(tmp_path / "j.sqlite") as journal:
        assert journal.get("k") == ENTRY


def test_two_may_use_one_journal_and_the_first_reply_stays(tmp_path):
    with Journal(tmp_path / "j.sqlite") as one, Journal(tmp_path / "j.sqlite") as two:
        assert one.get("k") is None
        assert one.put("k", ENTRY) == ENTRY
        assert two.put("k", ENTRY._replace(reply="other")) == ENTRY
        assert two.get("k") == ENTRY


def test_an_empty_journal_has_no_totals(tmp_path):
    with Journal(tmp_path / "j.sqlite") as journal:
        assert journal.summary() == []


@pytest.mark.parametrize("damage", [b"no database at all" * 300, b"SQLite format 3\0" + b"x" * 5000])
def test_a_damaged_journal_says_what_to_do_and_is_left_alone(tmp_path, damage):
    path = tmp_path / "j.sqlite"
    path.write_bytes(damage)
    with pytest.raises(UserError, match=r"j\.sqlite is damaged .*Move it away"):
        Journal(path)
    assert path.read_bytes() == damage


def test_damage_found_while_reading_is_a_sentence_too(tmp_path):
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        for number in range(500):
            journal.put(f"{number:05}", ENTRY)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(UserError, match="is damaged"), Journal(path) as journal:
        any(journal.get(f"{number:05}") is None for number in range(500))


def test_a_journal_of_another_version_is_not_touched(tmp_path):
    path = tmp_path / "j.sqlite"
    with Journal(path) as journal:
        journal._file.execute("PRAGMA user_version=99")
    with pytest.raises(UserError, match="another version"):
        Journal(path)


def test_a_journal_that_cannot_be_made_says_so(tmp_path):
    (tmp_path / "j.sqlite").mkdir()
    with pytest.raises(UserError, match="could not be used"):
        Journal(tmp_path / "j.sqlite")


def test_two_journals_are_put_together_and_what_was_there_stays(tmp_path):
    with Journal(tmp_path / "one.sqlite") as one, Journal(tmp_path / "two.sqlite") as two:
        one.put("a", ENTRY)
        two.put("a", ENTRY._replace(reply="other"))
        two.put("b", ENTRY._replace(reply="new", prompt_tokens=None))
        before = (tmp_path / "two.sqlite").read_bytes()
        assert one.merge(tmp_path / "two.sqlite") == 1
        assert one.merge(tmp_path / "two.sqlite") == 0
        assert (one.get("a"), one.get("b")) == (ENTRY, ENTRY._replace(reply="new", prompt_tokens=None))
        assert (tmp_path / "two.sqlite").read_bytes() == before


def test_what_is_no_journal_is_not_merged_and_changes_nothing(tmp_path):
    (tmp_path / "text.sqlite").write_text("no database" * 100)
    sqlite3.connect(tmp_path / "other.sqlite").execute("CREATE TABLE x (y)").connection.close()
    with Journal(tmp_path / "j.sqlite") as journal:
        for name, said in (
            ("none", "does not exist"),
            ("text", "is damaged"),
            ("other", "is no journal of this version"),
        ):
            with pytest.raises(UserError, match=rf"{name}\.sqlite {said}"):
                journal.merge(tmp_path / f"{name}.sqlite")
        assert journal.summary() == []
    assert not (tmp_path / "none.sqlite").exists()


def test_an_export_has_one_line_of_json_per_reply_in_the_order_in_which_they_came(tmp_path):
    with Journal(tmp_path / "j.sqlite") as journal:
        journal.put("z", ENTRY._replace(reply='two\nlines, "é"'))
        journal.put("a", ENTRY)
        assert journal.export(tmp_path / "replies.jsonl") == 2
    first, second = map(json.loads, (tmp_path / "replies.jsonl").read_text(encoding="utf-8").splitlines())
    assert (first["key"], first["reply"], first["created"] <= second["created"]) == ("z", 'two\nlines, "é"', True)
    assert {key: second[key] for key in Entry._fields} == ENTRY._asdict()


def test_the_command_lists_merges_exports_and_says_what_survives(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("aloe.runs.OUTPUTS", tmp_path)
    monkeypatch.setattr("aloe.runs.open_run.__defaults__", (None, tmp_path))
    with Journal(tmp_path / "other.sqlite") as other:
        other.put("a", ENTRY._replace(finish_reason="length"))
    assert main(["journal", "--preset", "smoke"]) == 2
    assert "nothing has been asked" in capsys.readouterr().err
    export = tmp_path / "replies.jsonl"
    command = ["journal", "--preset", "smoke", "--merge", str(tmp_path / "other.sqlite"), "--export", str(export)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "1 replies were taken over" in printed
    role, model, *numbers = printed.splitlines()[3].split()
    assert (role, model, numbers) == ("user", "simulated", ["1", "3", "4", "1", "0.00"])  # one call, cut off
    assert "survives kill -9; a power cut may lose the last few" in printed
    assert len(export.read_text().splitlines()) == 1
