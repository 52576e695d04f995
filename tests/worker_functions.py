# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Functions that the tests run in workers. Workers import this module by its name.

So it imports little at its head: every worker of nearly every test does it.
"""

from __future__ import annotations

import enum
import functools
import logging
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

PID = struct.Struct("<I")


def answer() -> int:
    return 42


def echo(value: Any) -> Any:
    return value


def class_name(value: Any) -> str:
    return type(value).__name__


def add(left: Any, right: Any = 1) -> Any:
    return left + right


def pid() -> int:
    return os.getpid()


def hold(path: str, result: Any = "released") -> Any:
    """Tell the gate at ``path`` that this process is inside, and wait until it lets go."""
    with socket.socket(socket.AF_UNIX) as door:
        door.connect(path)
        door.sendall(PID.pack(os.getpid()))
        door.recv(1)
    return result


async def pid_async() -> int:
    return os.getpid()


def exit_with(code: int) -> None:
    os._exit(code)


def raise_signal(number: int) -> None:
    os.kill(os.getpid(), number)
    signal.pause()


def fail(error: BaseException) -> None:
    raise error


def spin() -> None:
    while True:
        pass


def doubling(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs) * 2

    return wrapper


@doubling
def decorated(value: int) -> int:
    return value


alias = add


class Stubborn(Exception):
    """Its ``__init__`` takes other arguments than its ``args``."""

    def __init__(self, code: int, where: str) -> None:
        super().__init__(f"{code} at {where}")
        self.code = code
        self.where = where


class Unpicklable(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("this exception refuses to be pickled")


def fail_stubbornly() -> None:
    raise Stubborn(7, "here")


def fail_unpicklably() -> None:
    raise Unpicklable("secret")


class Counter:
    """A plain object whose bound methods are submitted."""

    def __init__(self, start: int) -> None:
        self.start = start

    def plus(self, number: int) -> int:
        return self.start + number


def give_lambda() -> Any:
    return lambda: 1


def give_lock() -> Any:
    return threading.Condition()


def environment(name: str) -> str | None:
    return os.environ.get(name)


_initialized: list[Any] = []


def initialize(*args: Any) -> None:
    _initialized.append(args)


def initialized() -> list[Any]:
    return _initialized


def initialize_badly(text: str) -> None:
    raise RuntimeError(text)


def keywords(**given: Any) -> dict[str, Any]:
    return given


async def add_async(left: Any, right: Any = 1) -> Any:
    import asyncio

    await asyncio.sleep(0)
    return left + right


def record(path: str, result: Any = None) -> Any:
    """Leave a trace at ``path``: one byte for each time that this ran."""
    with open(path, "ab") as trace:
        trace.write(b".")
    return result


def log_many(name: str, count: int) -> int:
    logger = logging.getLogger(name)
    for number in range(count):
        logger.info("record %d", number)
    return count


def note(path: str, number: int) -> int:
    """Leave ``number`` and who runs this at ``path``, in a line; ``number`` after a rest.

    The environment says who this is (``WHO``), and how long it rests (``REST_SECONDS``).
    """
    with open(path, "a") as trace:
        trace.write(f"{number} {os.environ.get('WHO', '')}\n")
    time.sleep(float(os.environ.get("REST_SECONDS", "0.01")))
    return number


def hold_and_record(path: str, trace: str) -> None:
    hold(path)
    record(trace)


def linger(seconds: float, value: Any) -> Any:
    """Be busy for so long, then return ``value``."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return value


def record_and_spin(path: str) -> None:
    record(path)
    spin()


def crash_until(path: str, times: int, code: int = 3) -> int:
    """Exit the first ``times`` times; then return how often it was called before."""
    runs = os.path.getsize(path) if os.path.exists(path) else 0
    record(path)
    if runs < times:
        os._exit(code)
    return runs


class Adder:
    """An instance that is called."""

    def __init__(self, start: int) -> None:
        self.start = start

    def __call__(self, number: int) -> int:
        return self.start + number


class Calculator:
    factor = 2

    @classmethod
    def times(cls, number: int) -> int:
        return cls.factor * number

    @staticmethod
    def minus(number: int) -> int:
        return -number

    async def plus_async(self, number: int) -> int:
        return self.factor + number

    class Inner:
        def deep(self) -> str:
            return "deep"


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int = 0


class Failure(Exception):
    """An error with facts of its own, set after it was made."""


class Quit(BaseException):
    """Not an ``Exception``, as a library of another age may have it."""


class Opaque:
    """A value that is equal to nothing but itself."""


def fail_with_facts() -> None:
    error = Failure("it failed", 7)
    error.status = 418  # type: ignore[attr-defined]
    error.add_note("a note from the worker")
    raise error from KeyError("the cause")


def fail_with_an_opaque_argument() -> None:
    raise Failure("it failed", Opaque())


