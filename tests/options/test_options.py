# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Options of a pool: what is refused, in which words, and what a complete set looks like."""

from __future__ import annotations

import math
import os
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genro_executor_plugin import ExecutorConfigError, ExecutorRegistry
from genro_executor_plugin.executors.kinds import BUILT_IN
from genro_executor_plugin.options.granted import granted_cpus
from genro_executor_plugin.options.kinds import Kind
from genro_executor_plugin.options.pool import PoolOptions

COUNTS = (
    "max_workers",
    "min_workers",
    "threads_per_worker",
    "nice",
    "max_pending",
    "max_waiting",
    "retries",
    "max_tasks_per_child",
)
TIMES = (
    "idle_timeout",
    "queue_timeout",
    "timeout",
    "soft_timeout",
    "max_lifetime",
    "shutdown_timeout",
)
CHOICES: dict[str, tuple[Any, ...]] = {
    "start_method": ("forkserver", "spawn"),
    "on_overload": ("wait", "fail"),
    "on_cancel": ("kill", "abandon"),
    "bypass": (True, False, "fast"),
    "warm": (True, False),
}
KINDS = ("process", "thread", "inline")


def kind_named(name: str) -> Kind:
    kind = BUILT_IN[name].kind
    assert kind is not None
    return kind


WRONG: list[tuple[str, Any, str]] = [
    *((name, value, "a whole number of at least") for name in COUNTS for value in (
        -1, 1.0, "2", True, math.nan, [1], 2j, b"1", object(),
    )),
    *((name, 0, "a whole number of at least 1") for name in (
        "max_workers", "threads_per_worker", "max_pending", "max_tasks_per_child",
    )),
    *((name, None, "a whole number of at least") for name in (
        "min_workers", "threads_per_worker", "max_pending", "retries",
    )),
    *((name, value, "a number of seconds") for name in TIMES for value in (
        -0.1, math.nan, math.inf, -math.inf, "5", True, [1], Decimal(1), 1j, object(), 10**400,
    )),
    ("timeout", 0, "a number of seconds above 0"),
    ("queue_timeout", 0.0, "a number of seconds above 0"),
    ("shutdown_timeout", None, "a number of seconds from 0"),
    *((name, value, "one of") for name in CHOICES for value in (
        None, 1, 0, "", "no", b"wait", ["fail"], "WAIT",
    )),
    ("start_method", "fork", "'forkserver', 'spawn'"),
    *(("initializer", value, "a callable") for value in ("load", 1, b"", ())),
    *(("initargs", value, "a tuple of arguments") for value in ("model", 1, None, {"a": 1})),
    *(("preload", value, "a list of module names") for value in (
        "numpy", 5, None, [1], ["numpy", None], 1.5,
    )),
    *(("max_memory_per_child", value, "a number of bytes above 0") for value in (
        0, -1, 1.5, True, "", "much", "-1MB", "1 PB", "9" * 400 + "TB", [1], math.nan,
    )),
    *(("cpu_affinity", value, "a list of processors out of") for value in (
        [], "0", 0, [-1], [10**6], [None], [[0]], ["0"], 1.5, object(),
    )),
]  # fmt: skip


@pytest.mark.parametrize(
    ("option", "value", "allowed"), WRONG, ids=lambda part: f"{part!r:.20}".replace("::", ":")
)
def test_a_wrong_value_is_refused_in_full_words(option: str, value: Any, allowed: str) -> None:
    """The message names the pool, the option, the value and what is allowed."""
    with pytest.raises(ExecutorConfigError) as caught:
        ExecutorRegistry({"reports": {option: value}})
    message = str(caught.value)
    assert "pool 'reports'" in message
    assert f"{option}={repr(value)[:100]}" in message  # a number may be as long as a request
    assert allowed in message
    assert caught.value.pool == "reports"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("option", ["max_worker", "min_workerss", "", "name ", "Timeout"])
def test_an_unknown_option_is_refused_with_those_that_are_known(kind: str, option: str) -> None:
    with pytest.raises(ExecutorConfigError) as caught:
        PoolOptions.declare("reports", kind_named(kind), {option: 1})
    message = str(caught.value)
    assert message.startswith(f"pool 'reports': unknown option {option!r}; a {kind} pool takes ")
    assert "max_workers" in message
    assert ("start_method" in message) is (kind == "process")


OF_OTHER_KINDS = [
    ("process", "abandon_on_timeout", True),
    *(
        (kind, option, value)
        for kind in ("thread", "inline")
        for option, value in (
            ("preload", ["numpy"]),
            ("start_method", "spawn"),
            ("retries", 1),
            ("max_tasks_per_child", 10),
            ("max_memory_per_child", "1GB"),
            ("max_lifetime", 60),
            ("min_workers", 1),
            ("idle_timeout", 5),
            ("threads_per_worker", 2),
            ("warm", True),
            ("nice", 5),
            ("cpu_affinity", [0]),
            ("soft_timeout", 5),
            ("on_cancel", "abandon"),
            ("timeout", 5),
        )
    ),
]


@pytest.mark.parametrize(("kind", "option", "value"), OF_OTHER_KINDS)
def test_what_a_kind_cannot_keep_it_refuses(kind: str, option: str, value: Any) -> None:
    with pytest.raises(ExecutorConfigError) as caught:
        ExecutorRegistry({"reports": {"executor_type": kind, option: value}})
    message = str(caught.value)
    assert "pool 'reports'" in message
    assert option in message
    assert repr(value) in message or repr(float(value)) in message
    assert f"is not for a {kind} pool" in message


