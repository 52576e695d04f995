# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Whether two calls are the same: what a key may be used with again.

The bytes of a pickle do not say so: they differ by which of two equal texts are one object, and
by the order of a set, which is another one in each process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Set
from typing import Any

from ..portable.pickling import dumps_stored

__all__ = ["fingerprint"]


def fingerprint(title: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """A text that calls of ``title`` have in common when their arguments are equal."""
    return hashlib.sha256(_described([title, list(args), dict(kwargs)])).hexdigest()


def _described(value: Any) -> bytes:
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value).encode("utf-8", "backslashreplace")
    kind = type(value).__name__.encode()
    if isinstance(value, list | tuple):
        parts = [_described(part) for part in value]
    elif isinstance(value, Set):
        parts = sorted(_described(part) for part in value)
    elif isinstance(value, Mapping):
        parts = sorted(_described(name) + b":" + _described(value[name]) for name in value)
    else:
        return _digest_of(kind, value)
    return kind + b"(" + b",".join(b"%d:%s" % (len(part), part) for part in parts) + b")"


def _digest_of(kind: bytes, value: Any) -> bytes:
    try:
        content = dumps_stored(value)
    except Exception:
        # It is an application or the like, which a stored call names by its address.
        return kind
    return kind + hashlib.sha256(content).digest()