def fail_with_itself_as_cause() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def fail_with_a_group() -> None:
    raise ExceptionGroup("several", [ValueError("one"), Failure("two")])


def fail_over_http(status: int) -> None:
    from host import HTTPException

    raise HTTPException(status, "come back later", headers=[(b"x-reason", b"tea")])


def fail_locally() -> None:
    class Local(Exception):
        pass

    raise Local("from nowhere")


def give_generator() -> Any:
    return (number for number in range(3))


def _explode(text: str) -> Any:
    raise ValueError(text)


def _explode_elsewhere(pid: int) -> Any:
    if os.getpid() != pid:
        raise ValueError("this value stays where it was made")
    return Homebound()


class Explosive:
    """Pickles, and cannot be unpickled anywhere."""

    def __reduce__(self) -> Any:
        return _explode, ("this value cannot be unpickled",)


class Homebound:
    """Pickles, and can be unpickled in the process that pickled it only."""

    def __reduce__(self) -> Any:
        return _explode_elsewhere, (os.getpid(),)


class Deadly:
    """Ends the process that unpickles it, if that is not the one that pickled it."""

    def __reduce__(self) -> Any:
        return _exit_elsewhere, (os.getpid(),)


def _exit_elsewhere(pid: int) -> Any:
    if os.getpid() != pid:
        os._exit(5)
    return Deadly()


def give_explosive() -> Any:
    return Explosive()


def give_homebound() -> Any:
    return Homebound()


def nested(depth: int) -> list[Any]:
    """A list in a list in a list ... ``depth`` deep."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def initialize_exiting(path: str, code: int) -> None:
    """End the worker, until there is a file at ``path``."""
    if not os.path.exists(path):
        os._exit(code)


def initialize_when(path: str) -> None:
    """Fail, until there is a file at ``path``."""
    if not os.path.exists(path):
        raise FileNotFoundError(f"no model at {path}")


async def initialize_async(*args: Any) -> None:
    initialize(*args)


def stdin_is_null() -> bool:
    return os.path.samestat(os.fstat(0), os.stat(os.devnull)) and sys.stdin.read() == ""


def say(text: str) -> None:
    print(text)


def thread_name() -> str:
    return threading.current_thread().name


def pid_through_a_pool() -> int:
    """Call a pool from where this runs; the pid of where that call ran."""
    import asyncio

    from genro_executor_plugin import ProcessExecutor

    async def call() -> int:
        inner = ProcessExecutor("inner", max_workers=1)
        try:
            found: int = await inner.submit(pid)
            return found
        finally:
            await inner.shutdown()

    return asyncio.run(call())


def loaded(*names: str) -> list[str]:
    """Which of these modules are imported where this runs."""
    return [name for name in names if name in sys.modules]


def signal_disposition(number: int) -> str:
    return str(signal.getsignal(number))


def pid_of_nothing(_value: Any) -> int:
    return os.getpid()


class Unspeakable:
    """An instance that is called, and that no message can show."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")

    def __call__(self, value: Any) -> Any:
        return value


async def hold_async(path: str, result: Any = "released") -> Any:
    """``hold`` as a coroutine."""
    import asyncio

    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(PID.pack(os.getpid()))
    await reader.read(1)
    writer.close()
    return result


def maybe_hold(path: str | None) -> str:
    """Very short, unless it is given a gate to wait at."""
    return hold(path) if path else "short"


