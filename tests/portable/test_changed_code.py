# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Code that changes while a pool lives: its calls run what a call on the spot would run."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import host
import pytest
import worker_functions as wf
from programs import run_program
from waiting import until

from genro_executor_plugin import ProcessExecutor
from genro_executor_plugin.portable.function_code import NamedFunction
from genro_executor_plugin.portable.references import Reference, reference_to
from genro_executor_plugin.portable.reloads import reload_watch

SOURCE = """
import functools

def twice(func):
    @functools.wraps(func)
    def wrapper(*args):
        return func(*args) * 2
    return wrapper

def plain(): return {value!r}

@twice
def wrapped(): return {value!r}

def waits(gate):
    import worker_functions
    worker_functions.hold(gate)
    return {value!r}

class Shelf:
    def first(self): return {value!r}
"""

DESK = host.written("""
from host import RoutedApplication

class Desk(RoutedApplication):
    def __init__(self):
        super().__init__()
        self.drawers = [1]
    def own(self): return [{value!r}, self.helper(), self.drawers]
    def helper(self): return {value!r}
""")

USES = """
import changing

def through_another_module(): return changing.plain()
"""


class Folder:
    """A folder on ``sys.path`` with a module that changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written = 0
        (path / "uses_changing.py").write_text(USES)

    def write(self, value: Any) -> None:
        self._written += 1  # another length, so that no compiled file is taken for that of before
        for name, source in (("changing", SOURCE), ("desk_that_changes", DESK)):
            text = source.format(value=value) + "#" * self._written
            (self.path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = Folder(tmp_path)
    folder.write("old")
    yield folder
    for name in ("changing", "uses_changing", "desk_that_changes"):
        sys.modules.pop(name, None)


@pytest.fixture
async def pool() -> AsyncIterator[ProcessExecutor]:
    pool = ProcessExecutor("changed", max_workers=2)
    yield pool
    await pool.shutdown()


def call(func: Callable[[], Any]) -> Any:
    return func()


async def test_a_module_that_is_reloaded_is_reloaded_for_its_workers(
    folder: Folder, pool: ProcessExecutor, caplog: pytest.LogCaptureFixture, gate: Any
) -> None:
    """However a call gets to its code. A call that runs goes on beside the new workers."""
    import changing
    import desk_that_changes
    import uses_changing

    async def outcomes() -> list[Any]:
        return [
            await pool.submit(changing.plain),
            await pool.submit(changing.wrapped),
            await pool.submit(uses_changing.through_another_module),
            await pool.submit(call, changing.plain),
            await pool.submit(changing.Shelf().first),
            await pool.submit(desk_that_changes.Desk().own),
        ]

    desk = desk_that_changes.Desk()
    assert await pool.submit(desk.own) == ["old", "old", [1]]
    assert await outcomes() == ["old", "oldold", "old", "old", "old", ["old", "old", [1]]]
    await _a_method_is_put_into_the_class(desk, pool)

    old_plain, waits = changing.plain, changing.waits
    running = asyncio.create_task(pool.submit(waits, gate.path))
    await gate.entered()
    folder.write("new")
    importlib.reload(changing)
    importlib.reload(desk_that_changes)
    assert await outcomes() == ["new", "newnew", "new", "new", "new", ["new", "new", [1]]]
    assert await pool.submit(old_plain) == "old" == old_plain()
    desk.drawers.append(2)
    assert (await pool.submit(desk.own))[0] == "put in"
    gate.release()
    assert await running == "old"
    replaced = [record for record in caplog.records if "imported anew" in record.getMessage()]
    assert [record.levelno for record in replaced] == [logging.WARNING]
    assert "(changing, desk_that_changes)" in replaced[0].getMessage()
    assert pool.metrics["restarts"] == 1

    folder.write("newer")
    del sys.modules["changing"]
    import changing

    assert await pool.submit(call, changing.plain) == "newer"
    await until(lambda: pool.metrics["workers"] <= 2)


async def _a_method_is_put_into_the_class(desk: Any, pool: ProcessExecutor) -> None:
    before = desk.own

    def own(self: Any) -> list[Any]:
        return ["put in", self.helper(), self.drawers]

    type(desk).own = own
    assert await pool.submit(desk.own) == ["put in", "old", [1]]
    assert await pool.submit(before) == ["old", "old", [1]]


async def test_a_reload_of_the_standard_library_replaces_no_worker(pool: ProcessExecutor) -> None:
    import colorsys

    pid = await pool.submit(wf.pid)
    importlib.reload(colorsys)
    assert await pool.submit(wf.pid) == pid
    assert not pool.metrics["restarts"]


@pytest.mark.filterwarnings("ignore:Assigning a code object of non-matching:DeprecationWarning")
async def test_what_is_defined_anew_in_an_imported_module_runs_as_it_is_now(
    folder: Folder, pool: ProcessExecutor
) -> None:
    import changing

    async def now(name: str, source: str) -> Any:
        code = compile(source, str(folder.path / "elsewhere.py"), "exec")
        exec(code, vars(changing))
        return await pool.submit(getattr(changing, name))

    assert await pool.submit(changing.plain) == "old"
    assert await now("plain", "def plain(): return 1") == 1
    assert await now("plain", "def plain(): return True") is True  # equal, and not the same
    assert await now("plain", "def plain(n=2): return n") == 2
    assert await now("plain", "def plain(n=3): return n") == 3  # the same code
    assert await now("plain", "@twice\ndef plain(): return 'wrapped'") == "wrappedwrapped"
    assert await now("added", "def added(*, n={'a': [1]}): return n, plain.__name__") == (
        {"a": [1]},
        "plain",
    )
    assert await now("late", "async def late(): return 'coroutine'") == "coroutine"
    before = changing.wrapped
    changing.late.__code__ = changing.Shelf.first.__code__
    assert await pool.submit(changing.late, None) == "old"
    assert await pool.submit(before) == "oldold"
    assert not pool.metrics["restarts"]


async def test_what_a_worker_cannot_be_given_is_said(
    folder: Folder, pool: ProcessExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    import changing

    namespace = vars(changing)
    exec("def plain(held=object()): return 'changed'", namespace)
    assert await pool.submit(changing.plain) == "old"
    await until(lambda: any("changing.plain anew" in r.getMessage() for r in caplog.records))


MAIN = """
import asyncio
from genro_executor_plugin import ProcessExecutor

