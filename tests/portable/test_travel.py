# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What travels: references to functions, packed calls, exceptions, and the main module."""

from __future__ import annotations

import contextvars
import functools
import importlib.util
import pickle
import sys
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import worker_functions as wf
from programs import run_program

from genro_executor_plugin import ProcessExecutor, RemoteError, SerializationError
from genro_executor_plugin.portable.definitions import FUNCTION, PROCESS_SETTINGS
from genro_executor_plugin.portable.exceptions import pack_failure, unpack_failure
from genro_executor_plugin.portable.function_code import NamedFunction
from genro_executor_plugin.portable.modules import ModuleSources
from genro_executor_plugin.portable.packing import CallPacker
from genro_executor_plugin.portable.pickling import dumps, loads, why
from genro_executor_plugin.portable.references import Reference, describe, reference_to
from genro_executor_plugin.portable.results import pack_result
from genro_executor_plugin.worker.reading import CallReader


@pytest.fixture
async def pool() -> AsyncIterator[ProcessExecutor]:
    pool = ProcessExecutor("pool", max_workers=1)
    yield pool
    await pool.shutdown()


# -- references -------------------------------------------------------------------------------


def triple(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        return func(*args) * 3

    return wrapper


@triple
@triple
def twice_wrapped(value: int) -> int:
    return value


class Shelf:
    def plain(self) -> int:
        return 1

    @triple
    def wrapped(self) -> int:
        return 2

    renamed = lambda self: 3  # noqa: E731

    class Inner:
        @staticmethod
        def static() -> int:
            return 4


kept_under_another_name = [lambda: 5].pop()


@pytest.mark.parametrize(
    ("target", "owner", "path", "depth"),
    [
        (wf.add, None, "add", 0),
        (wf.alias, None, "add", 0),
        (twice_wrapped, None, "twice_wrapped", 0),
        (twice_wrapped.__wrapped__, None, "twice_wrapped", 1),  # type: ignore[attr-defined]
        (twice_wrapped.__wrapped__.__wrapped__, None, "twice_wrapped", 2),  # type: ignore[attr-defined]
        (Shelf.plain, Shelf, "Shelf.plain", 0),
        (Shelf.wrapped.__wrapped__, Shelf, "Shelf.wrapped", 1),  # type: ignore[attr-defined]
        (Shelf.__dict__["renamed"], Shelf, "Shelf.renamed", 0),
        (Shelf.Inner.static, None, "Shelf.Inner.static", 0),
        (kept_under_another_name, None, "kept_under_another_name", 0),
        (Shelf.Inner, None, "Shelf.Inner", 0),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_a_reference_leads_back_to_the_very_same(
    target: Any, owner: type | None, path: str, depth: int
) -> None:
    reference = reference_to(target, owner)
    assert reference is not None
    assert (reference.module, reference.path, reference.depth) == (target.__module__, path, depth)
    assert reference.resolve() is target
    assert pickle.loads(pickle.dumps(reference)) == reference


def test_what_stands_nowhere_has_no_reference() -> None:
    def local() -> None:
        pass

    assert reference_to(local) is None
    assert reference_to(lambda: 1) is None
    assert reference_to(type("Made", (), {})) is None
    stranger = lambda: 1  # noqa: E731
    stranger.__module__ = "no_such_module"
    assert reference_to(stranger) is None


def test_a_reference_that_leads_nowhere_says_so() -> None:
    with pytest.raises(ImportError):
        Reference("no_such_module", "f").resolve()
    with pytest.raises(AttributeError):
        Reference("worker_functions", "no_such_function").resolve()


def test_functions_are_described_as_people_name_them() -> None:
    assert describe(wf.add) == "worker_functions.add"
    assert describe(wf.Counter.plus) == "worker_functions.Counter.plus"
    assert describe(functools.partial(wf.add, 1)) == "worker_functions.add"
    assert describe(len) == "builtins.len"
    assert describe(wf.Point) == "worker_functions.Point"


async def test_a_callable_whose_repr_fails_is_called_all_the_same(pool: ProcessExecutor) -> None:
    assert await pool.submit(wf.Unspeakable(), 42) == 42


# -- calls ------------------------------------------------------------------------------------


def read_elsewhere(packed: Any) -> Any:
    """What a worker makes of ``packed``, in a context of its own."""

    def read() -> Any:
        reader = CallReader()
        for definition in packed.definitions:
            reader.define(definition.key, definition.owner, definition.kind, definition.payload)
        return reader.read(packed.payload)

    return contextvars.copy_context().run(read)


def test_a_packed_call_reads_as_it_was() -> None:
    packed = CallPacker().pack(wf.add, (1,), {"right": [2]})
    target, *rest = read_elsewhere(packed)
    assert target.func is wf.add
    assert str(target) == "worker_functions.add"
    assert rest == [(1,), {"right": [2]}, None]
    assert packed.title == "worker_functions.add"
    assert packed.reread_arguments() == ((1,), {"right": [2]})


def test_a_function_is_defined_once() -> None:
    packer = CallPacker()
    one, other = packer.pack(wf.add, (1,), {}), packer.pack(wf.add, (2,), {})
    assert one.definitions == other.definitions
    assert [definition.kind for definition in one.definitions] == [PROCESS_SETTINGS, FUNCTION]
    assert packer.pack(wf.answer, (), {}).definitions != one.definitions


def test_a_reader_tells_each_call_what_is_wrong_with_its_function() -> None:
    _, definition = CallPacker().pack(wf.add, (), {}).definitions
    packed = CallPacker().pack(wf.add, (1,), {})
    codes = NamedFunction.of(wf.add, Reference("worker_functions", "add")).codes
    lost = pickle.dumps(NamedFunction(Reference("worker_functions", "gone"), codes), 5)

    def read() -> None:
        reader = CallReader()
        reader.define(definition.key, definition.owner, definition.kind, lost)
        for _ in range(2):
            with pytest.raises(SerializationError, match=r"does not find worker_functions\.gone"):
                reader.read(packed.payload)
        reader.define(definition.key, definition.owner, definition.kind, definition.payload)
        assert reader.read(packed.payload)[0].func is wf.add

    contextvars.copy_context().run(read)


def test_positional_arguments_are_named_after_their_parameters() -> None:
    packer, lock = CallPacker(), wf.give_lock()
    for func, args, kwargs, name in (
        (wf.add, (lock,), {}, "'left'"),
        (wf.add, (1, lock), {}, "'right'"),
        (wf.add, (1,), {"right": lock}, "'right'"),
        (wf.Counter(1).plus, (lock,), {}, "'number'"),
        (wf.keywords, (), {"anything": lock}, "'anything'"),
        (print, (1, 2, lock), {}, "'#3'"),
        (wf.initialize, (1, lock), {}, "'#2'"),
    ):
        with pytest.raises(SerializationError) as caught:
            packer.pack(func, args, kwargs)  # type: ignore[arg-type]
        assert f"argument {name} of {describe(func)} cannot travel" in str(caught.value)
        assert "Condition" in str(caught.value)


def test_a_result_that_cannot_travel_names_function_and_type() -> None:
    assert loads(pack_result([1], "f")) == [1]
    with pytest.raises(SerializationError, match=r"result of some\.f, of type builtins\.generator"):
        pack_result((n for n in ()), "some.f")


def test_functions_without_a_name_travel_by_value() -> None:
    def local(number: int) -> int:
        return number + len(sys.argv[:0]) + 1

    for value in (local, lambda number: number + 1):
        found = loads(dumps(value))
        assert found is not value
        assert found(41) == 42
    assert loads(dumps(wf.decorated.__wrapped__)) is wf.decorated.__wrapped__  # type: ignore[attr-defined]
    assert loads(dumps([kept_under_another_name]))[0] is kept_under_another_name


def test_reasons_are_one_line() -> None:
    assert why(ValueError("one\ntwo")) == "ValueError: one"
    assert why(ValueError()) == "ValueError"
    assert why(RecursionError("deep")) == "it nests too deeply"


# -- exceptions -------------------------------------------------------------------------------


def travelled(func: Callable[..., Any], *args: Any) -> Any:
    """The exception that ``func`` raises, after its journey."""
    try:
        func(*args)
    except BaseException as error:
        return unpack_failure(pack_failure(error))
    raise AssertionError("it did not raise")


def test_an_exception_arrives_with_its_frames_and_its_text() -> None:
    error = travelled(wf.fail_with_facts)
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames[-1] == "fail_with_facts"
    assert isinstance(error.__cause__, KeyError)
    root = error.__cause__.__cause__
    assert "raise error from KeyError" in str(root)
    assert "a note from the worker" in str(root)


def test_a_chain_of_causes_arrives_whole() -> None:
    def fail() -> None:
        try:
            try:
                {}["key"]
            except KeyError as error:
                raise ValueError("middle") from error
        except ValueError as error:
            raise RuntimeError("top") from error

    error = travelled(fail)
    assert [type(e) for e in (error, error.__cause__, error.__cause__.__cause__)] == [
        RuntimeError,
        ValueError,
        KeyError,
    ]


def test_an_exception_that_breaks_everything_is_told_by_name() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

        def __reduce__(self) -> Any:
            raise ValueError("no pickle")

    error = travelled(wf.fail, Broken())
    assert isinstance(error, RemoteError)
    assert error.type_name.endswith("Broken")
    assert "its message cannot be read" in str(error)


def test_what_cannot_be_read_is_an_error_and_no_crash() -> None:
    error = unpack_failure(b"nonsense")
    assert isinstance(error, RemoteError)
    assert "cannot be read here" in str(error)


async def test_an_http_error_keeps_status_detail_and_headers(pool: ProcessExecutor) -> None:
    from host import HTTPException

    with pytest.raises(HTTPException) as caught:
        await pool.submit(wf.fail_over_http, 418)
    assert caught.value.status == 418
    assert caught.value.detail == "come back later"
    assert caught.value.headers == [(b"x-reason", b"tea")]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("HTTPNotFound", ("no such report",)),
        ("HTTPUnauthorized", ("who?", [(b"www-authenticate", b"Basic")])),
        ("HTTPBadRequest", ()),
        ("Redirect", ("/elsewhere", 307)),
    ],
)
def test_the_relatives_of_an_http_error_do_too(name: str, arguments: tuple[Any, ...]) -> None:
    from host import exceptions

    original = getattr(exceptions, name)(*arguments)
    error = travelled(wf.fail, original)
    assert type(error) is type(original)
    assert vars(error) == vars(original)


# -- modules that no path leads to ------------------------------------------------------------


async def test_functions_of_a_file_that_was_loaded_by_path_are_found(
    pool: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hello.py"
    file.write_text(
        "import os\ndef where():\n    return __name__, os.getpid()\n"
        "class Greeter:\n    def __init__(self, name):\n        self.name = name\n"
        "    def greet(self):\n        return 'hello ' + self.name\n"
    )
    name = "loaded_by_path_for_this_test"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    assert ModuleSources.here().files[name] == str(file)
    assert await pool.submit(module.where) == (name, await pool.submit(wf.pid))
    assert await pool.submit(module.Greeter("you").greet) == "hello you"


async def test_a_module_without_a_file_is_named(
    pool: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = ModuleType("made_of_thin_air")
    exec("def f():\n    return 1\n", module.__dict__)
    monkeypatch.setitem(sys.modules, "made_of_thin_air", module)
    with pytest.raises(SerializationError, match=r"does not find made_of_thin_air\.f"):
        await pool.submit(module.f)
    assert await pool.submit(wf.answer) == 42


# -- the main module --------------------------------------------------------------------------

MAIN_BODY = """
import asyncio
import dataclasses
import os
import sys

from genro_executor_plugin import ProcessExecutor

print("running", __name__) if __name__ != "__mp_main__" else None
pool = ProcessExecutor("pool", max_workers=1)
FACTOR = 2


@dataclasses.dataclass
class Point:
    x: int


class Thing:
    def __init__(self, value):
        self.value = value

    def method(self, by):
        return self.value * by, os.getpid()

    @pool
    def decorated(self, by):
        return self.value * by * FACTOR, os.getpid()


def plain(value):
    return value * FACTOR, os.getpid()


@pool
def decorated(value):
    return Point(value.x * FACTOR), os.getpid()


async def main():
    assert (await pool.submit(plain, 21))[0] == 42
    point, pid = await decorated(Point(21))
    assert point == Point(42), point
    assert type(point) is Point
    assert pid != os.getpid()
    assert (await pool.submit(Thing(21).method, 2))[0] == 42
    assert (await Thing(7).decorated(3))[0] == 42
    assert await pool.submit(lambda: FACTOR) == 2
    try:
        await pool.submit(missing)
    except ZeroDivisionError:
        pass
    await pool.shutdown()
    print("done")


def missing():
    1 / 0

"""
GUARDED = MAIN_BODY + 'if __name__ == "__main__":\n    asyncio.run(main())\n'
BARE = MAIN_BODY + "asyncio.run(main())\n"
IN_A_GROUP = (
    MAIN_BODY
    + """
async def grouped():
    async with asyncio.TaskGroup() as group:
        group.create_task(main())

asyncio.run(grouped())
"""
)
PROGRAMS = {"guarded": GUARDED, "bare": BARE, "in a task group": IN_A_GROUP}
EXPECTED = "running __main__\ndone\n"


@pytest.mark.parametrize("source", PROGRAMS.values(), ids=PROGRAMS)
def test_functions_of_a_script_are_found(source: str, tmp_path: Path) -> None:
    """With a guard and without: a worker stops where the server's part begins."""
    script = tmp_path / "script.py"
    script.write_text(source)
    assert run_program(script) == EXPECTED


@pytest.mark.parametrize("source", [GUARDED, BARE], ids=["guarded", "bare"])
def test_functions_of_a_spawned_script_are_found(source: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(source.replace("max_workers=1", "max_workers=1, start_method='spawn'"))
    assert run_program(script) == EXPECTED


def test_functions_of_a_script_without_a_suffix_are_found(tmp_path: Path) -> None:
    """As an installed command has it."""
    script = tmp_path / "command"
    script.write_text(GUARDED)
    assert run_program(script) == EXPECTED


@pytest.mark.parametrize("source", [GUARDED, BARE], ids=["guarded", "bare"])
def test_functions_of_a_module_that_runs_as_main_are_found(source: str, tmp_path: Path) -> None:
    package = tmp_path / "a_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "a_module.py").write_text("from . import __name__ as parent\n" + source)
    assert run_program("-m", "a_package.a_module", cwd=tmp_path) == EXPECTED


@pytest.mark.parametrize("source", [GUARDED, BARE], ids=["guarded", "bare"])
def test_functions_of_a_package_that_runs_as_main_travel_by_value(
    source: str, tmp_path: Path
) -> None:
    package = tmp_path / "a_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(source)
    assert run_program("-m", "a_package", cwd=tmp_path) == EXPECTED


def test_functions_from_standard_input_travel_by_value() -> None:
    assert run_program("-", input=BARE) == EXPECTED


def test_functions_from_the_command_line_travel_by_value() -> None:
    assert run_program("-c", BARE) == EXPECTED


def test_a_script_that_fails_to_run_in_a_worker_is_named(tmp_path: Path) -> None:
    """And the script sees why, in the error of its call."""
    script = tmp_path / "script.py"
    script.write_text(
        "import asyncio, sys\n"
        "from genro_executor_plugin import ProcessExecutor, SerializationError\n"
        "if __name__ == '__mp_main__':\n    raise OSError('not twice')\n"
        "def f():\n    return 1\n"
        "async def main():\n"
        "    pool = ProcessExecutor('pool', max_workers=1)\n"
        "    for _ in range(2):\n"
        "        try:\n            await pool.submit(f)\n"
        "        except SerializationError as error:\n            print(error)\n"
        "    await pool.shutdown()\n"
        "if __name__ == '__main__':\n    asyncio.run(main())\n"
    )
    first, second = run_program(script).splitlines()
    assert "does not find __main__.f: OSError: not twice" in first
    assert first == second
