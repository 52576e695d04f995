# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Every error this package raises, and the HTTP answer each one stands for.

::

    ExecutorError                     500
    ├── ExecutorConfigError           boot: an option, a pool or a route is written wrong
    │   └── UnknownExecutorError      boot, 500: no pool of that name
    ├── ExecutorOverloadError         503 + Retry-After: the queue is full
    │   └── NoAgentError              503 + Retry-After: no agent elsewhere takes the call
    ├── ExecutorClosedError           503 + Retry-After: the pool is shutting down
    ├── ExecutorTimeoutError          504: the run took too long (also a TimeoutError)
    ├── SoftTimeoutError              504: raised inside the function at its soft_timeout
    ├── ExecutorKeyError              400: the call has no key, and its route names one
    ├── ClientDisconnectedError       499: the HTTP client disconnected
    ├── WorkerCrashedError            500: the worker died during the call
    │   ├── MemoryLimitError          500: the call held more than the pool's memory_limit
    │   └── WorkerLostError           500: it is not known what became of the call elsewhere
    ├── SerializationError            500: something cannot travel
    ├── RemoteError                   500: an exception that could not be rebuilt here
    └── TaskError                     409: a long job is not in the state that was asked for
        ├── TaskNotFoundError         404: no long job has that id
        ├── TaskCancelledError        409: the long job was cancelled, it has no result
        ├── TaskLostError             500: the long job was running when its server ended
        ├── TaskLimitError            429: the submitter has too many long jobs in the store
        └── TaskStoreError            500: the store of long jobs cannot be used

Where a host is loaded, an instance is an ``HTTPException`` of the host too, so that the host
answers it; nothing here imports a host. Instances pickle, because they cross processes.

Each module has the errors of one subject; all of them are names of this package.
"""

from __future__ import annotations

from .base import ExecutorError, _rebuild
from .calls import (
    ClientDisconnectedError,
    ExecutorKeyError,
    ExecutorTimeoutError,
    MemoryLimitError,
    RemoteError,
    RemoteTraceback,
    SerializationError,
    SoftTimeoutError,
    WorkerCrashedError,
    WorkerLostError,
)
from .pools import (
    ExecutorClosedError,
    ExecutorConfigError,
    ExecutorOverloadError,
    NoAgentError,
    UnknownExecutorError,
)
from .tasks import (
    TaskCancelledError,
    TaskError,
    TaskLimitError,
    TaskLostError,
    TaskNotFoundError,
    TaskStoreError,
)

__all__ = [
    "ClientDisconnectedError",
    "ExecutorClosedError",
    "ExecutorConfigError",
    "ExecutorError",
    "ExecutorKeyError",
    "ExecutorOverloadError",
    "ExecutorTimeoutError",
    "MemoryLimitError",
    "NoAgentError",
    "RemoteError",
    "RemoteTraceback",
    "SerializationError",
    "SoftTimeoutError",
    "TaskCancelledError",
    "TaskError",
    "TaskLimitError",
    "TaskLostError",
    "TaskNotFoundError",
    "TaskStoreError",
    "UnknownExecutorError",
    "WorkerCrashedError",
    "WorkerLostError",
]

# Stored failures and the pickles of other versions name everything as a part of this package.
for _name in __all__:
    globals()[_name].__module__ = __name__
_rebuild.__module__ = __name__
