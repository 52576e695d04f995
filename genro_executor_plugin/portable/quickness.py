# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Whether a pickle is rebuilt in no time here: then the event loop may do it.

The others are rebuilt on a thread: large ones, and those that name a module which this process
has not imported. Importing a large library takes seconds.
"""

from __future__ import annotations

import re
import sys

__all__ = ["AT_ONCE_BYTES", "is_quick"]

AT_ONCE_BYTES = 64 * 1024
"""Up to this size a pickle is rebuilt at once; a larger one may take milliseconds."""

_NAMES_SOMETHING = b"\x93"
"""The opcode that looks a name up in a module. Where this byte is missing, nothing is named."""

_NAMED = re.compile(
    rb"\x8c.([^\x00-\x20\x94]{1,255})\x94(?:\x8c.([^\x00-\x20\x94]{1,255})\x94|h.|j.{4})\x93", re.S
)
"""A module's name as the pickler writes it, and the name in it, if that was not written before."""

_IMPORT_BY_THEMSELVES = frozenset(
    {"cloudpickle.cloudpickle", "genro_executor_plugin.portable.stored", "importlib"}
)
"""Modules whose functions, named in a pickle, import others that the pickle does not name."""

_ONE_VALUE = frozenset(b"BX\x8d\x8e")
"""The opcodes of one large value, bytes or text, which is copied as fast as memory allows."""


def is_quick(packed: bytes | memoryview) -> bool:
    """Whether rebuilding ``packed`` is short, and imports nothing."""
    if len(packed) > AT_ONCE_BYTES:
        return packed[2] in _ONE_VALUE
    packed = bytes(packed)
    return _NAMES_SOMETHING not in packed or not any(map(_imports, _NAMED.findall(packed)))


def _imports(named: tuple[bytes, bytes]) -> bool:
    """Whether looking up a name may import something."""
    module_name = named[0].decode("utf-8", "replace")
    module = sys.modules.get(module_name)
    if module is None or module_name in _IMPORT_BY_THEMSELVES:
        return True
    # A name that is not there yet may be one that the module loads when it is asked for it.
    name = named[1].decode("utf-8", "replace").partition(".")[0]
    return bool(name) and name not in vars(module)
