# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Run route handlers of genro-asgi or kajenn in named pools of processes and threads.

Names are imported when they are first used (PEP 562): a worker that runs plain functions never
imports a host.
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .hosts.chosen import is_undecided, refuse_others
from .hosts.imported import is_being_imported, when_imported
from .hosts.loaded import HOST_PACKAGES

if TYPE_CHECKING:
    from .console.application import ExecutorConsole
    from .engines.base import Engine, Load
    from .engines.portable_calls import PortableCalls
    from .errors import (
        ClientDisconnectedError,
        ExecutorClosedError,
        ExecutorConfigError,
        ExecutorError,
        ExecutorKeyError,
        ExecutorOverloadError,
        ExecutorTimeoutError,
        MemoryLimitError,
        NoAgentError,
        RemoteError,
        SerializationError,
        SoftTimeoutError,
        TaskCancelledError,
        TaskError,
        TaskLimitError,
        TaskLostError,
        TaskNotFoundError,
        TaskStoreError,
        UnknownExecutorError,
        WorkerCrashedError,
        WorkerLostError,
    )
    from .executors import (
        BaseExecutor,
        Call,
        InlineExecutor,
        ProcessExecutor,
        ThreadExecutor,
    )
    from .executors.kinds import register_factory
    from .executors.nats import NatsExecutor
    from .executors.ray import RayExecutor
    from .executors.registry import ExecutorRegistry
    from .offload.plugin import ExecutorPlugin
    from .options.capabilities import Capability
    from .options.keywords import PoolDeclaration
    from .options.kinds import EngineOption
    from .portable.files import SentFile
    from .serving.application import ExecutorApplication
    from .serving.configuration import ExecutorConfigBuilder
    from .serving.server import ExecutorMixin, ExecutorServer
    from .tasks.progress import cancelled, progress
    from .tasks.status import Progress, TaskFailure, TaskState, TaskStatus
    from .worker.packed_call import run_packed
    from .worker.running import worker_index

    LocalExecutor = ProcessExecutor

__version__ = "0.1.0"

__all__ = [
    "BaseExecutor",
    "Call",
    "Capability",
    "ClientDisconnectedError",
    "Engine",
    "EngineOption",
    "ExecutorApplication",
    "ExecutorClosedError",
    "ExecutorConfigBuilder",
    "ExecutorConfigError",
    "ExecutorConsole",
    "ExecutorError",
    "ExecutorKeyError",
    "ExecutorMixin",
    "ExecutorOverloadError",
    "ExecutorPlugin",
    "ExecutorRegistry",
    "ExecutorServer",
    "ExecutorTimeoutError",
    "InlineExecutor",
    "Load",
    "LocalExecutor",
    "MemoryLimitError",
    "NatsExecutor",
    "NoAgentError",
    "PoolDeclaration",
    "PortableCalls",
    "ProcessExecutor",
    "Progress",
    "RayExecutor",
    "RemoteError",
    "SentFile",
    "SerializationError",
    "SoftTimeoutError",
    "TaskCancelledError",
    "TaskError",
    "TaskFailure",
    "TaskLimitError",
    "TaskLostError",
    "TaskNotFoundError",
    "TaskState",
    "TaskStatus",
    "TaskStoreError",
    "ThreadExecutor",
    "UnknownExecutorError",
    "WorkerCrashedError",
    "WorkerLostError",
    "cancelled",
    "progress",
    "register_factory",
    "run_packed",
    "worker_index",
]

_HOMES = {
    "Capability": "options.capabilities",
    "Engine": "engines.base",
    "EngineOption": "options.kinds",
    "ExecutorApplication": "serving.application",
    "ExecutorConfigBuilder": "serving.configuration",
    "ExecutorConsole": "console.application",
    "ExecutorMixin": "serving.server",
    "ExecutorPlugin": "offload.plugin",
    "ExecutorRegistry": "executors.registry",
    "ExecutorServer": "serving.server",
    "Load": "engines.base",
    "NatsExecutor": "executors.nats",
    "PoolDeclaration": "options.keywords",
    "PortableCalls": "engines.portable_calls",
    "Progress": "tasks.status",
    "RayExecutor": "executors.ray",
    "SentFile": "portable.files",
    "TaskFailure": "tasks.status",
    "TaskState": "tasks.status",
    "TaskStatus": "tasks.status",
    "cancelled": "tasks.progress",
    "progress": "tasks.progress",
    "register_factory": "executors.kinds",
    "run_packed": "worker.packed_call",
    "worker_index": "worker.running",
}
"""Where a name is defined, if it is neither an error nor a kind of pool."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name, "errors" if name.endswith("Error") else "executors")
    module = import_module(f".{home}", __name__)
    value = getattr(module, "ProcessExecutor" if name == "LocalExecutor" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _register() -> None:
    """Register the plugin with genro-routes, but for a worker: it sends no calls to pools."""
    from .portable.main_module import inside_worker

    # A host imports genro-routes on its own way: then it is the host that is waited for, and so it
    # is where it cannot be said yet which one that will be.
    waited_for = any(map(is_being_imported, HOST_PACKAGES)) or is_undecided()
    if not inside_worker() and not waited_for:
        import_module(".offload.plugin", __name__)


def _meet(host: str) -> None:
    """Register the plugin, and have servers without pools warned of when they start."""
    from .portable.main_module import inside_worker

    refuse_others(host)
    if not inside_worker():
        _register()
        stock = import_module(".hosts.stock", __name__)
        stock.look_at_starts(_warn_without_pools)


def _warn_without_pools(server: Any) -> None:
    import_module(".offload.doubts", __name__).warn_without_pools(server)


when_imported("genro_routes", _register)
for _host in HOST_PACKAGES:
    when_imported(_host, partial(_meet, _host))
