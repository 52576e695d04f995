# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The word ``pool`` of a configuration recipe, and how it is read.

A recipe writes ``node.pool(code="pdf", max_workers=2)`` below whatever mounts this grammar. What
it writes is not judged at that line but when the pools are read, so that every mistake in every
pool is reported at once, with the file and the line it stands in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import ExecutorConfigError
from ..hosts.builders import (
    BagResolver,
    FiledElements,
    argument_types,
    element,
    recipe_frame,
)
from ..options.pool import PoolOptions, kind_of
from ..options.source_line import place

__all__ = ["PoolGrammar", "WrittenPool", "mistakes_in", "written_pools"]

Initializer = Callable[..., Any]

_NAME = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
"""What can be a label in a configuration tree, whose paths have dots."""


_PLACE = "_at_"
"""What precedes an option's name in the attribute that says where the option was written."""


class PoolGrammar(FiledElements):
    """The grammar of pools: mix it into the grammar of what has pools below it.

    Every attribute but ``code`` may be a resolver (environment, file, ...). A text that a resolver
    brings is read as the option's type: ``"4"`` is 4 for ``max_workers``.
    """

    filed = ("pool",)

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
        initializer: Initializer | None = None,
        initargs: tuple[Any, ...] | list[Any] | BagResolver | None = None,
        finalizer: Callable[[], Any] | None = None,
        preload: tuple[str, ...] | list[str] | BagResolver | None = None,
        context: tuple[Any, ...] | list[Any] | BagResolver | None = None,
        start_method: str | BagResolver | None = None,
        start_timeout: float | BagResolver | None = None,
        max_pending: int | BagResolver | None = None,
        on_overload: str | BagResolver | None = None,
        queue_timeout: float | BagResolver | None = None,
        timeout: float | BagResolver | None = None,
        soft_timeout: float | BagResolver | None = None,
        idle: float | BagResolver | None = None,
        retries: int | BagResolver | None = None,
        on_cancel: str | BagResolver | None = None,
        max_tasks_per_child: int | BagResolver | None = None,
        max_memory_per_child: int | str | BagResolver | None = None,
        max_lifetime: float | BagResolver | None = None,
        shutdown_timeout: float | BagResolver | None = None,
        abandon_on_timeout: bool | BagResolver | None = None,
        bypass: bool | str | BagResolver | None = None,
        **options: Any,
    ) -> None:
        """One pool: its name (``code``), its kind (``executor_type``) and its options.

        ``None`` is "not given". The signature is open for the options of kinds that were
        registered from outside; the kinds of this package refuse what they do not know.
        """

    def file_element(self, where: Any, attributes: dict[str, Any]) -> str | None:
        """File a pool under its ``code``: layered recipes meet there, option by option.

        What is wrong with it is left to ``written_pools``, which tells all of it.
        """
        # One attribute per option: layers are folded attribute by attribute, and each option
        # goes on saying where it was written.
        here = _recipe_line()
        attributes.update({f"{_PLACE}{option}": here for option in {"code", *attributes}})
        code = attributes.get("code")
        return str(code) if _is_name(code) and where.node(code) is None else None


@dataclass(frozen=True, slots=True)
class WrittenPool:
    """A pool as the recipe has it, resolvers resolved.

    Attributes:
        code: its name.
        executor_type: its kind, as it was written.
        options: the options that were given.
        where: the file and the line, ``"config.py:12"``.
        places: the same for each option: layers may have it from several files.
        mistakes: what could not be read, in words.
    """

    code: str
    executor_type: str
    options: dict[str, Any]
    where: str
    places: dict[str, str]
    mistakes: list[str] = field(default_factory=list)


def written_pools(nodes: Iterable[Any]) -> list[WrittenPool]:
    """The pools among ``nodes``, the children of the configuration node that has them."""
    return [_written(node) for node in nodes if node.node_tag == "pool"]


def mistakes_in(pools: Iterable[WrittenPool], other_kinds: Iterable[str] = ()) -> list[str]:
    """Everything that is wrong with ``pools``, each with file, pool, option and what is allowed.

    Args:
        pools: as ``written_pools`` returned them.
        other_kinds: kinds of pools that were registered from outside; they check their options
            when they are made.
    """
    known: dict[str, str] = {}
    others = sorted(other_kinds)
    found: list[str] = []
    for pool in pools:
        found += pool.mistakes
        if pool.code in known:
            found.append(
                f"{pool.where}: pool {pool.code!r} is written twice, here and at "
                f"{known[pool.code]}; use one of them, or two names"
            )
        known.setdefault(pool.code, pool.where)
        if pool.executor_type not in others:
            found += _wrong_options(pool, others)
    return found


def _wrong_options(pool: WrittenPool, others: list[str]) -> Iterator[str]:
    try:
        kind = kind_of(pool.executor_type, pool.code, others)
    except ExecutorConfigError as error:
        yield f"{pool.places.get('executor_type', pool.where)}: {error}"
        return
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
            # A resolver runs its author's code; whatever it raises is a mistake like the others.
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
    """``text`` as the type of ``option``; as it is, to be refused with a reason, if it is none."""
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


def _types_of(option: str) -> set[Any]:
    return argument_types(PoolGrammar.pool, option)


def _is_name(code: object) -> bool:
    return isinstance(code, str) and _NAME.fullmatch(code) is not None


def _recipe_line() -> str:
    """The line of the recipe that is being run."""
    frame = recipe_frame(__name__)
    if frame is None:
        return "the configuration"
    return place(frame.f_code.co_filename, frame.f_lineno)
