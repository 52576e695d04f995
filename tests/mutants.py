# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Small changes of the code, one at a time, and whether a test notices each of them.

``python -m tests.mutants [PART ...] [--list]``; ``tox run -e mutation`` does all parts.

A part is a module that decides what others rely on, with the tests that have to notice. A change
is made in the tree of the module's source: another comparison, ``or`` for ``and``, a condition
turned around, a number one higher, a statement left out, a condition in SQL left out. Each mutant
runs in a fork of a process that has imported everything, whose functions are given other code.

``mutants.toml`` has those that no test notices, each with the reason why that is right. Ends with
1 if there are others, or if fewer than 85 % are noticed.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib
import os
import re
import signal
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

TESTS = Path(__file__).parent
PACKAGE = "genro_executor_plugin"

PARTS: dict[str, tuple[str, ...]] = {
    "executors/admission.py": ("executors/test_admission.py",),
    "tasks/limits.py": ("tasks/test_limits.py",),
    "engines/process/claims.py": ("engines/test_claims.py",),
    "tasks/store/__init__.py": ("tasks/test_job_states.py",),
    "tasks/store/recovery.py": ("tasks/test_job_states.py",),
    "tasks/store/repeating.py": ("tasks/test_job_states.py",),
    "tasks/status.py": ("tasks/test_job_states.py",),
    "console/access.py": ("console/test_access.py",),
    "console/token.py": ("console/test_access.py",),
    "remote/envelope.py": ("remote/test_envelope.py",),
    "tasks/store/signing.py": ("tasks/test_signing.py",),
}
"""Modules of the package, and the tests that have to notice what is changed in them."""

LEAST_NOTICED = 0.85

TIME_LIMIT_SECONDS = 60.0
"""How long the tests of a mutant may take; one that takes longer is noticed."""

_PRELOADED = (
    *("pytest", "pytest_asyncio.plugin", "pytest_timeout", "hypothesis", "httpx", "uvicorn"),
    *("agents", "host", "imported", "loop_watch", "loops", "rays", "servers", "worker_functions"),
)
"""What every test needs, in the process that is forked."""

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATIONS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
_SQL_CONDITION = re.compile(r" AND (?!kind <)\w+ (?:=|IN) (?:\?|'\w+'|\([^)]*\))")


class Mutant(NamedTuple):
    """A change.

    Attributes:
        name: where it is, what stands there, and what in its place.
        source: the module's source with it.
    """

    name: str
    source: str


# -- what is changed ------------------------------------------------------------------------------


def _instead_of(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of ``node``."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            changed = copy.deepcopy(node)
            changed.ops[place] = _COMPARISONS[type(operator)]()
            yield changed
    elif isinstance(node, ast.BoolOp):
        changed_bool = copy.deepcopy(node)
        changed_bool.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield changed_bool
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield node.operand
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _OPERATIONS:
        changed_operation = copy.deepcopy(node)
        changed_operation.op = _OPERATIONS[type(node.op)]()
        yield changed_operation
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.If | ast.While):
        changed_if = copy.deepcopy(node)
        changed_if.test = ast.UnaryOp(ast.Not(), node.test)
        yield changed_if
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        for found in _SQL_CONDITION.finditer(node.value):
            yield ast.Constant(node.value[: found.start()] + node.value[found.end() :])
    elif isinstance(node, ast.Raise | ast.Break | ast.Continue | ast.Delete) or (
        isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
    ):
        yield ast.Pass()
    elif isinstance(node, ast.Return) and ast.unparse(node) not in ("return", "return None"):
        yield ast.Return(ast.Constant(None))


def _places(
    node: ast.AST, function: str = ""
) -> Iterator[tuple[str, ast.AST, str, int | None, ast.AST]]:
    """Each node within a function: that function, its parent, field and index there, and it."""
    if isinstance(node, ast.Raise):
        return  # words of an error; that it is raised is changed by its own parent
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases", "keywords") and (
            not isinstance(node, ast.Call)
        ):
            continue
        listed = isinstance(value, list)
        for index, child in enumerate(value if listed else [value]):
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr):
                continue
            inside = function
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inside = f"{function}.{child.name}".lstrip(".")
            elif function:
                yield function, node, name, index if listed else None, child
            yield from _places(child, inside)


def mutants_of(source: str) -> list[Mutant]:
    """Every change of ``source``, each with a name that no other one has."""
    tree = ast.parse(source)
    found: list[Mutant] = []
    names: Counter[str] = Counter()
    for function, parent, name, index, node in list(_places(tree)):
        for instead in _instead_of(node):
            _put(parent, name, index, instead)
            changed = ast.unparse(ast.fix_missing_locations(tree))
            _put(parent, name, index, node)
            described = f"{function}: {_line(node)} -> {_line(instead)}"
            names[described] += 1
            number = f" ({names[described]})" if names[described] > 1 else ""
            found.append(Mutant(described + number, changed))
    return found


