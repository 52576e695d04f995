# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A packed call, and what is remembered of the function that it calls."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from types import CodeType
from typing import Any

from .context_reads import UnsentVariables
from .definitions import CALL_HEAD, Definition
from .shared_memory.segments import Segment

__all__ = ["KnownFunction", "PackedCall"]


@dataclass(slots=True)
class PackedCall:
    """A call as bytes, and what is known of it without reading them.

    Attributes:
        payload: what a worker's ``CallReader`` reads.
        definitions: what the worker must have before it reads the call, in this order.
        title: the function's name, for messages and displays.
        is_async: whether the function makes a coroutine.
        key: identifies the function in this pool if it travels by reference, 0 if it does not.
        segment: where the arguments lie if they are large, ``None`` if they are in ``payload``.
    """

    payload: bytes
    definitions: tuple[Definition, ...]
    title: str
    is_async: bool
    key: int
    segment: Segment | None

    def reread_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as a worker would get them.

        Raises:
            ReplicaHereError: an application is among them, and its replica exists in workers only.
            Exception: whatever their unpickling raises.
        """
        args, kwargs, *_ = pickle.loads(self.payload)
        return args, kwargs


class KnownFunction:
    """What a packer knows of a function: the same for all of its calls."""

    __slots__ = (
        "_own",
        "code",
        "definitions",
        "has_objects",
        "head",
        "is_async",
        "key",
        "large",
        "looked",
        "settings",
        "title",
        "unsent",
    )

    def __init__(self, title: str, is_async: bool, definition: Definition | None = None) -> None:
        self.title: str = title
        self.is_async: bool = is_async
        self.code: CodeType | None = None  # what was sent, if it travels by reference
        self._own = () if definition is None else (definition,)
        self.definitions: tuple[Definition, ...] = ()
        self.settings: Definition | None = None
        self.key: int = 0 if definition is None else definition.key
        self.head: bytes = CALL_HEAD.pack(self.key, 0, 0, False)  # of a call without anything else
        self.large: bool = False  # whether its last call was, or took long to be pickled
        self.looked: bool = False  # whether it was asked if the modules have to be looked at first
        self.has_objects: bool = False
        self.unsent: UnsentVariables | None = None

    def look_for_unsent(self) -> None:
        """Log context variables that the caller has set and that do not go along."""
        assert self.unsent is not None
        self.unsent.look(self.title)
        if not self.unsent:
            self.unsent = None

    def begin_with(self, settings: Definition) -> None:
        """Have ``definitions`` begin with the process settings."""
        self.settings = settings
        self.definitions = (settings, *self._own)
