# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The file of the history: what is added up in it, how large it becomes, and what may befall it."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from programs import environment

from genro_executor_plugin.console.past import file as file_module
from genro_executor_plugin.console.past import tables
from genro_executor_plugin.console.past.figures import Entry, Figures, Marker, rise
from genro_executor_plugin.console.past.file import HistoryFile, HistoryFileError
from genro_executor_plugin.console.past.query import HistoryQuery, answer_to
from genro_executor_plugin.metrics.counters import BOUNDS, Histogram, quantile

NOON = 1_700_000_000.0 // 900 * 900
HOUR = 3600.0


def one(at: float, pool: str = "pdf", route: str = "", **figures: Any) -> Entry:
    figures.setdefault("seconds", 30.0)
    figures.setdefault("outcomes", (1, 0, 0, 0, 0, 0))
    return Entry(at, pool, route, Figures(**figures))


def history(folder: Path, *, ours: bool = False) -> HistoryFile:
    return HistoryFile(folder / "history.sqlite", ours=ours)


def test_what_several_wrote_of_the_same_time_is_added_up(tmp_path: Path) -> None:
    first, second = history(tmp_path), history(tmp_path)
    figures = {"outcomes": (6, 1, 2, 0, 1, 0), "busy": 30.0, "queued": 60.0, "queued_most": 4}
    for file in (first, second):
        for at in (NOON + 15, NOON + 45):
            file.write([one(at, run={100: 2, 90: 1}, wait={5: 1}, **figures)], [], NOON + 60)
    (minute,) = first.read(60, NOON, NOON + 60)
    assert minute.at == NOON
    # Two processes were there for a minute, and not one for two.
    assert minute.figures.seconds == 60
    assert minute.figures.outcomes == (24, 4, 8, 0, 4, 0)
    assert minute.figures.run == {90: 4, 100: 8}
    point = minute.figures.point()
    assert point["completed_per_second"] == 24 / 60
    assert point["errors_per_second"] == 8 / 60
    assert point["rejected_per_second"] == 8 / 60
    assert (point["busy"], point["queued"], point["queued_most"]) == (2.0, 4.0, 4)
    # The longer stretches have the same sums.
    for level in tables.LEVELS:
        assert first.read(level, NOON, NOON + level)[0].figures.outcomes[0] == 24


def test_quantiles_are_those_of_all_that_ran(tmp_path: Path) -> None:
    """Also over longer stretches, where a quantile of quantiles would be wrong."""
    file, together = history(tmp_path), Histogram()
    for minute, seconds in enumerate((0.001, 0.001, 0.5, 40.0)):
        counted = Histogram()
        for _ in range(10 if minute < 3 else 1):
            counted.add(seconds)
        together.add_all(counted)
        file.write([one(NOON + 60 * minute, run=rise(None, counted.counts))], [], NOON + 300)
    (found,) = file.read(300, NOON, NOON + 300)
    for name, share in (("run_p50_ms", 0.5), ("run_p95_ms", 0.95)):
        expected = quantile(together.counts, share)
        assert expected is not None
        assert found.figures.point()[name] == expected * 1000
    assert found.figures.point()["wait_p95_ms"] is None


def test_counters_that_begin_anew_count_from_zero() -> None:
    assert rise(None, (0, 2)) == {1: 2}
    assert rise((1, 2), (1, 5)) == {1: 3}
    assert rise((7, 9), (1, 2)) == {0: 1, 1: 2}


