# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The format of a replica's state on its way: written by the server, read by a worker.

Both sides import this module, and neither imports the other.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from ..references import describe

__all__ = [
    "ReplicaHereError",
    "State",
    "packed_state",
    "replica_of",
    "unpacked_state",
    "use_replicas",
]

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class State:
    """A part of a replica's state on its way to a worker.

    Attributes:
        key: whose state it is.
        cls: the class of the replica.
        part: 0 for the values that cannot change in place, 1 for the others.
        values: the attributes, by name.
        by_method: whether the class's ``__setstate__`` takes them.
    """

    key: int
    cls: type
    part: int
    values: dict[str, Any]
    by_method: bool


def packed_state(stamps: Mapping[str, int], values: bytes) -> bytes:
    """A pickled ``State`` behind the stamps of its attributes, for ``unpacked_state``."""
    head = pickle.dumps(dict(stamps), 5)
    return b"".join((_LENGTH.pack(len(head)), head, values))


def unpacked_state(payload: bytes | memoryview) -> tuple[dict[str, int], memoryview]:
    """Return the stamps in what ``packed_state`` made, and the pickled ``State`` behind them."""
    view = memoryview(payload)
    (length,) = _LENGTH.unpack_from(view)
    stamps = pickle.loads(view[_LENGTH.size : _LENGTH.size + length])
    return stamps, view[_LENGTH.size + length :]


class Replicas(Protocol):
    """The replicas of this process, to which references in pickles lead."""

    def shell(self, key: int, cls: type) -> Any:
        """Return the replica of ``key``; an empty one of ``cls`` if there is none yet."""


_current_replicas: ContextVar[Replicas] = ContextVar("_current_replicas")


def use_replicas(replicas: Replicas) -> None:
    """Make ``replicas`` those that references lead to in what is unpickled here."""
    _current_replicas.set(replicas)


class ReplicaHereError(Exception):
    """A reference to an application or section was unpickled outside of a worker."""


def replica_of(key: int, cls: type) -> Any:
    """Return the replica that stands for an application or section in this worker."""
    replicas = _current_replicas.get(None)
    if replicas is None:
        raise ReplicaHereError(f"the replica of {describe(cls)} is for a worker")
    return replicas.shell(key, cls)
