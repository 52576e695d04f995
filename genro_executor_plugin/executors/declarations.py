# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What ``executors=`` of a server or a registry takes, as pools with their options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["declared"]


def declared(executors: Any, mistakes: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The pools in ``{name: options}`` or ``[{"name": ..., **options}]``.

    What is neither goes to ``mistakes``.
    """
    if executors is None:
        return
    if isinstance(executors, Mapping):
        for name, options in executors.items():
            if isinstance(options, Mapping):
                yield name, _named(name, options, mistakes)
            else:
                mistakes.append(f"pool {name!r}: its options are a dict, not {options!r}")
        return
    if isinstance(executors, str) or not isinstance(executors, Iterable):
        mistakes.append(
            f"executors={executors!r}: give {{name: options}} or a list of dicts with a 'name'"
        )
        return
    seen: set[str] = set()
    for item in executors:
        if not isinstance(item, Mapping) or "name" not in item:
            mistakes.append(
                f"executors: {item!r} is not a dict with a 'name' and the pool's options"
            )
            continue
        name = item["name"]
        if isinstance(name, str) and name in seen:
            mistakes.append(f"executors: pool {name!r} is in the list twice")
            continue
        seen.add(str(name))
        options = {option: value for option, value in item.items() if option != "name"}
        yield name, _named(name, options, mistakes)


def _named(name: object, options: Mapping[Any, Any], mistakes: list[str]) -> dict[str, Any]:
    """``options`` as keyword arguments; what can be none is an unknown option."""
    usable: dict[str, Any] = {}
    for option, value in options.items():
        if isinstance(option, str) and option not in ("name", "self"):
            usable[option] = value
        else:
            mistakes.append(f"pool {name!r}: unknown option {option!r}")
    return usable