def test_what_is_older_than_three_days_is_gone_and_nobody_reads_more_points_than_fit(
    tmp_path: Path,
) -> None:
    file = history(tmp_path)
    old, now = NOON - 73 * HOUR, NOON
    file.write([one(old), one(now)], [Marker(old, "start", "long ago")], old)
    assert len(file.read(60, 0, now + 60)) == 2
    markers = [Marker(now - 300 + number, "change", f"{number}", "ada") for number in range(250)]
    file.write([one(now, "db"), one(now, route="a/b")], markers, now)
    assert [entry.pool for entry in file.read(60, 0, now + 60)] == ["pdf", "db"]
    assert [entry.pool for entry in file.read(60, 0, now + 60, pool="db")] == ["db"]
    for hours, step, points in ((0.25, 60, 16), (6, 60, 361), (24, 300, 289), (72, 900, 289)):
        answer = answer_to(HistoryQuery(now + 1 - hours * HOUR, now + 1), file, now)
        assert (answer["step"], len(answer["at"])) == (step, points)
        assert answer["series"][0]["points"]["completed_per_second"][-1] > 0
        assert len(answer["markers"]) == 200
        assert answer["markers"][-1]["what"] == "249"
        assert answer["markers_left_out"] == 50
    (series,) = answer_to(HistoryQuery(now - 600, now + 1, route="a/b"), file, now)["series"]
    assert (series["pool"], series["route"], series["totals"]["completed"]) == ("pdf", "a/b", 1)


def test_its_size_has_a_limit_and_the_newest_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "MOST_BYTES", 200_000)
    file, run = history(tmp_path), dict.fromkeys(range(100), 7)
    for number in range(0, 400, 10):
        minutes = range(number, number + 10)
        file.write([one(NOON + 60 * n, run=run) for n in minutes], [], NOON + 60 * number)
        assert file.path.stat().st_size <= 200_000
    found = file.read(60, 0, NOON + 1e6)
    assert 100 < len(found) < 400
    assert found[-1].at == NOON + 60 * 399
    assert [b.at - a.at for a, b in pairwise(found)] == [60] * (len(found) - 1)


# -- damage ---------------------------------------------------------------------------------------


def filled(folder: Path, *, ours: bool = True) -> HistoryFile:
    file = history(folder, ours=ours)
    file.write([one(NOON + 60 * n, run={1: 1, 2: 2}) for n in range(300)], [], NOON)
    assert file.path.stat().st_size > 40_000
    return file


