# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The word ``pool`` of a configuration recipe, and how it is read.

A recipe writes ``node.pool(code="pdf", max_workers=2)`` below an element whose grammar has
``PoolGrammar``. A pool is not checked at that line but when the pools are read, so that every
mistake in every pool is reported at once, with its file and line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import ExecutorConfigError
from ..executors.kinds import EVERYWHERE, Kinds
from ..hosts.builders import (
    BagResolver,
    FiledElements,
    argument_types,
    element,
    recipe_frame,
)
from ..options.pool import PoolOptions
from ..options.source_line import place

__all__ = ["PoolGrammar", "WrittenPool", "mistakes_in", "written_pools"]

Initializer = Callable[..., Any]

_NAME = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
"""What a node of a configuration tree can be called. A dot separates the steps of a path there."""


_PLACE = "_at_"
"""Precedes an option's name in the attribute that says where the option was written."""


class PoolGrammar(FiledElements):
    """The grammar of pools, to be mixed into the grammar of an element that has pools below it.

    Every attribute but ``code`` may be a resolver (environment, file, ...). A text that a resolver
    returns is read as the option's type: ``"4"`` is 4 for ``max_workers``.
    """

    filed: tuple[str, ...] = ("pool",)

    @element(sub_tags="")
    def pool(
        self,
        code: str | None = None,
        executor_type: str | BagResolver | None = None,
        max_workers: int | BagResolver | None = None,
        min_workers: int | BagResolver | None = None,
        idle_timeout: float | BagResolver | None = None,
        threads_per_worker: int | BagResolver | None = None,
        warm: bool | BagResolver | None = None,
        nice: int | BagResolver | None = None,
        cpu_affinity: tuple[int, ...] | list[int] | BagResolver | None = None,
        env: dict[str, str] | BagResolver | None = None,
        gpus: tuple[Any, ...] | list[Any] | BagResolver | None = None,
        memory_limit: int | str | BagResolver | None = None,
        oom_score_adj: int | BagResolver | None = None,
        user: str | BagResolver | None = None,
        initializer: Initializer | None = None,
        initargs: tuple[Any, ...] | list[Any] | BagResolver | None = None,
        finalizer: Callable[[], Any] | None = None,
        preload: tuple[str, ...] | list[str] | BagResolver | None = None,
        context: tuple[Any, ...] | list[Any] | BagResolver | None = None,
        start_method: str | BagResolver | None = None,
        start_timeout: float | BagResolver | None = None,
        max_pending: int | BagResolver | None = None,
        max_waiting: int | BagResolver | None = None,
        on_overload: str | BagResolver | None = None,
        queue_timeout: float | BagResolver | None = None,
        timeout: float | BagResolver | None = None,
        soft_timeout: float | BagResolver | None = None,
        idle: float | BagResolver | None = None,
        send_timeout: float | BagResolver | None = None,
        retries: int | BagResolver | None = None,
        on_cancel: str | BagResolver | None = None,
        max_tasks_per_child: int | BagResolver | None = None,
        max_memory_per_child: int | str | BagResolver | None = None,
        max_lifetime: float | BagResolver | None = None,
        shutdown_timeout: float | BagResolver | None = None,
        abandon_on_timeout: bool | BagResolver | None = None,
        bypass: bool | str | BagResolver | None = None,
        job_arguments: str | BagResolver | None = None,
        job_log: bool | BagResolver | None = None,
        **options: Any,
    ) -> None:
        """One pool: its name (``code``), its kind (``executor_type``) and its options.

        An option that is ``None`` was not given. The signature accepts any option, because kinds
        that were registered from outside have their own; every kind refuses what it does not know.
        """

    def file_element(self, where: Any, attributes: dict[str, Any]) -> str | None:
        """Store a pool under its ``code``, where layered recipes are merged option by option.

        What is wrong with it is left to ``mistakes_in``, which reports all mistakes at once.
        """
        # Layers are merged attribute by attribute. With one attribute for the place of each
        # option, every option keeps its own.
        here = _recipe_line()
        attributes.update({f"{_PLACE}{option}": here for option in {"code", *attributes}})
        code = attributes.get("code")
        return str(code) if _is_name(code) and where.node(code) is None else None


