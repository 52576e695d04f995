# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The private names of genro-routes that are used: all there, and reached from one place only."""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from genro_routes import Router, RoutingClass, route
from genro_routes.core.router_node import RouterNode
from genro_routes.plugins import BasePlugin, MethodEntry

import genro_executor_plugin
from genro_executor_plugin.portable.state.placeholders import LEFT_BEHIND
from genro_executor_plugin.portable.state.section_names import CAPABILITIES, CONTEXT
from genro_executor_plugin.routing.privates import PRIVATE_NAMES

PACKAGE = Path(genro_executor_plugin.__file__).parent

ONLY_PLACE = "routing/privates.py"

NAMES_OF_SECTIONS = "portable/state/section_names.py"
"""Where those are written that what makes a call portable must know, too."""

HOSTS_OWN = {"_server"}
"""What never travels to a worker and is not of genro-routes, but of the host."""


class Shelf(RoutingClass):
    @route()
    def book(self) -> str:
        return "read"


def owners() -> dict[str, Any]:
    return {
        "Router": Shelf().route,
        "BasePlugin": BasePlugin,
        "RoutingClass": RoutingClass,
        "@route function": Shelf.book,
    }


def taken_away(owners: dict[str, Any]) -> list[str]:
    """The names that are used and that ``owners`` do not have, each with what is wished for."""
    return [
        f"{used.owner}.{used.name} (wished for: {used.wish})"
        for used in PRIVATE_NAMES
        if not hasattr(owners[used.owner], used.name)
    ]


def test_genro_routes_still_has_the_private_names_that_are_used() -> None:
    version = importlib.metadata.version("genro-routes")
    missing = taken_away(owners())
    assert not missing, f"genro-routes {version} has taken away: {'; '.join(missing)}"


def test_a_name_that_is_taken_away_is_said_by_name() -> None:
    class Newer:
        _children: dict[str, Any] = {}
        _bound = True
        _plugin_info: dict[str, Any] = {}

        def _wrap_handler(self) -> None: ...

        def _create_wrapper(self) -> None: ...

    (missing,) = taken_away({**owners(), "Router": Newer()})
    assert missing.startswith("Router._entries (wished for: Router.entries")


def test_every_private_name_has_a_wish_and_is_used() -> None:
    source = (PACKAGE / ONLY_PLACE).read_text(encoding="utf-8")
    for used in PRIVATE_NAMES:
        assert used.wish
        reach = re.compile(rf'\.{used.name}\b|getattr\([a-z]+, "{used.name}"')
        is_used = used.name in (*LEFT_BEHIND, CONTEXT, CAPABILITIES) or reach.search(source)
        assert is_used, f"{used.owner}.{used.name} is listed and not used"


@pytest.mark.parametrize("name", sorted(set(LEFT_BEHIND) - HOSTS_OWN))
def test_what_never_travels_to_a_worker_is_still_an_attribute_of_a_section(name: str) -> None:
    assert name in RoutingClass.__slots__
    assert ("RoutingClass", name) in {(used.owner, used.name) for used in PRIVATE_NAMES}


PRIVATE = {
    name
    for owner in (Router, BasePlugin, RoutingClass, RouterNode, MethodEntry)
    for name in (*dir(owner), *(used.name for used in PRIVATE_NAMES))
    if name.startswith("_") and not name.startswith("__")
} | {used.name for used in PRIVATE_NAMES}


OF_OTHERS = {("worker/stacks.py", "_children")}
"""Names that something else has as well: of what ``asyncio.gather`` returns."""


def reaches_of(path: Path) -> Iterator[str]:
    """Where ``path`` reaches for a private name of another object, or has one as a text."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own_slots = {
        id(constant)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__"
        for constant in ast.walk(node.value)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in PRIVATE:
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield f"{path}:{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Constant) and node.value in PRIVATE and id(node) not in own_slots:
            if path.is_relative_to(PACKAGE) and (
                (path.relative_to(PACKAGE).as_posix(), node.value) in OF_OTHERS
            ):
                continue
            yield f"{path}:{node.lineno}: {ast.unparse(node)}"


def test_they_are_reached_for_in_one_place_only() -> None:
    found = [
        reach
        for path in sorted(PACKAGE.rglob("*.py"))
        if path not in (PACKAGE / ONLY_PLACE, PACKAGE / NAMES_OF_SECTIONS)
        for reach in reaches_of(path)
    ]
    assert not found, found
    assert list(reaches_of(PACKAGE / ONLY_PLACE))


def test_a_private_name_is_seen_wherever_it_is_written(tmp_path: Path) -> None:
    written = tmp_path / "written.py"
    written.write_text(
        '"""The parent is in _routing_parent."""\n'
        "router._entries\n"
        "self._entries = {}\n"
        "getattr(section, '_routing_parent')\n"
        "explanations = {'_ctx': 'the context stays in the server'}\n"
        "vars(section)['__genro_routes_router__']\n"
        "class Own:\n"
        "    __slots__ = ('_entries',)\n"
    )
    lines = [found.split(":")[1] for found in reaches_of(written)]
    assert sorted(lines) == ["2", "4", "5", "6"]
