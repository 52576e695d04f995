# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the options may be that say what a worker process is given: its environment, its limits.

Each check returns a value in its normal form, or says what is allowed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from .environment import NO_VARIABLES, WorkerEnvironment
from .granted import granted_memory
from .numbers import NotAllowedError, count_of

__all__ = ["SecretNotAllowedError", "environment", "gpus", "score", "share_of_memory", "user"]

_GPU = re.compile(r"[A-Za-z0-9][\w:/.-]*(,[A-Za-z0-9][\w:/.-]*)*", re.ASCII)


class SecretNotAllowedError(NotAllowedError):
    """As its base, for a value that may be a secret and is not shown."""


def share_of_memory(percent: float) -> int:
    """So many per cent of the granted memory, in bytes."""
    granted = granted_memory()
    if not 0 < percent <= 100:
        raise NotAllowedError("above 0 % and at most 100 % of the memory that is granted")
    if granted is None:
        raise NotAllowedError("a number of bytes: how much memory is granted cannot be read here")
    return max(1, int(granted * percent / 100))


def environment(value: Any) -> WorkerEnvironment:
    """Variables by name; their values are never shown."""
    if isinstance(value, WorkerEnvironment):
        return value
    if value is None:
        return NO_VARIABLES
    if not isinstance(value, Mapping):
        raise SecretNotAllowedError("a dict of names and texts")
    for name, text in value.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise SecretNotAllowedError(
                f"a dict of names and texts: {name!r} cannot be the name of a variable"
            )
        if not isinstance(text, str) or "\0" in text:
            raise SecretNotAllowedError(
                f"a dict of names and texts: the value of {name!r} is no text that can be one"
            )
    return WorkerEnvironment.of(value)


def gpus(value: Any) -> tuple[str, ...]:
    """GPUs as texts, by number or name."""
    allowed = "a list of GPUs: numbers from 0, or their names such as 'GPU-8f2b'"
    if value is None:
        return ()
    if not isinstance(value, tuple | list | range):
        raise NotAllowedError(allowed)
    for gpu in value:
        number = isinstance(gpu, int) and not isinstance(gpu, bool) and gpu >= 0
        if not number and not (isinstance(gpu, str) and _GPU.fullmatch(gpu)):
            raise NotAllowedError(allowed)
    return tuple(map(str, value))


def score(value: Any) -> int:
    """A score as the kernel has it; lowering the own one would need privileges."""
    return count_of(value, 0, 1000)


def user(value: Any) -> str | None:
    """The name of a user that workers of this process can run as."""
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise NotAllowedError("the name of a user")
    try:
        import pwd

        wanted = pwd.getpwnam(value).pw_uid
    except ImportError:
        raise NotAllowedError("possible on this system: it has no such users") from None
    except (KeyError, ValueError):
        raise NotAllowedError("the name of a user of this system") from None
    if os.geteuid() not in (0, wanted):
        raise NotAllowedError(
            "possible: only a server that runs as root can have workers of another user; start it "
            "as root, or as that user and leave user= out"
        )
    return value
