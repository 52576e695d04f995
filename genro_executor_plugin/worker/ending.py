# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How a worker process ends: what code in it has registered for the end of the process is run.

That is done while the server can still be reached, because spans and records may be sent then, and
within the grace that a worker has for its end.
"""

from __future__ import annotations

import atexit
import sys
import threading
import weakref

__all__ = ["leave_inherited_hooks", "run_exit_hooks"]

_PER_PROCESS = (("logging", "shutdown"), ("multiprocessing.util", "_exit_function"))
"""Hooks that every process needs for itself; they look at what belongs to it only."""


def leave_inherited_hooks() -> None:
    """Forget the hooks that were registered before this process, a worker, was forked.

    They are about objects of the template, which ends them once, at its own end. A worker that ran
    them would remove, for instance, a temporary folder that a module has made at its import, and
    that the other workers use.
    """
    atexit._clear()
    finalize = weakref.finalize
    for finalizer in list(finalize._registry):  # type: ignore[attr-defined] # there is no other way
        finalizer.atexit = False
    # It registers its hook once, which is forgotten by now.
    finalize._registered_with_atexit = False  # type: ignore[attr-defined] # as above
    for module, name in _PER_PROCESS:
        if module in sys.modules:
            atexit.register(getattr(sys.modules[module], name))


def run_exit_hooks() -> None:
    """Wait for threads and executors, then run ``atexit`` and ``weakref.finalize`` hooks.

    This is what an interpreter does at its end, and in this order. It is called on the main thread.
    """
    threading._shutdown()  # type: ignore[attr-defined] # multiprocessing ends its processes so, too
    atexit._run_exitfuncs()
