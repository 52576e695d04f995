# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The replicas of applications and sections in a worker: the ``self`` of its handlers.

It reads what ``portable/state/source.py`` has written in the server, and calls the hooks
``on_worker_startup`` and ``on_worker_shutdown``.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..hosts.loaded import SERVER_ATTRIBUTE
from ..portable.pickling import why
from ..portable.references import describe
from ..portable.state.declared import WHOLE, state_of_class
from ..portable.state.format import State, unpacked_state, use_replicas
from ..portable.state.placeholders import LEFT_BEHIND, Placeholder
from .rebuilding import rebuild, unbuilt_in

__all__ = ["ReplicaStore"]


class ReplicaStore:
    """The replicas of one worker process.

    Attributes:
        not_started: those whose ``on_worker_startup`` was not called yet, by key.
    """

    def __init__(self) -> None:
        self._replicas: dict[int, Any] = {}
        self._origin: dict[int, dict[str, tuple[int, int]]] = {}
        self._refers_to: dict[tuple[int, int], set[int]] = {}
        self._met: set[int] = set()
        self.not_started: dict[int, Any] = {}
        self._started: list[Any] = []

    def activate(self) -> None:
        """Make this the store to which references in pickles lead in this process."""
        use_replicas(self)

    def load(self, payload: bytes | memoryview) -> None:
        """Take in one part of a replica's state.

        An attribute that cannot be rebuilt here becomes a placeholder that says where and why.

        Raises:
            Exception: no part of it can be rebuilt.
        """
        stamps, body = unpacked_state(payload)
        met: set[int] = set()
        self._met = met
        try:
            state = pickle.loads(body)
        except BaseException as error:
            state = self._what_is_left(body, error)
        self._refers_to[state.key, state.part] = met
        self._update(state, stamps)

    def _what_is_left(self, body: memoryview, error: BaseException) -> State:
        """The state in ``body`` with placeholders for the attributes that cannot be rebuilt."""
        try:
            state = rebuild(body)
        except BaseException:
            state = None
        if not isinstance(state, State) or not isinstance(state.cls, type):
            raise error
        own = {id(replica) for replica in self._replicas.values()}
        for name, value in state.values.items():
            found = unbuilt_in(value, lambda obj: isinstance(obj, Placeholder) or id(obj) in own)
            if found is not None:
                path, reason = found
                state.values[name] = Placeholder(
                    f"{describe(state.cls)}.{name} (self.{name}{path}) cannot be rebuilt in a "
                    f"worker: {why(reason)}. Its class must import and unpickle there"
                )
        return state

    def shell(self, key: int, cls: Any) -> Any:
        """The replica of ``key``; an empty one of ``cls`` if there is none yet."""
        self._met.add(key)
        replica = self._replicas.get(key)
        if replica is None:
            replica = self._replicas[key] = cls.__new__(cls)
            how = state_of_class(cls)
            for name, text in LEFT_BEHIND.items() if how.gets or how.sets else ():
                # It is told by the class what its state is: server and router are not in it.
                if name == SERVER_ATTRIBUTE and not hasattr(cls, "server"):
                    continue
                explanation = f"{describe(cls)}: {text}"
                object.__setattr__(replica, name, Placeholder(explanation))
            self.not_started[key] = replica
        return replica

    def _update(self, state: State, stamps: Mapping[str, int]) -> None:
        """Set the attributes whose stamps have changed; what handlers have set on others stays."""
        replica = self.shell(state.key, state.cls)
        if state.by_method:
            replica.__setstate__(state.values.get(WHOLE, state.values))
            return
        origin = self._origin.setdefault(state.key, {})
        for name in [n for n, (part, _) in origin.items() if part == state.part]:
            if name not in state.values:
                del origin[name]
                if hasattr(replica, name):
                    object.__delattr__(replica, name)
        for name, value in state.values.items():
            now = state.part, stamps[name]
            if origin.get(name) != now:
                object.__setattr__(replica, name, value)
                origin[name] = now

    def forget_met(self) -> None:
        """Begin to collect which replicas are met, for ``start_new`` after a call was unpickled."""
        self._met = set()

    def start_new(self, *keys: int) -> None:
        """Call ``on_worker_startup`` of the new ones among the replicas that a call needs.

        These are the replicas of ``keys``, those that were met since ``forget_met``, and all that
        their states lead to. A hook that raises fails the calls that need its replica, and no
        others; the next one of them tries it again.

        Raises:
            Exception: what a hook raises.
        """
        needed = self._reached_from({*keys, *self._met})
        for key in [key for key in self.not_started if key in needed]:
            replica = self.not_started[key]
            # A catch-all __getattr__ of the class answers to every name.
            if hasattr(type(replica), "on_worker_startup"):
                replica.on_worker_startup()
            self._started.append(self.not_started.pop(key))

    def _reached_from(self, keys: set[int]) -> set[int]:
        """``keys``, and the keys of all that the states of their replicas lead to."""
        found, left = set(keys), list(keys)
        while left:
            key = left.pop()
            for part in 0, 1:
                new = self._refers_to.get((key, part), set()) - found
                found |= new
                left += new
        return found

    def get(self, key: int) -> Any:
        """The replica of ``key``, which was defined."""
        return self._replicas[key]

    def shutdown_hooks(self) -> Iterator[Callable[[], Any]]:
        """``on_worker_shutdown`` of every started replica, the last one started first."""
        for replica in reversed(self._started):
            if hasattr(type(replica), "on_worker_shutdown"):
                yield replica.on_worker_shutdown
