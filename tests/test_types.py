# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Type checkers know arguments, results and options, and report what is wrong."""

from __future__ import annotations

import contextvars
import getpass
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import ConfigDict, TypeAdapter, ValidationError

import genro_executor_plugin
from genro_executor_plugin.engines.nats.options import OWN_OPTIONS
from genro_executor_plugin.engines.ray.options import OWN_OPTIONS as RAY_OPTIONS
from genro_executor_plugin.errors import ExecutorConfigError
from genro_executor_plugin.executors.kinds import BUILT_IN
from genro_executor_plugin.options.call import CALL_OPTIONS
from genro_executor_plugin.options.checks import check_option
from genro_executor_plugin.options.keywords import (
    AgentKeywords,
    CallKeywords,
    NatsPoolKeywords,
    PoolKeywords,
    ProcessPoolKeywords,
    RayKeywords,
    RayPoolKeywords,
    ThreadPoolKeywords,
)
from genro_executor_plugin.options.pool import PoolOptions
from genro_executor_plugin.tasks.keywords import TaskKeywords, TaskSettingsKeywords
from genro_executor_plugin.tasks.options import TaskOptions, TaskSettings

pytestmark = pytest.mark.once

USES = Path(__file__).parent / "typing" / "uses.py"

TOP = Path(genro_executor_plugin.__file__).parents[1]

MARK = re.compile(r"# mypy: (?P<mypy>[\w-]+), pyright: (?P<pyright>\w+)$")

VARIABLE: contextvars.ContextVar[int] = contextvars.ContextVar("VARIABLE")

SAMPLES = (
    *(
        None,
        True,
        False,
        1,
        1.5,
        "wait",
        "fail",
        "spawn",
        "kill",
        "fast",
        "512MB",
        getpass.getuser(),
    ),
    *(len, [min(os.sched_getaffinity(0))], (1,), {"A": "b"}, ["json"], ("json",), ["0", 1]),
    *(["test_types:VARIABLE"], [VARIABLE], b"x", 1j),
)
"""Values of which each is right for some options and wrong for the others."""


def check_reported(checker: str, errors: Iterable[tuple[int, str]]) -> None:
    """Assert that ``errors`` of ``checker``, by line and code, are those that are marked.

    What else it says about a line that is wrong differs from version to version.
    """
    found = defaultdict(set)
    for number, code in errors:
        found[number].add(code)
    for number, line in enumerate(USES.read_text(encoding="utf-8").splitlines(), start=1):
        mark = MARK.search(line)
        said = found.get(number, set())
        assert bool(said) == bool(mark), f"{checker} says {said} of line {number}: {line}"
        assert mark is None or mark[checker] in said, f"{checker} says {said} of {line}"


def run_checker(*command: str, cwd: Path, **variables: str) -> str:
    """What a type checker, started in ``cwd``, writes about the file of uses."""
    python = Path(sys.executable)
    path = os.pathsep.join((str(python.parent), os.environ.get("PATH", "")))
    done = subprocess.run(
        [sys.executable, "-m", *command, str(USES)],
        cwd=cwd,
        env={**os.environ, "PATH": path, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr + done.stdout
    return done.stdout


@pytest.mark.timeout(300)
def test_mypy_knows_results_and_reports_wrong_uses(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """In a folder of its own: whatever lies in the working folder, mypy takes for its modules."""
    # A wheel's package is found by itself; mypy refuses to be told of site-packages.
    installed = sysconfig.get_path("purelib")
    found = {} if str(TOP) == installed else {"MYPYPATH": str(TOP)}
    kept: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    cache = tmp_path if kept is None else kept.mkdir("mypy")
    told = run_checker(
        *("mypy", "--strict", f"--cache-dir={cache}", "--no-pretty"), cwd=tmp_path, **found
    )
    errors = re.findall(r"uses\.py:(\d+): error: .*\[([\w-]+)\]$", told, re.MULTILINE)
    check_reported("mypy", ((int(line), code) for line, code in errors))


@pytest.mark.timeout(300)
def test_pyright_knows_results_and_reports_wrong_uses() -> None:
    told = run_checker("pyright", "--outputjson", cwd=TOP)  # where it is imported from
    errors = json.loads(told)["generalDiagnostics"]
    found = ((error["range"]["start"]["line"] + 1, error["rule"]) for error in errors)
    check_reported("pyright", found)


KEYWORDS: dict[str, Any] = {
    "inline": ThreadPoolKeywords,
    "thread": ThreadPoolKeywords,
    "process": ProcessPoolKeywords,
    "nats": NatsPoolKeywords,
    "ray": RayPoolKeywords,
}


def test_the_keywords_of_a_kind_are_the_options_that_it_keeps() -> None:
    options = PoolOptions.__dataclass_fields__.keys() - {"own"}
    for kind, keywords in KEYWORDS.items():
        known = BUILT_IN[kind].kind
        assert known is not None
        kept = {name for name in options if known.why_not(name) is None}
        assert keywords.__optional_keys__ == kept | known.own_options.keys(), kind


def test_the_keywords_of_pools_calls_and_jobs_are_their_options() -> None:
    options = PoolOptions.__dataclass_fields__.keys() - {"own"}
    of_agents = AgentKeywords.__optional_keys__
    of_ray = RayKeywords.__optional_keys__
    assert PoolKeywords.__optional_keys__ == options | of_agents | of_ray
    assert of_agents == OWN_OPTIONS.keys()
    assert of_ray == RAY_OPTIONS.keys()
    assert CallKeywords.__optional_keys__ == set(CALL_OPTIONS)
    assert TaskKeywords.__optional_keys__ == TaskOptions.__dataclass_fields__.keys()
    assert TaskSettingsKeywords.__optional_keys__ == TaskSettings.__dataclass_fields__.keys()


@pytest.mark.parametrize(
    "option",
    sorted(
        PoolKeywords.__optional_keys__
        - AgentKeywords.__optional_keys__
        - RayKeywords.__optional_keys__
    ),
)
def test_an_option_has_the_type_of_what_it_may_be(option: str) -> None:
    type_of = get_type_hints(PoolKeywords)[option]
    for value in SAMPLES:
        try:
            check_option("here", option, value)
        except ExecutorConfigError as error:
            # What is only this value's fault says nothing of its type.
            refused = str(error)
        else:
            refused = ""
        assert fits(value, type_of) or refused, f"{option}={value!r} is taken and does not fit"
        if not refused:
            continue
        assert not fits(value, type_of) or is_a_matter_of_value(option, value), refused


def is_a_matter_of_value(option: str, value: object) -> bool:
    """Whether ``value`` has the type of ``option`` and is refused for what it says."""
    texts = {"memory_limit", "max_memory_per_child", "user"}
    names = {"context", "cpu_affinity"}
    return (option in texts and isinstance(value, str)) or option in names


def fits(value: object, type_of: Any) -> bool:
    """Whether a type checker takes ``value`` for a ``type_of``."""
    try:
        TypeAdapter(type_of, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(
            value, strict=True
        )
    except ValidationError:
        return False
    return True


def test_call_keywords_are_those_of_pools_or_none() -> None:
    pools: Mapping[str, Any] = get_type_hints(PoolKeywords)
    of_calls = get_type_hints(CallKeywords)
    for option in "key", "key_serial":  # no pool has them
        type_of = of_calls.pop(option)
        for value in SAMPLES:
            if fits(value, type_of) and value is not None:
                check_option("here", option, value)
    for option, type_of in of_calls.items():
        for value in SAMPLES:
            assert fits(value, type_of) == (value is None or fits(value, pools[option])), option
