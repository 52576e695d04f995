# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Run genro-asgi route handlers in named pools of processes and threads.

Names are imported when they are first used (PEP 562): a worker that runs plain functions never
imports genro-asgi.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .application import ExecutorApplication
    from .configuration import ExecutorConfigBuilder
    from .console import ExecutorConsole
    from .errors import (
        ClientDisconnectedError,
        ExecutorClosedError,
        ExecutorConfigError,
        ExecutorError,
        ExecutorOverloadError,
        ExecutorTimeoutError,
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
    )
    from .executors import BaseExecutor, InlineExecutor, ProcessExecutor, ThreadExecutor
    from .files import SentFile
    from .plugin import ExecutorPlugin
    from .registry import ExecutorRegistry
    from .server import ExecutorMixin, ExecutorServer
    from .tasks.progress import cancelled, progress
    from .tasks.states import TaskState, TaskStatus

    LocalExecutor = ProcessExecutor

__version__ = "0.1.0"

__all__ = [
    "BaseExecutor",
    "ClientDisconnectedError",
    "ExecutorApplication",
    "ExecutorClosedError",
    "ExecutorConfigBuilder",
    "ExecutorConfigError",
    "ExecutorConsole",
    "ExecutorError",
    "ExecutorMixin",
    "ExecutorOverloadError",
    "ExecutorPlugin",
    "ExecutorRegistry",
    "ExecutorServer",
    "ExecutorTimeoutError",
    "InlineExecutor",
    "LocalExecutor",
    "ProcessExecutor",
    "RemoteError",
    "SentFile",
    "SerializationError",
    "SoftTimeoutError",
    "TaskCancelledError",
    "TaskError",
    "TaskLimitError",
    "TaskLostError",
    "TaskNotFoundError",
    "TaskState",
    "TaskStatus",
    "TaskStoreError",
    "ThreadExecutor",
    "UnknownExecutorError",
    "WorkerCrashedError",
    "cancelled",
    "progress",
]

_HOMES = {
    "ExecutorApplication": "application",
    "ExecutorConfigBuilder": "configuration",
    "ExecutorConsole": "console",
    "ExecutorMixin": "server",
    "ExecutorPlugin": "plugin",
    "ExecutorRegistry": "registry",
    "ExecutorServer": "server",
    "SentFile": "files",
    "TaskState": "tasks.states",
    "TaskStatus": "tasks.states",
    "cancelled": "tasks.progress",
    "progress": "tasks.progress",
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