def overwritten(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def edited(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


DAMAGES = {
    "garbage in the middle": lambda path: overwritten(path, 4096, os.urandom(20_000)),
    "zeros at the begin": lambda path: overwritten(path, 0, bytes(4096)),
    "truncated": lambda path: os.truncate(path, 9_000),
    "a text": lambda path: path.write_text("hello " * 1000),
    "a table is gone": lambda path: edited(path, "DROP TABLE series"),
    "a row is wrong": lambda path: edited(path, "UPDATE figures SET run = x'00'"),
    "a number is none": lambda path: edited(path, "UPDATE figures SET busy = 'x'"),
    "a text is none": lambda path: edited(path, "UPDATE series SET pool = CAST(x'ff' AS TEXT)"),
    "an old format": lambda path: edited(path, "PRAGMA user_version = 0"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("first", ["read", "write"])
def test_a_damaged_file_is_set_aside_and_a_new_one_begins(
    tmp_path: Path, damage: str, first: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    file = filled(tmp_path)
    DAMAGES[damage](file.path)
    content = file.path.read_bytes()
    if first == "read":
        assert file.read(60, 0, NOON + 1e6) == []
    file.write([one(NOON)], [], NOON)
    file.read(60, 0, NOON + 1e6)  # some damage is seen by who reads, and not by who adds
    file.write([one(NOON)], [], NOON)
    assert [entry.at for entry in file.read(60, 0, NOON + 1e6)] == [NOON]
    (told,) = [record.getMessage() for record in caplog.records]
    assert "is damaged: " in told
    aside = Path(f"{file.path}.damaged")
    assert f"It is {aside} now, and a new one begins" in told
    assert len(aside.read_bytes()) == len(content)


def test_an_empty_file_is_taken(tmp_path: Path) -> None:
    file = history(tmp_path)
    file.path.touch(mode=0o600)
    assert file.read(60, 0, NOON + 1e6) == []
    file.write([one(NOON)], [], NOON)
    assert len(file.read(60, 0, NOON + 1e6)) == 1


@pytest.mark.parametrize("foreign", ["a text", "a database", "an empty database of another"])
def test_a_file_of_somebody_else_is_never_touched(tmp_path: Path, foreign: str) -> None:
    file = history(tmp_path)
    if foreign == "a text":
        file.path.write_text("the only copy of my thesis " * 100)
    else:
        edited(file.path, "CREATE TABLE thesis (text TEXT)")
        edited(file.path, "PRAGMA application_id = 7" if "empty" in foreign else "SELECT 1")
    file.path.chmod(0o600)
    content = file.path.read_bytes()
    for _ in range(2):
        with pytest.raises(HistoryFileError, match=r"no history of a console.*history=\.\.\."):
            file.write([one(NOON)], [], NOON)
        with pytest.raises(HistoryFileError, match="left as it is"):
            file.read(60, 0, NOON)
    assert file.path.read_bytes() == content
    assert os.listdir(tmp_path) == [file.path.name]


def test_what_a_newer_version_wrote_is_left_as_it_is(tmp_path: Path) -> None:
    file = filled(tmp_path)
    edited(file.path, f"PRAGMA user_version = {tables.FORMAT + 1}")
    content = file.path.read_bytes()
    with pytest.raises(HistoryFileError, match=r"a newer version.*Take it away, or give"):
        file.write([one(NOON)], [], NOON)
    assert file.path.read_bytes() == content


def test_a_file_of_the_first_format_is_read_and_written(tmp_path: Path) -> None:
    """It was written by version 0.1, with two writings in one minute, a route and markers."""
    file = history(tmp_path)
    file.path.write_bytes((Path(__file__).parent / "stores" / "history-1.sqlite").read_bytes())
    file.path.chmod(0o600)
    (minute,) = file.read(60, NOON, NOON + 60, pool="pdf")
    assert minute.figures == Figures(
        60.0, (8, 2, 0, 0, 1, 0), 45.0, 90.0, 3, {100: 5, 150: 4}, {7: 9}
    )
    (route,) = file.read(300, NOON, NOON + 60, route="shop/report")
    assert (route.pool, route.figures.outcomes) == ("pdf", (4, 1, 0, 0, 0, 0))
    assert file.markers(NOON, NOON + 60, 9) == (
        [
            Marker(NOON + 1, "start", "server started: process 7 on shop, version 0.1.0"),
            Marker(NOON + 2.5, "change", "pool pdf: paused", "ada from 10.0.0.7"),
        ],
        2,
    )
    file.write([one(NOON + 50)], [], NOON + 60)
    (minute,) = file.read(60, NOON, NOON + 60, pool="pdf")
    assert minute.figures.outcomes == (9, 2, 0, 0, 1, 0)


def test_the_bounds_of_the_buckets_belong_to_the_format() -> None:
    """Who changes them raises FORMAT, or counts that were written before are read wrongly."""
    digest = hashlib.sha256(repr([f"{bound:.6g}" for bound in BOUNDS]).encode()).hexdigest()[:16]
    assert (tables.FORMAT, len(BOUNDS), digest) == (1, 273, "198156082bd0a8f7")


def test_a_place_that_is_no_file_of_ours_is_refused(tmp_path: Path) -> None:
    def told(file: HistoryFile) -> str:
        with pytest.raises(HistoryFileError) as caught:
            file.write([one(NOON)], [], NOON)
        return str(caught.value)

    file = history(tmp_path)
    file.path.mkdir()
    assert "a link, or no file. Take it away" in told(file)
    file.path.rmdir()
    file.path.symlink_to(tmp_path / "elsewhere")
    assert "a link, or no file. Take it away" in told(file)
    file.path.unlink()
    os.mkfifo(file.path)  # it would hold up who opens it
    assert "a link, or no file. Take it away" in told(file)
    file.path.unlink()
    file.path.touch()
    file.path.chmod(0o666)
    assert "mode 0666: others may write it. Use chmod go-w" in told(file)
    inside = HistoryFile(file.path / "below" / "history.sqlite", ours=True)
    assert "Not a directory" in told(inside)
    assert inside.path.parent.exists() is False


def test_a_file_that_is_deleted_is_made_again_for_its_owner_alone(tmp_path: Path) -> None:
    file = HistoryFile(tmp_path / "new" / "deep" / "history.sqlite", ours=True)
    assert file.read(60, 0, NOON) == []
    assert not file.path.parent.exists()
    before = os.umask(0)
    try:
        for _ in range(2):
            file.write([one(NOON)], [], NOON)
            assert len(file.read(60, 0, NOON + 60)) == 1
            assert file.path.stat().st_mode & 0o777 == 0o600
            assert file.path.parent.stat().st_mode & 0o777 == 0o700
            file.path.unlink()
            file.path.parent.rmdir()
    finally:
        os.umask(before)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a disk that can be full needs the right to mount one: {done.stderr}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_full_or_read_only_refuses_and_keeps_what_there_is(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        file = filled(disk)
        before = len(file.read(60, 0, NOON + 1e6))
        with pytest.raises(OSError, match="space"):
            (disk / "filler").write_bytes(bytes(300_000))
        with pytest.raises(HistoryFileError, match=r"full|disk I/O.*Look at the disk"):
            file.write([one(NOON + 60 * n, "db") for n in range(2000)], [], NOON)
        assert len(file.read(60, 0, NOON + 1e6)) == before
        (disk / "filler").unlink()
        file.write([one(NOON, "db")], [], NOON)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(HistoryFileError, match=r"readonly.*and at its rights"):
            file.write([one(NOON, "db")], [], NOON)
        assert len(file.read(60, 0, NOON + 1e6)) == before + 1


def test_a_lock_of_another_is_waited_for_and_then_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "_BUSY_SECONDS", 0.05)
    file = filled(tmp_path)
    with closing(sqlite3.connect(file.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(HistoryFileError, match="Another process has locked it"):
            file.write([one(NOON)], [], NOON)
        with pytest.raises(HistoryFileError, match="Another process has locked it"):
            file.read(60, 0, NOON)
    file.write([one(NOON, "db")], [], NOON)
    assert len(file.read(60, NOON, NOON + 60)) == 2


WRITER = """
import sys
from pathlib import Path
from genro_executor_plugin.console.past import file as module
from genro_executor_plugin.console.past.figures import Entry, Figures, Marker
from genro_executor_plugin.console.past.file import HistoryFile

module._BUSY_SECONDS = 60.0  # SQLite is not fair where two write all the time
file = HistoryFile(Path(sys.argv[1]), ours=True)
for number in range(40):
    figures = Figures(0.1, (1, 0, 0, 0, 0, 0), run={number: 1})
    file.write([Entry(6000.0, "pdf", "", figures)], [Marker(6000.0, "change", "x")], 6000.0)
    print(number, flush=True)
"""


def test_processes_write_one_file_together_also_when_one_is_killed(tmp_path: Path) -> None:
    """They make it together, and what a killed one has not finished is undone."""
    file = history(tmp_path)
    command = [sys.executable, "-c", WRITER, str(file.path)]
    options: dict[str, Any] = {"env": environment(), "stdout": subprocess.PIPE}
    with (
        subprocess.Popen(command, **options) as killed,
        subprocess.Popen(command, **options) as lasting,
    ):
        assert killed.stdout is not None
        told = [killed.stdout.readline() for _ in range(10)]
        killed.kill()
        told += killed.stdout.readlines()
        assert lasting.wait(60) == 0
    (found,) = file.read(60, 0, 7000.0)
    written = found.figures.outcomes[0] - 40
    # The last one may have been written and not told.
    assert len(told) <= written <= len(told) + 1
    assert sum(found.figures.run.values()) == 40 + written
    assert file.markers(0, 7000.0, 200)[1] == 40 + written