def version(): return 1
def hidden(): return 1

async def main():
    global version, hidden
    async with ProcessExecutor("main", max_workers=1) as pool:
        print(await pool.submit(version))
        def version(): return 2
        def hidden(): return 2
        print(await pool.submit(version), await pool.submit(hidden))
        exec("def late(): return version.__name__", globals())
        print(await pool.submit(late), await pool.submit(lambda: 4))

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_what_is_defined_anew_in_the_main_module(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(MAIN)
    assert run_program(program).split() == ["1", "2", "2", "version", "4"]


# -- what is compared -------------------------------------------------------------------------


def test_a_function_is_the_same_however_often_it_has_run() -> None:
    named = NamedFunction.of(specialised, Reference(__name__, "specialised"))
    for _ in range(1000):
        specialised([1, 2.0])
    assert named.resolve() is specialised


def specialised(values: list[Any]) -> Any:
    total = 0
    for value in values:
        total += value
    return {total in {1, "a", None}: total}


def test_every_function_of_the_tests_and_of_the_package_is_its_own() -> None:
    functions = [value for value in vars(wf).values() if isinstance(value, FunctionType)]
    assert len(functions) > 20
    for function in functions:
        reference = reference_to(function)
        if reference is not None:
            assert NamedFunction.of(function, reference).resolve() is function


def test_a_name_that_was_never_loaded_is_no_reload() -> None:
    watch = reload_watch()
    assert watch is reload_watch()
    watch.workers_start()
    before = watch.count
    for _ in range(2):
        with pytest.raises(ImportError):
            importlib.import_module("a_module_that_is_not_there")
    assert watch.count == before
