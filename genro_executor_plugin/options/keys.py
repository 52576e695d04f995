# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Keys of calls: those with the same key meet the same worker.

A key is kept as a number that is made of it, so that one of whatever length costs the same. The
places of a pool's workers are numbered, and a key leads to one of them by that number alone:
nothing is remembered of a key, however many of them requests may bring.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from uuid import UUID

from .numbers import NotAllowedError

__all__ = ["Key", "KeyName", "key_of", "place_of"]

MAX_KEY_LENGTH = 4096
"""How many characters, bytes or bits a key may have."""

_SECRET = os.urandom(16)
"""Nobody outside of this process can choose keys that all lead to one worker."""

_FACTOR, _MASK = 2862933555777941757, 2**64 - 1


class Key(int):
    """What is kept of a key: 64 bits that are made of it. It is shown nowhere."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "..."


class KeyName(str):
    """Where the key of a route's calls is found: an argument, or ``caller.identity``."""

    __slots__ = ()


def key_of(value: object) -> Key:
    """The key that ``value`` is; a number, a UUID and their texts are the same key.

    Raises:
        NotAllowedError: it is no text, bytes, whole number or UUID, or it is too long.
    """
    if isinstance(value, Key):
        return value
    if isinstance(value, int) and value.bit_length() <= MAX_KEY_LENGTH:
        value = int.__repr__(value)
    elif isinstance(value, UUID):
        value = str(value)
    if not isinstance(value, str | bytes) or len(value) > MAX_KEY_LENGTH:
        raise NotAllowedError(
            f"a text, bytes, a whole number or a UUID of at most {MAX_KEY_LENGTH} characters, "
            "bytes or bits"
        )
    data = str.encode(value, errors="surrogatepass") if isinstance(value, str) else value
    return Key.from_bytes(blake2b(data, digest_size=8, key=_SECRET).digest())


def place_of(key: int, places: int) -> int:
    """The place, from 0 to ``places - 1``, of the worker that calls with ``key`` meet.

    With another number of places, no more keys move than have to. This is the "jump consistent
    hash" of Lamping and Veach (2014).
    """
    place, jump = 0, 0
    while jump < places:
        place = jump
        key = (key * _FACTOR + 1) & _MASK
        jump = int((place + 1) * (2**31 / ((key >> 33) + 1)))
    return place
