# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is used of other packages and not promised by them is still there, and is in one place."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from importlib.metadata import requires, version
from pathlib import Path

import host
import pytest

import genro_executor_plugin
from genro_executor_plugin.hosts import builders, reaches
from genro_executor_plugin.hosts.contract import HostServer, Reach, missing

pytestmark = pytest.mark.once

PACKAGE = Path(genro_executor_plugin.__file__).parent

OF_THE_HOST = import_module(f"genro_executor_plugin.hosts.{host.PACKAGE}").REACHES

REACHES = {
    host.DISTRIBUTION: reaches.REACHES + OF_THE_HOST,
    "genro-builders": builders.REACHES,
}

OWN_TOO = ("_loop", "_watch")
"""Names that classes of this package have, too."""

PRIVATE = {
    name
    for listed in REACHES.values()
    for reach in listed
    for name in reach.names
    if name.startswith("_") and name not in OWN_TOO
}


@pytest.mark.parametrize("distribution", REACHES)
def test_everything_that_is_used_and_not_promised_is_still_there(distribution: str) -> None:
    assert missing(distribution, REACHES[distribution], host.PACKAGE) == []


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("HOST:AuthCore()", "_kerberos"),
        ("HOST:RoutedApplication", "shutdown_hooks"),
        ("HOST:NoSuchServer", "demux"),
        ("HOST.no_such_module:Thing", "demux"),
    ],
)
def test_what_a_release_has_taken_away_is_told_by_name(owner: str, name: str) -> None:
    there = Reach("HOST:AsgiServer", ("demux",), use="nothing", wish="nothing")
    gone = Reach(owner, (name,), use="test the contract", wish="a public one")
    (line,) = missing(host.DISTRIBUTION, [there, gone], host.PACKAGE)
    assert line.startswith(
        f"{host.DISTRIBUTION} {version(host.DISTRIBUTION)} has taken away "
        f"{owner.partition(':')[2]}.{name}, which is used to test the contract ("
    )
    assert line.endswith("A public way would be a public one")


@pytest.mark.parametrize("distribution", REACHES)
def test_each_has_a_use_and_a_wish(distribution: str) -> None:
    for reach in REACHES[distribution]:
        assert reach.names, reach
        assert reach.use, reach
        assert reach.wish, reach


def test_what_is_typed_of_a_server_is_covered() -> None:
    """All but the pools, which this package gives to the server itself."""
    listed = {
        name
        for reach in reaches.REACHES
        if reach.owner == "HOST:AsgiServer"
        for name in reach.names
    }
    typed = {name for name in vars(HostServer) if not name.startswith("_")} - {"executors"}
    assert {"run_sync", "application_at"} <= typed <= listed


@pytest.mark.parametrize("reached", ["uvicorn_server", "tasks_enabled", "spool", "external_url"])
def test_nobody_else_asks_a_server_for_what_only_this_host_has(reached: str) -> None:
    found = [
        f"{path}:{node.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if "hosts" not in path.relative_to(PACKAGE).parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr == reached)
        or (isinstance(node, ast.Constant) and node.value == reached)
    ]
    assert not found, "\n".join(found)


def test_the_private_ones_are_used_in_hosts_only() -> None:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if "hosts" in path.relative_to(PACKAGE).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            own = (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in ("self", "cls")
            )
            used = {
                getattr(node, "attr", None),
                node.value if isinstance(node, ast.Constant) else None,
            }
            if not own and used & PRIVATE:
                found.append(f"{path}:{getattr(node, 'lineno', '?')}: {used & PRIVATE}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("distribution", [*REACHES, "genro-routes"])
def test_what_is_used_by_private_names_has_an_upper_bound_by_minor_version(
    distribution: str,
) -> None:
    """A minor version may take a private name away."""
    stated = requires("genro-executor-plugin") or []
    (found,) = [one for one in stated if re.match(rf"{distribution}\b(?!-)", one)]
    least = re.search(r">=(\d+)\.(\d+)", found)
    assert least is not None, found
    assert f"<{least[1]}.{int(least[2]) + 1}" in found
