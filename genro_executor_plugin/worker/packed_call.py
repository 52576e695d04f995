# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""One packed call, read and run in this process: the worker's side of ``PortableCalls``."""

from __future__ import annotations

import inspect
import pickle

from ..portable.exceptions import pack_failure
from ..portable.results import pack_result
from .reading import CallReader

__all__ = ["run_packed"]


def run_packed(packed: bytes) -> bytes:
    """Run the call that ``PortableCalls.pack`` made, and return the answer as bytes.

    Whatever goes wrong is an answer, too. The modules of the function, of ``self`` and of the
    arguments have to import here. A coroutine runs on an event loop of its own.
    """
    try:
        definitions, payload = pickle.loads(packed)
        reader = CallReader()
        for key, owner, kind, content in definitions:
            reader.define(key, owner, kind, content)
        function, args, kwargs, after = reader.read(payload)
        try:
            result = function.func(*args, **kwargs)
            if inspect.iscoroutine(result):
                import asyncio  # only a call that is a coroutine pays for it

                result = asyncio.run(result)
        finally:
            if after is not None:
                after()
        return b"\0" + pack_result(result, function)
    except BaseException as error:
        return b"\1" + pack_failure(error)