def test_a_thread_may_be_abandoned_where_that_is_wanted() -> None:
    options = PoolOptions.declare(
        "db", kind_named("thread"), {"timeout": 5, "abandon_on_timeout": True}
    )
    assert options.timeout == 5.0
    with pytest.raises(ExecutorConfigError, match="abandon_on_timeout=True"):
        PoolOptions.declare("db", kind_named("thread"), {"timeout": 5})


def test_arguments_without_an_initializer_are_refused() -> None:
    with pytest.raises(ExecutorConfigError, match=r"pool 'ml': initargs=\(1,\) without an init"):
        PoolOptions.declare("ml", kind_named("process"), {"initargs": [1]})


@pytest.mark.parametrize("kind", [None, "", "Process", "procces", 3, [], {}, ("thread",), b"local"])
def test_an_unknown_kind_is_refused_with_those_that_are_known(kind: Any) -> None:
    with pytest.raises(ExecutorConfigError) as caught:
        ExecutorRegistry({"reports": {"executor_type": kind}})
    message = str(caught.value)
    assert "pool 'reports'" in message
    assert f"executor_type={kind!r}" in message
    for known in ("inline", "thread", "local", "process"):
        assert repr(known) in message


def test_what_is_not_given_has_its_default() -> None:
    options = PoolOptions.declare("cpu", kind_named("process"), {})
    assert options == PoolOptions(
        max_workers=granted_cpus(),
        min_workers=0,
        idle_timeout=None,
        threads_per_worker=1,
        warm=False,
        nice=0,
        cpu_affinity=None,
        initializer=None,
        initargs=(),
        preload=(),
        start_method="forkserver",
        max_pending=100,
        on_overload="wait",
        queue_timeout=None,
        timeout=None,
        soft_timeout=None,
        retries=0,
        on_cancel="kill",
        max_tasks_per_child=None,
        max_memory_per_child=None,
        max_lifetime=None,
        shutdown_timeout=10.0,
        abandon_on_timeout=False,
        bypass=False,
    )
    assert PoolOptions.declare("db", kind_named("thread"), {}).max_workers == 40
    assert PoolOptions.declare("db", kind_named("thread"), {"max_workers": None}).max_workers == 40


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"min_workers": 3, "max_workers": 2}, ("min_workers=3", "max_workers=2")),
        ({"soft_timeout": 5, "timeout": 5}, ("soft_timeout=5", "timeout=5")),
        ({"soft_timeout": 6, "timeout": 5.5}, ("soft_timeout=6", "timeout=5.5")),
        ({"soft_timeout": 5, "threads_per_worker": 2}, ("soft_timeout=5", "threads_per_worker=2")),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    options: dict[str, Any], named: tuple[str, str]
) -> None:
    with pytest.raises(ExecutorConfigError) as caught:
        PoolOptions.declare("reports", kind_named("process"), options)
    for text in ("pool 'reports'", *named):
        assert text in str(caught.value)
    assert caught.value.pool == "reports"


@pytest.mark.parametrize(
    ("given", "bytes_"),
    [
        (None, None),
        (1, 1),
        ("1", 1),
        ("512MB", 512 * 1000**2),
        ("512 mb", 512 * 1000**2),
        ("1.5 GiB", 3 * 1024**3 // 2),
        ("2KiB", 2048),
        ("1TB", 1000**4),
    ],
)
def test_memory_is_bytes_or_a_text(given: Any, bytes_: int | None) -> None:
    options = PoolOptions.declare("reports", kind_named("process"), {"max_memory_per_child": given})
    assert options.max_memory_per_child == bytes_


def test_values_have_one_form() -> None:
    options = PoolOptions.declare(
        "ml",
        kind_named("process"),
        {"timeout": 5, "initializer": print, "initargs": [1, 2], "preload": ["a", "b"]},
    )
    assert options.timeout == 5.0
    assert isinstance(options.timeout, float)
    assert options.initargs == (1, 2)
    assert options.preload == ("a", "b")


def test_granted_cpus_are_those_of_this_process() -> None:
    assert granted_cpus() == len(os.sched_getaffinity(0))


plain_values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text("aw1 -.", max_size=5)  # any text would first build a table of all characters
    | st.binary(max_size=5)
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text("ab", max_size=2), st.integers(), max_size=2)
    | st.sampled_from(["wait", "fail", "kill", "abandon", "spawn", "fork", "fast", print, int])
)


@given(
    kind=st.sampled_from(KINDS),
    options=st.dictionaries(
        st.sampled_from(
            [*COUNTS, *TIMES, *CHOICES, "initializer", "initargs", "preload", "cpu_affinity"]
        ),
        plain_values,
        max_size=2,
    ),
)
def test_whatever_is_given_is_taken_as_it_is_or_refused_by_name(
    kind: str, options: dict[str, Any]
) -> None:
    """No value gets through as another one, and none raises anything else."""
    try:
        made = PoolOptions.declare("reports", kind_named(kind), options)
    except ExecutorConfigError as refused:
        message = str(refused)
    else:
        message = None
    if message is not None:
        assert "pool 'reports'" in message
        assert any(option in message for option in options)
        return
    for option, value in options.items():
        kept = getattr(made, option)
        if isinstance(kept, tuple):
            value = tuple(value)
        assert kept == value or (option == "max_workers" and value is None)
