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
    from .application import ExecutorApplication as ExecutorApplication
    from .errors import (
        ExecutorClosedError as ExecutorClosedError,
        ExecutorConfigError as ExecutorConfigError,
        ExecutorError as ExecutorError,
        ExecutorOverloadError as ExecutorOverloadError,
        ExecutorTimeoutError as ExecutorTimeoutError,
        RemoteError as RemoteError,
        SerializationError as SerializationError,
        UnknownExecutorError as UnknownExecutorError,
        WorkerCrashedError as WorkerCrashedError,
    )
    from .executors import (
        BaseExecutor as BaseExecutor,
        InlineExecutor as InlineExecutor,
        ProcessExecutor as LocalExecutor,
        ProcessExecutor as ProcessExecutor,
        ThreadExecutor as ThreadExecutor,
    )
    from .plugin import ExecutorPlugin as ExecutorPlugin
    from .registry import ExecutorRegistry as ExecutorRegistry
    from .server import ExecutorMixin as ExecutorMixin, ExecutorServer as ExecutorServer

__version__ = "0.1.0"

_HOMES = {
    "BaseExecutor": "executors",
    "ExecutorApplication": "application",
    "ExecutorClosedError": "errors",
    "ExecutorConfigError": "errors",
    "ExecutorError": "errors",
    "ExecutorMixin": "server",
    "ExecutorOverloadError": "errors",
    "ExecutorPlugin": "plugin",
    "ExecutorRegistry": "registry",
    "ExecutorServer": "server",
    "ExecutorTimeoutError": "errors",
    "InlineExecutor": "executors",
    "LocalExecutor": "executors",
    "ProcessExecutor": "executors",
    "RemoteError": "errors",
    "SerializationError": "errors",
    "ThreadExecutor": "executors",
    "UnknownExecutorError": "errors",
    "WorkerCrashedError": "errors",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{home}", __name__)
    value = getattr(module, "ProcessExecutor" if name == "LocalExecutor" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
