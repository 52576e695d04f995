# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls as bytes that need nothing else: for engines that send every call to a worker anew.

The process engine sends a worker what it does not have yet, and keeps the rest there. An engine
that knows nothing of its workers packs with ``PortableCalls`` instead, and its worker answers with
``worker.packed_call.run_packed``.
"""

from __future__ import annotations

import pickle
from typing import Any

from ..metrics.tracing import current_trace
from ..options.pool import PoolOptions
from ..portable.exceptions import unpack_failure
from ..portable.extras import pack_extras
from ..portable.packing import CallPacker
from .base import Pool
from .call import Call

__all__ = ["PortableCalls"]


class PortableCalls:
    """Packs the calls of one pool, and unpacks their answers.

    Functions, methods of applications and sections (with ``self``), arguments and the context
    variables of ``context=`` travel as in a pool of processes, and so do exceptions.
    """

    def __init__(self, pool: Pool, options: PoolOptions) -> None:
        self._name = pool.name
        self._context = options.context
        self._packer = CallPacker(context=options.context)

    def pack(self, call: Call) -> bytes:
        """Return ``call`` as bytes for ``run_packed``.

        Raises:
            SerializationError: naming what cannot travel, the reason and the cure.
        """
        trace = current_trace() if call.traced else {}
        extras = pack_extras(self._name, self._context, trace, False)
        packed = self._packer.pack(call.func, call.args, call.kwargs, call.cleanup, extras)
        definitions = [(d.key, d.owner, d.kind, d.payload) for d in packed.definitions]
        return pickle.dumps((definitions, packed.payload), 5)

    def result(self, call: Call, answer: bytes) -> Any:
        """Return what ``call`` has returned by the ``answer`` of ``run_packed``.

        Raises:
            Exception: what it has raised; ``call.raised`` is set.
        """
        if answer[:1] == b"\1":
            call.raised = True
            raise unpack_failure(answer[1:])
        return pickle.loads(answer[1:])