def spin_gently(seconds: float) -> None:
    """Busy, in Python, and kind to those that share its interpreter."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.001)


async def sleep_async(seconds: float) -> None:
    import asyncio

    await asyncio.sleep(seconds)


class SlowToPickle:
    """Keeps a worker busy behind a run that was very short."""

    def __reduce__(self) -> Any:
        time.sleep(0.01)
        return str, ("brief",)


def slow_result_or_hold(path: str | None) -> Any:
    """So short that it is sent ahead, though each call takes a while."""
    return hold(path) if path else SlowToPickle()


def clean_up() -> str:
    from genro_executor_plugin import SoftTimeoutError

    try:
        spin()
    except SoftTimeoutError as error:
        return f"cleaned up after {str(error).split(' for ')[1].split(',')[0]}"
    return "never"


async def clean_up_async() -> str:
    import asyncio

    from genro_executor_plugin import SoftTimeoutError

    try:
        await asyncio.sleep(60)
    except SoftTimeoutError as error:
        return f"cleaned up after {str(error).split(' for ')[1].split(',')[0]}"
    return "never"


def ignore_the_soft_timeout() -> None:
    from genro_executor_plugin import SoftTimeoutError

    while True:
        try:
            spin()
        except SoftTimeoutError:
            continue


def echo_after(value: Any, seconds: float) -> Any:
    """``echo`` after ``seconds`` of work."""
    import time

    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        pass
    return value


async def echo_async(value: Any) -> Any:
    import asyncio

    await asyncio.sleep(0)
    return value


def coroutine_in_disguise(value: Any) -> Any:
    """Returns a coroutine without being a coroutine function, as some decorators do."""
    return echo_async(value)


def _here() -> Any:
    from genro_executor_plugin.worker.running import current

    call = current()
    assert call is not None
    return call


def count_aloud(count: int) -> int:
    """Send ``count`` numbers through the channel ``count``."""
    for number in range(count):
        _here().send("count", number)
    return count


async def count_aloud_async(count: int) -> int:
    return count_aloud(count)


def repeat_until_end() -> list[str]:
    """What it is told through ``words``, until that is ``end``."""
    call, heard = _here(), []
    call.send("ready", None)
    while "end" not in heard:
        heard += call.wait("words")
    return heard


async def repeat_until_end_async() -> list[str]:
    import asyncio

    call, heard, arrived = _here(), [], asyncio.Event()
    loop = asyncio.get_running_loop()
    call.listen(lambda _: loop.call_soon_threadsafe(arrived.set))
    call.send("ready", None)
    while "end" not in heard:
        await arrived.wait()
        arrived.clear()
        heard += call.received("words")
    return heard


_late: dict[str, Any] = {}


def leave_a_thread_that_sends() -> None:
    """Start a thread that sends for this call when the call is over."""
    import contextvars
    import threading

    go = threading.Event()

    def send() -> None:
        go.wait()
        _here().send("late", 1)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(send,), daemon=True)
    thread.start()
    _late.update(go=go, thread=thread)


def join_the_thread_that_sends() -> str:
    _late["go"].set()
    _late["thread"].join()
    return "sent"


def send_what_does_not_pickle() -> None:
    import threading

    _here().send("lock", threading.Condition())


def initialize_if_there(path: str) -> None:
    """An initializer that works as long as the file ``path`` is there."""
    if not os.path.exists(path):
        raise FileNotFoundError(path)


def wait_for_ever() -> None:
    import threading

    threading.Event().wait()


def change_in_place(values: Any) -> float:
    values[0] = 1.0
    return float(values[0])


_kept: list[Any] = []


def keep(value: Any) -> None:
    _kept.append(value)


def kept() -> Any:
    return _kept.pop()


def digest(value: Any) -> str:
    import hashlib

    return hashlib.sha256(bytes(value)).hexdigest()


def spin_with(value: Any) -> None:
    while True:
        pass


def crash_once(flag: str, value: Any) -> str:
    """Die the first time, and tell what ``value`` is the second time."""
    if not os.path.exists(flag):
        with open(flag, "w"):
            os._exit(7)
    return digest(value)


def large_and_unpicklable(size: int) -> Any:
    import threading

    return [b"x" * size, threading.Condition()]


def finalize() -> None:
    """A finalizer that leaves its pid in the file ``FINALIZED``."""
    with open(os.environ["FINALIZED"], "a") as file:
        file.write(f"{os.getpid()}\n")


async def finalize_async() -> None:
    finalize()


def fail_to_finalize() -> None:
    raise LookupError("nothing to finalize")


def modelled(kind: str, number: int, trace: str, gate: str) -> int:
    """A call of ``test_pool_model.py``."""
    record(trace)
    match kind:
        case "held":
            hold(gate)
        case "failing":
            raise ValueError(number)
        case "over its limit":
            spin()
        case "exiting":
            os._exit(3)
    return number


def modelled_short(_kind: str, number: int, trace: str, _gate: str) -> int:
    """As ``modelled``, and known to be short: its calls are sent ahead."""
    record(trace)
    return number


async def modelled_async(_kind: str, number: int, trace: str, gate: str) -> int:
    record(trace)
    await hold_async(gate)
    return number


def marked(path: str, number: int) -> int:
    """``number``; and one more in its byte of the file at ``path``."""
    marks = _marks_of(path)
    os.pwrite(marks, bytes([os.pread(marks, 1, number)[0] + 1]), number)
    return number


@functools.cache
def _marks_of(path: str) -> int:
    return os.open(path, os.O_RDWR)


def numbers(count: int) -> Iterator[int]:
    """A generator function."""
    yield from range(count)


def change_and_crash_once(values: Any, flag: str) -> float:
    """What was in ``values``; the first time it changes them, and dies."""
    found = float(values[0])
    values[0] = 7.0
    if not os.path.exists(flag):
        with open(flag, "w"):
            os._exit(7)
    return found


def leave_a_child(seconds: float) -> None:
    """Start a process that goes on when this call has ended."""
    import subprocess

    subprocess.Popen(["sleep", str(seconds)])


def wait_for_a_child(seconds: float) -> None:
    import subprocess

    subprocess.run(["sleep", str(seconds)], check=True)
