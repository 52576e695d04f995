# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The errors: what they hold, how they answer, and that they cross processes whole."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import host
import pytest
from programs import environment, run_program

from genro_executor_plugin import errors
from genro_executor_plugin.errors import (
    ClientDisconnectedError,
    ExecutorClosedError,
    ExecutorConfigError,
    ExecutorError,
    ExecutorKeyError,
    ExecutorOverloadError,
    ExecutorTimeoutError,
    MemoryLimitError,
    NoAgentError,
    RemoteError,
    RemoteTraceback,
    SerializationError,
    SoftTimeoutError,
    TaskCancelledError,
    TaskError,
    TaskLimitError,
    TaskLostError,
    TaskNotFoundError,
    TaskStoreError,
    UnknownExecutorError,
    WorkerCrashedError,
    WorkerLostError,
)

EXAMPLES: list[ExecutorError] = [
    ExecutorError("broken", pool="pdf", route="report"),
    ExecutorConfigError("broken", pool="pdf"),
    UnknownExecutorError("broken", pool="pdf"),
    ExecutorOverloadError("broken", pool="pdf", route="report", retry_after=7),
    NoAgentError("broken", pool="pdf", retry_after=7),
    ExecutorClosedError("broken", pool="pdf", retry_after=2),
    ExecutorTimeoutError("broken", pool="pdf", route="report", timeout=1.5),
    SoftTimeoutError("broken", pool="pdf", route="report"),
    ClientDisconnectedError("broken", route="report"),
    ExecutorKeyError("broken", route="report"),
    WorkerCrashedError("broken", pool="pdf", route="report", exit_code=-9, pid=123),
    MemoryLimitError("broken", pool="pdf", route="report", pid=123, peak_memory=9, limit=8),
    WorkerLostError("broken", pool="pdf", route="report", pid=1, agent="a1", host="there"),
    SerializationError("broken", pool="pdf", route="report"),
    RemoteError("broken", pool="pdf", type_name="a.B", remote_traceback="Traceback ..."),
    TaskError("broken", pool="pdf", route="report", task_id="x1"),
    TaskNotFoundError("broken", task_id="x1"),
    TaskCancelledError("broken", task_id="x1"),
    TaskLostError("broken", task_id="x1"),
    TaskLimitError("broken", task_id="x1"),
    TaskStoreError("broken", task_id="x1"),
]
"""One of each, with every fact it can hold."""

STATUS = {
    ExecutorOverloadError: 503,
    NoAgentError: 503,
    ExecutorClosedError: 503,
    ExecutorTimeoutError: 504,
    SoftTimeoutError: 504,
    ClientDisconnectedError: 499,
    ExecutorKeyError: 400,
    TaskError: 409,
    TaskNotFoundError: 404,
    TaskCancelledError: 409,
    TaskLimitError: 429,
}


def of_class(error: Any) -> str:
    return type(error).__name__


@pytest.fixture(params=EXAMPLES, ids=of_class)
def error(request: pytest.FixtureRequest) -> ExecutorError:
    example: ExecutorError = request.param
    return example


def class_of(error: ExecutorError) -> type[ExecutorError]:
    """The class of this module that ``error`` is of, whether it answers over HTTP or not."""
    found: type[ExecutorError] = getattr(errors, type(error).__name__)
    return found


def test_there_is_an_example_of_every_error() -> None:
    declared = {name for name in errors.__all__ if name != "RemoteTraceback"}
    assert {type(error).__name__ for error in EXAMPLES} == declared


def test_the_tree_at_the_top_of_the_module_is_the_tree() -> None:
    assert errors.__doc__ is not None
    drawn = {word for word in errors.__doc__.split() if word.endswith("Error")}
    assert {type(error).__name__ for error in EXAMPLES} <= drawn


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickle_with_all_its_facts(error: Any, protocol: int) -> None:
    error.add_note("a note")
    try:
        found = pickle.loads(pickle.dumps(error, protocol))
        assert isinstance(found, class_of(error))
        assert found.args == error.args == ("broken",)
        assert vars(found) == vars(error)
        assert (found.status, found.detail, found.headers) == (
            error.status,
            error.detail,
            error.headers,
        )
        assert str(found) == "broken"
        assert type(found).__name__ == type(error).__name__
    finally:
        del error.__notes__


def test_an_error_can_be_copied(error: Any) -> None:
    assert vars(copy.copy(error)) == vars(error)
    assert vars(copy.deepcopy(error)) == vars(error)