@dataclass(frozen=True, slots=True)
class WrittenPool:
    """A pool as a recipe has it, with the values of its resolvers.

    Attributes:
        code: its name.
        executor_type: its kind, as it was written.
        options: the options that were given.
        where: the file and the line, such as ``"config.py:12"``.
        places: the same for each option, because layers are several files.
        mistakes: what could not be read, one sentence each.
    """

    code: str
    executor_type: str
    options: dict[str, Any]
    where: str
    places: dict[str, str]
    mistakes: list[str] = field(default_factory=list)


def written_pools(nodes: Iterable[Any], tag: str = "pool") -> list[WrittenPool]:
    """Return the pools, or what else is written as they are, among the ``nodes`` of a section."""
    return [_written(node) for node in nodes if node.node_tag == tag]


def mistakes_in(pools: Iterable[WrittenPool], kinds: Kinds = EVERYWHERE) -> list[str]:
    """Return every mistake in ``pools``, each with its place, pool, option and what is allowed.

    Args:
        pools: as ``written_pools`` returned them.
        kinds: the kinds of pools that can be declared. Options of a kind that a function makes
            are checked when its pool is made.
    """
    known: dict[str, str] = {}
    found: list[str] = []
    for pool in pools:
        found += pool.mistakes
        if pool.code in known:
            found.append(
                f"{pool.where}: pool {pool.code!r} is written twice, here and at "
                f"{known[pool.code]}; use one of them, or two names"
            )
        known.setdefault(pool.code, pool.where)
        found += _wrong_options(pool, kinds)
    return found


def _wrong_options(pool: WrittenPool, kinds: Kinds) -> Iterator[str]:
    try:
        kind = kinds.find(pool.executor_type, pool.code).kind
    except ExecutorConfigError as error:
        yield f"{pool.places.get('executor_type', pool.where)}: {error}"
        return
    if kind is not None:
        for option, text in PoolOptions.mistakes(pool.code, kind, pool.options):
            yield f"{pool.places.get(option, pool.where)}: {text}"


def _written(node: Any) -> WrittenPool:
    places = {
        attribute.removeprefix(_PLACE): place
        for attribute, place in node.attr.items()
        if attribute.startswith(_PLACE)
    }
    here = places.get("code", "the configuration")
    code = node.attr.get("code")
    mistakes: list[str] = []
    if not _is_name(code):
        mistakes.append(
            f"{here}: pool {code!r}: code={code!r} is not a name of letters, digits, '_' and '-' "
            "that begins with a letter or '_'"
        )
    options: dict[str, Any] = {}
    for option, value in node.attr.items():
        if option == "code" or option.startswith(_PLACE) or value is None:
            continue
        try:
            value = _resolved(option, value)
        except Exception as error:
            # A resolver is the user's own code, and whatever it raises is a mistake in the recipe.
            where = places.get(option, here)
            mistakes.append(f"{where}: pool {code!r}: {option} cannot be read: {error}")
            continue
        if value is not None:
            options[option] = value
    kind = options.pop("executor_type", "local")
    return WrittenPool(str(code), kind, options, here, places, mistakes)


def _resolved(option: str, value: Any) -> Any:
    if not isinstance(value, BagResolver):
        return value
    value = value()
    return _from_text(option, value.strip()) if isinstance(value, str) else value


_YES = ("1", "true", "yes", "on")
_NO = ("0", "false", "no", "off", "")


def _from_text(option: str, text: str) -> Any:
    """Return ``text`` as a value of the type of ``option``.

    A text that cannot be read as that type is returned as it is; the check of the options then
    refuses it with a reason.
    """
    types = _types_of(option)
    if bool in types and text.lower() in (*_YES, *_NO):
        return text.lower() in _YES
    for number in (int, float):
        if number in types:
            try:
                return number(text)
            except ValueError:
                continue
    if list in types:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return [int(part) if part.isdecimal() else part for part in parts]
    if not text:
        return None
    return text


_OWN_TYPES: dict[str, set[Any]] = {
    **{option: {int} for option in ("places", "health_port")},
    **{option: {list} for option in ("modules", "files")},
    "insecure": {bool},
    "lost_after": {float},
}
"""The types of options that only some kinds have, or agents."""


def _types_of(option: str) -> set[Any]:
    return argument_types(PoolGrammar.pool, option) or _OWN_TYPES.get(option, set())


def _is_name(code: object) -> bool:
    return isinstance(code, str) and _NAME.fullmatch(code) is not None


def _recipe_line() -> str:
    """Return the line of the recipe that runs: the first frame outside of genro-builders."""
    frame = recipe_frame(__name__)
    if frame is None:
        return "the configuration"
    return place(frame.f_code.co_filename, frame.f_lineno)
