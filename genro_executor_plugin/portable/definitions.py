# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a worker keeps between calls: functions, the state of replicas, process settings.

Written by ``packing`` in the server, read by ``worker/reading.py``; both agree here on what the
bytes mean.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["CALL_HEAD", "FUNCTION", "PROCESS_SETTINGS", "STATE", "Definition"]

CALL_HEAD = struct.Struct("<III?")
"""Stands behind a packed call: the keys of its function, of ``self`` and of the application whose
``route_cleanup()`` runs, 0 for none; and whether extras follow the arguments."""

FUNCTION = 1
"""The payload is a pickled ``NamedFunction``."""

STATE = 2
"""The payload is a part of a replica's state."""

PROCESS_SETTINGS = 3
"""The payload is a pickled ``ProcessSettings``."""


@dataclass(frozen=True, slots=True)
class Definition:
    """Something a worker keeps, sent to it when it does not have this version yet.

    Attributes:
        key: identifies it, for as long as the pool lives.
        version: counts its changes; a worker needs the last version only.
        owner: the function or replica it is part of; its own key for a function.
        kind: ``FUNCTION``, ``STATE`` or ``PROCESS_SETTINGS``.
        payload: the pickled thing.
    """

    key: int
    version: int
    owner: int
    kind: int
    payload: bytes