def test_an_error_answers_with_its_status_and_tells_nothing_from_inside(error: Any) -> None:
    assert error.status == STATUS.get(class_of(error), 500)
    assert "broken" not in error.detail
    assert "pdf" not in error.detail
    assert isinstance(error.detail, str)
    assert error.detail


def test_only_errors_that_pass_say_when_to_come_back(error: Any) -> None:
    if error.status == 503:
        assert error.headers == [(b"retry-after", str(error.retry_after).encode("ascii"))]
        assert type(error)("again").headers == [(b"retry-after", b"1")]
    else:
        assert error.headers == []


def test_facts_that_nobody_knows_are_none() -> None:
    assert (ExecutorError("x").pool, ExecutorError("x").route) == (None, None)
    crash = WorkerCrashedError("x")
    assert (crash.exit_code, crash.pid) == (None, None)
    assert ExecutorTimeoutError("x").timeout is None


def test_errors_can_be_caught_as_what_they_are_elsewhere() -> None:
    assert issubclass(ExecutorTimeoutError, TimeoutError)
    assert issubclass(SoftTimeoutError, TimeoutError)
    assert issubclass(ExecutorConfigError, ValueError)
    assert issubclass(UnknownExecutorError, LookupError)
    for error in EXAMPLES:
        assert isinstance(error, ExecutorError)
        assert not isinstance(error, TypeError)


def test_a_remote_traceback_reads_as_text() -> None:
    shown = RemoteTraceback("Traceback ...\nValueError: no\n")
    assert str(shown) == '\n"""\nTraceback ...\nValueError: no\n"""'
    assert str(pickle.loads(pickle.dumps(shown))) == str(shown)


PLAIN = """
import pickle, sys
from genro_executor_plugin.errors import ExecutorOverloadError
error = ExecutorOverloadError("full", pool="pdf", retry_after=3)
assert type(error) is ExecutorOverloadError
assert not {"genro_asgi", "kajenn"} & {*sys.modules}
sys.stdout.buffer.write(pickle.dumps(error))
"""

WITH_A_HOST = host.written("""
import pickle, sys
from genro_executor_plugin.errors import *
early = ExecutorOverloadError("early", pool="pdf", retry_after=3)
import host
host.AsgiServer
from host import HTTPException
assert not isinstance(early, HTTPException)
for error in (
    ExecutorError("x"),
    ExecutorTimeoutError("x", timeout=1.0),
    UnknownExecutorError("x"),
    WorkerCrashedError("x", exit_code=-9),
    pickle.loads(pickle.dumps(early)),
    pickle.loads(sys.stdin.buffer.read()),
):
    assert isinstance(error, HTTPException), error
    assert type(error) is type(pickle.loads(pickle.dumps(error)))
    assert type(error).__module__ == "genro_executor_plugin.errors"
assert (error.status, error.headers) == (503, [(b"retry-after", b"3")])
assert error.pool == "pdf" and str(error) == "full"
try:
    raise ExecutorTimeoutError("slow")
except TimeoutError as caught:
    assert caught.errno is None
print("as it should be")
""")


def test_where_a_host_is_loaded_an_error_is_one_it_answers() -> None:
    """Also an error that was made in a process without it; and nobody imports it for that."""
    made = subprocess.run([sys.executable, "-c", PLAIN], capture_output=True, check=True)
    done = subprocess.run(
        [sys.executable, "-c", WITH_A_HOST],
        input=made.stdout,
        capture_output=True,
        check=False,
        env=environment(),
    )
    assert done.stdout == b"as it should be\n", done.stderr.decode()


def test_an_error_made_where_a_host_is_loaded_is_read_where_it_is_not(tmp_path: Any) -> None:
    there = tmp_path / "error"
    run_program(
        "-c",
        "import pickle, sys, host\n"
        "host.AsgiServer\n"
        "from genro_executor_plugin.errors import ExecutorTimeoutError\n"
        "error = ExecutorTimeoutError('slow', pool='pdf', timeout=2.0)\n"
        "open(sys.argv[1], 'wb').write(pickle.dumps(error))",
        there,
    )
    shown = run_program(
        "-c",
        "import pickle, sys, host\n"
        "error = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(type(error).__mro__[1].__name__, vars(error), host.PACKAGE in sys.modules)",
        there,
    )
    assert shown == "ExecutorError {'pool': 'pdf', 'route': None, 'timeout': 2.0} False\n"
