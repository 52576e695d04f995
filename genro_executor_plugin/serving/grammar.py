# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The word ``pool`` of a configuration recipe, and how it is read.

A recipe writes ``node.pool(code="pdf", max_workers=2)`` below whatever mounts this grammar. What
it writes is not judged at that line but when the pools are read, so that every mistake in every
pool is reported at once, with the file and the line it stands in.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, get_args, get_type_hints

from genro_bag import BagResolver
from genro_builders.builder import element

from ..errors import ExecutorConfigError
from ..executors.kinds import EVERYWHERE, Kinds
from ..options.pool import PoolOptions
from ..options.source_line import place

__all__ = ["PoolGrammar", "WrittenPool", "mistakes_in", "written_pools"]

Initializer = Callable[..., Any]

_NAME = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)
"""What can be a label in a configuration tree, whose paths have dots."""


_PLACE = "_at_"
"""What precedes an option's name in the attribute that says where the option was written."""


class PoolGrammar:
    """The grammar of pools: mix it into the grammar of what has pools below it.

    Every attribute but ``code`` may be a resolver (environment, file, ...). A text that a resolver
    brings is read as the option's type: ``"4"`` is 4 for ``max_workers``.
    """

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

    def set_child(
        self,
        build_where: Any,
        node_tag: str,
        node_value: Any = None,
        node_label: str | None = None,
        node_position: str | int | None = None,
        **attr: Any,
    ) -> Any:
        """File a pool under its ``code``: layered recipes meet there, option by option."""
        if node_tag == "pool":
            code = attr.get("code")
            if _is_name(code) and build_where.node(code) is None:
                node_label = code
            # One attribute per option: layers are folded attribute by attribute, and each option
            # goes on saying where it was written.
            here = _recipe_line()
            attr.update({f"{_PLACE}{option}": here for option in {"code", *attr}})
        return super().set_child(  # type: ignore[misc]
            build_where, node_tag, node_value, node_label, node_position, **attr
        )

    def _validate_call_args(
        self, info: Any, node_value: Any, attr: dict[str, Any], node_tag: str = ""
    ) -> None:
        """Leave what is wrong with a pool to ``written_pools``, which tells all of it."""
        if node_tag != "pool":
            super()._validate_call_args(info, node_value, attr, node_tag)  # type: ignore[misc]


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


def mistakes_in(pools: Iterable[WrittenPool], kinds: Kinds = EVERYWHERE) -> list[str]:
    """Everything that is wrong with ``pools``, each with file, pool, option and what is allowed.

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
    hint = get_type_hints(PoolGrammar.pool._func).get(option)
    return {getattr(choice, "__origin__", choice) for choice in get_args(hint)}


def _is_name(code: object) -> bool:
    return isinstance(code, str) and _NAME.fullmatch(code) is not None


def _recipe_line() -> str:
    """The line of the recipe that is being run: the first one outside of genro-builders."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not frame.f_globals.get("__name__", "").startswith(("genro_builders.", __name__)):
            return place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return "the configuration"