def _put(parent: ast.AST, name: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[index] = node


def _line(node: ast.AST) -> str:
    first = ast.unparse(ast.fix_missing_locations(node)).partition("\n")[0]
    return first if len(first) <= 90 else f"{first[:87]}..."


# -- whether it is noticed ------------------------------------------------------------------------


def _functions(holder: Any, module: str) -> Iterator[FunctionType]:
    """The functions of a module or a class that were written in ``module``."""
    for value in list(vars(holder).values()):
        if isinstance(value, type) and value.__module__ == module:
            yield from _functions(value, module)
        parts = (value.fget, value.fset) if isinstance(value, property) else (value,)
        for part in parts:
            function = getattr(part, "__func__", part)
            if isinstance(function, FunctionType) and function.__module__ == module:
                yield function


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _change(name: str, source: str) -> None:
    """Give the functions of module ``name`` the code that they have in ``source``.

    Whoever has imported them has changed ones then.
    """
    module = sys.modules[name]
    changed: defaultdict[str, list[CodeType]] = defaultdict(list)
    for code in _codes(compile(source, str(module.__file__), "exec")):
        changed[code.co_qualname].append(code)
    for function in _functions(module, name):
        codes = changed[function.__code__.co_qualname]
        if len(codes) == 1:  # what has no name of its own is within what has one
            function.__code__ = codes[0]


def _is_noticed(part: str, source: str) -> bool:
    """Whether the tests of ``part`` fail with ``source``, run in a fork."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        with open(os.devnull, "r+b", buffering=0) as nothing:
            for descriptor in (0, 1, 2):
                os.dup2(nothing.fileno(), descriptor)
        ended = 3
        try:
            ended = _run_tests(part, source)
        finally:
            os._exit(ended)
    status = _status_of(pid)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return status != 0


def _run_tests(part: str, source: str) -> int:
    import pytest

    _change(_module(part), source)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = os.devnull
    tests = [str(TESTS / file) for file in PARTS[part]]
    quiet = ("--assert", "plain", "--tb", "no", "-W", "ignore::pytest.PytestAssertRewriteWarning")
    without = ("no:cacheprovider", "no:xdist", "no:rerunfailures")
    named = [word for plugin in without for word in ("-p", plugin)]
    return int(pytest.main(["-x", "-q", "--timeout", "20", *quiet, *named, *tests]))


def _status_of(pid: int) -> int:
    end = time.monotonic() + TIME_LIMIT_SECONDS
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -signal.SIGKILL


def _module(part: str) -> str:
    return ".".join((PACKAGE, *Path(part).with_suffix("").parts)).removesuffix(".__init__")


def _import(parts: list[str]) -> None:
    """Import what the tests of ``parts`` need, for all forks."""
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]
    for name in (*_PRELOADED, *(_module(part) for part in parts)):
        importlib.import_module(name)


# -- the report -----------------------------------------------------------------------------------


def _excused() -> dict[str, dict[str, str]]:
    """The mutants that nothing has to notice, by part, each with its reason."""
    return tomllib.loads((TESTS / "mutants.toml").read_text())


def check(part: str, names: list[str] | None = None) -> tuple[int, list[str]]:
    """How many mutants of ``part`` there are, and the names of those that no test notices.

    Raises:
        SystemExit: the tests fail without a change.
    """
    source = (TESTS.parent / PACKAGE / part).read_text()
    if _is_noticed(part, source):
        raise SystemExit(f"the tests of {part} fail as it is: {', '.join(PARTS[part])}")
    found = [one for one in mutants_of(source) if names is None or one.name in names]
    unnoticed = [one.name for one in found if not _is_noticed(part, one.source)]
    return len(found), unnoticed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART")
    parser.add_argument("--list", action="store_true", help="only say what would be changed")
    chosen = parser.parse_args()
    if chosen.list:
        for part in chosen.parts:
            for mutant in mutants_of((TESTS.parent / PACKAGE / part).read_text()):
                print(f"{part}: {mutant.name}")
        return 0
    _import(chosen.parts)
    excused = _excused()
    total, left, wrong = 0, 0, False
    for part in chosen.parts:
        began = time.monotonic()
        number, unnoticed = check(part)
        total += number
        left += len(unnoticed)
        reasons = excused.get(part, {})
        noticed = f"{number - len(unnoticed)} of {number} noticed"
        print(f"{part}: {noticed}, {time.monotonic() - began:.0f} s", flush=True)
        for name in unnoticed:
            if name not in reasons:
                wrong = True
                print(f"  not noticed, and no reason is given: {name}", flush=True)
        for name in reasons.keys() - set(unnoticed):
            wrong = True
            print(f"  is noticed or gone, take its reason away: {name}", flush=True)
    rate = 1 - left / total
    print(f"{total} mutants, {rate:.1%} noticed, {left} with or without a reason are not")
    return int(wrong or rate < LEAST_NOTICED)


if __name__ == "__main__":
    sys.exit(main())
