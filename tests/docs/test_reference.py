# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The reference lists what the code has: every option, error, metric, command and public name."""

from __future__ import annotations

import ast
import dataclasses
import re
from pathlib import Path

import pytest

import genro_executor_plugin
from genro_executor_plugin import ExecutorError, errors
from genro_executor_plugin.cli import main
from genro_executor_plugin.hosts.names import LAUNCHER_ENV
from genro_executor_plugin.options.pool import PoolOptions

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference"

pytestmark = pytest.mark.once


def rows(path: Path, heading: str = "") -> list[list[str]]:
    """The rows of all tables of a page, or of one section of it, as cells."""
    text = path.read_text(encoding="utf-8")
    if heading:
        text = re.split(r"^#+ ", text.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.M)[0]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def named(cells: list[list[str]]) -> set[str]:
    """What the first cells name in code."""
    return {name for row in cells for name in re.findall(r"`(\w+)`", row[0])}


def test_every_option_of_a_pool_is_there() -> None:
    """No option is missing from the table, and the table names none that does not exist."""
    options = {field.name for field in dataclasses.fields(PoolOptions)} - {"pool", "name", "own"}
    listed = named(rows(REFERENCE / "options.md", "Of a pool")) - {"option"}
    assert listed - {"executor_type"} == options


def test_defaults_of_options_are_those_of_the_code() -> None:
    """What the table says of a default is what a pool has that is told nothing."""
    said = {
        name.strip("` "): row[1].strip("`")
        for row in rows(REFERENCE / "options.md", "Of a pool")
        for name in row[0].split(",")
    }
    for field in dataclasses.fields(PoolOptions):
        default = field.default
        if isinstance(default, (int, float, str)) and field.name in said:
            text = said[field.name].split("`, ")[0].split(",")[0].strip('`"')
            assert text in (str(default), f"{default:g}" if isinstance(default, float) else ""), (
                field.name
            )


def test_every_error_is_there_with_its_status() -> None:
    """Each public error has its row, and the status is that of its class."""
    classes = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, ExecutorError)
    ]
    table = {re.findall(r"`(\w+)`", row[0])[0]: row for row in rows(REFERENCE / "errors.md")[2:]}
    assert set(table) == {cls.__name__ for cls in classes}
    for cls in classes:
        if "does not start" not in table[cls.__name__][2]:
            assert str(cls.status) in table[cls.__name__][2], cls.__name__


def test_every_metric_is_there() -> None:
    """The console's page has every name that a scrape can have."""
    code = Path(genro_executor_plugin.__path__[0], "console", "prometheus.py")
    names = re.findall(r'"(genro_executor_\w+)"', code.read_text(encoding="utf-8"))
    assert len(names) >= 12
    listed = " ".join(row[0] for row in rows(DOCS / "how-to" / "console.md", "Metrics"))
    short = [name.removeprefix("genro_executor") for name in names]
    assert [name for name in short if f"{name}`" not in listed and f"{name}_" not in listed] == []


def test_every_command_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """The page of the command line has each command that ``--help`` names."""
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^ {2,4}(\w+) {2,}", capsys.readouterr().out, re.MULTILINE)
    assert len(commands) >= 5
    page = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    assert [name for name in commands if f"genro-executor {name}" not in page] == []


def test_every_public_name_is_there() -> None:
    """The page of the API, or that of errors, has each name of the package."""
    pages = "".join(
        (REFERENCE / name).read_text(encoding="utf-8") for name in ("api.md", "errors.md")
    )
    missing = [
        name
        for name in genro_executor_plugin.__all__
        if not re.search(rf"\b{name}\b", pages) and not name.startswith("_")
    ]
    assert missing == []


_VARIABLE = re.compile(r"_?[A-Z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
_WHOLE = ("portable/process_start.py",)
"""What takes over the whole environment of the server, whatever it has."""


def read_from_environment(package: Path) -> dict[str, str]:
    """The variables that code in ``package`` names, with the file of each."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in package.rglob("*.py")}
    constants: dict[str, list[str]] = {}  # of each module, and those that others import
    for path, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name):
                    inside = (one.value for one in ast.walk(node.value)
                              if isinstance(one, ast.Constant))  # fmt: skip
                    texts = [value for value in inside if isinstance(value, str)]
                    constants[f"{path}:{target.id}"] = constants[target.id] = texts
    found: dict[str, str] = {}
    for path, tree in trees.items():
        place = path.relative_to(package).as_posix()
        loops = {node.target.id: node.iter for node in ast.walk(tree)
                 if isinstance(node, ast.For | ast.comprehension)
                 and isinstance(node.target, ast.Name)}  # fmt: skip
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and re.fullmatch(r"GENRO_EXECUTOR_[A-Z_]+", node.value)
            ):
                found[node.value] = place
            for key in _keys(node):
                key = loops.get(key.id, key) if isinstance(key, ast.Name) else key
                if isinstance(key, ast.Constant):
                    found[key.value] = place
                elif isinstance(key, ast.Name) and key.id in constants:
                    texts = constants.get(f"{path}:{key.id}", constants[key.id])
                    found.update(dict.fromkeys(texts, place))
                elif isinstance(key, ast.Name) and key.id == "LAUNCHER_ENV":
                    found[LAUNCHER_ENV] = place
                elif place not in _WHOLE and not isinstance(key, ast.BoolOp | ast.Call):
                    assert ast.unparse(key) in {"name"}, (place, ast.unparse(key))
    return found


def _keys(node: ast.AST) -> list[ast.expr]:
    """What ``node`` asks of the environment, if it does."""
    if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
        return [node.slice]
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if re.fullmatch(r"os\.environ\.(get|pop|setdefault)|os\.getenv", called):
            return node.args[:1]
    if isinstance(node, ast.Compare) and ast.unparse(node.comparators[-1]) == "os.environ":
        return [node.left]
    return []


def test_every_environment_variable_is_there() -> None:
    """Each one that the code names, and no other."""
    package = Path(genro_executor_plugin.__path__[0])
    found = read_from_environment(package)
    assert len(found) >= 15
    assert all(_VARIABLE.fullmatch(name) for name in found), found
    page = (REFERENCE / "environment.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`(_?[A-Z][A-Z_]{3,}|TZ|RAY_\w+)`", page))
    assert found.keys() - listed == set()
    code = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    of_hosts = {"GENRO_ASGI_LAUNCHER", "KAJENN_LAUNCHER"}
    assert [name for name in listed - of_hosts if name not in code] == []
