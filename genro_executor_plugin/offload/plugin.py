# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The genro-routes plugin: ``@route(executor="pdf")``.

Importing this module registers the plugin with genro-routes; a router that binds before that
takes ``executor=`` for plain metadata. The plugin reads its configuration at every call, so
that what is configured at run time holds from the next call on.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, Literal

from genro_routes import Router
from genro_routes.plugins import BasePlugin, MethodEntry
from pydantic import Field, ValidationError

from ..errors import ExecutorConfigError
from ..routing.tree import bound_entries
from .entry import offload

__all__ = ["ExecutorPlugin"]

# Strict: genro-routes stores what was written and not what it was taken for; "false" is true.
_Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
_Switch = Annotated[bool, Field(strict=True)]


class ExecutorPlugin(BasePlugin):
    """Runs handlers in the pool that their route, or their router, names.

    Options (``@route(executor_<option>=...)``, ``router.plug("executor", <option>=...)``,
    ``configure``); ``None`` is "as the pool says":

    - ``pool``: the pool's name; without one the handler runs in the server as ever.
    - ``disabled``: run in the server although a pool is named.
    - ``timeout``: seconds the run may take.
    - ``soft_timeout``: seconds after which ``SoftTimeoutError`` is raised in the run.
    - ``queue_timeout``: seconds the call may wait before its run begins.
    - ``on_overload``: ``"wait"`` or ``"fail"`` when the pool is full.
    - ``retries``: how often to repeat a call whose worker crashed.
    - ``idle``: seconds that may pass before the next chunk of a stream is there.
    - ``background``: answer a request at once with 202, and run as a long job.

    A section has its parents' options, and its own above them.
    """

    plugin_code = "executor"
    plugin_description = "Runs handlers in named pools of processes or threads"
    plugin_default_param = "pool"

    def __init__(self, router: Any, **config: Any) -> None:
        self._parent: ExecutorPlugin | None = None
        self._version = 0
        super().__init__(router, **config)

    def configure(  # type: ignore[override]
        self,
        pool: Annotated[str, Field(min_length=1)] | None = None,
        disabled: _Switch = False,
        timeout: _Seconds | None = None,
        soft_timeout: _Seconds | None = None,
        queue_timeout: _Seconds | None = None,
        on_overload: Literal["wait", "fail"] | None = None,
        retries: Annotated[int, Field(ge=0, strict=True)] | None = None,
        idle: _Seconds | None = None,
        background: _Switch = False,
    ) -> None:
        """Accept the options; genro-routes validates and stores them."""

    def configuration(self, method_name: str | None = None) -> dict[str, Any]:
        """The options in force: of the routers above, of this router, of the entry."""
        merged = self._parent.configuration() if self._parent is not None else {}
        own = super().configuration(method_name)
        merged.update(own)
        return merged

    @property
    def version(self) -> int:
        """A number that is another one after every change of the options in force."""
        return self._version + (self._parent.version if self._parent is not None else 0)

    def touch(self) -> None:
        """The options may have changed."""
        self._version += 1

    def on_decore(
        self,
        router: Any,
        func: Callable[..., Any],
        entry: MethodEntry,
    ) -> None:
        """Offload an entry that has a pool."""
        if self.configuration(entry.name).get("pool"):
            offload(self, entry)

    def on_attached_to_parent(self, parent_plugin: BasePlugin) -> None:
        """Take over the options of the router above, for as long as it is above."""
        assert isinstance(parent_plugin, ExecutorPlugin)
        # Ahead of both, so that the sum can only have grown.
        self._version += self.version + 1
        self._parent = parent_plugin
        self._offload_entries()

    def on_parent_config_changed(
        self,
        old_config: dict[str, Any],
        new_config: dict[str, Any],
    ) -> None:
        """Nothing is copied: ``configuration`` asks the router above when it is read."""
        self._offload_entries()
        self._notify_children({}, {})

    def _write_config(self, target: str, config: dict[str, Any]) -> None:
        super()._write_config(target, config)
        self.touch()
        self._offload_entries()

    def _offload_entries(self) -> None:
        """Offload the entries that have had no pool until now."""
        for entry in bound_entries(self._router):
            if entry.router is self._router:
                self.on_decore(self._router, entry.func, entry)


def _naming_the_route(configure: Callable[..., None]) -> Callable[..., None]:
    """``configure`` with errors that say which route, option and value, and what is allowed."""

    @functools.wraps(configure)
    def named(
        self: ExecutorPlugin, *, _target: str = "_all_", flags: str | None = None, **options: Any
    ) -> None:
        try:
            configure(self, _target=_target, flags=flags, **options)
        except ValidationError as error:
            owner = type(self._router.instance).__name__
            where = f"router of {owner}" if _target == "_all_" else f"route {owner}.{_target}"
            raise ExecutorConfigError(f"{where}: {_in_words(error)}") from error

    return named


def _in_words(error: ValidationError) -> str:
    known = list(inspect.signature(ExecutorPlugin.configure).parameters)[1:]
    words = []
    for detail in error.errors():
        option = detail["loc"][0]
        if detail["type"] == "unexpected_keyword_argument":
            words.append(f"unknown option executor_{option}; there are {', '.join(known)}")
        else:
            words.append(f"executor_{option}={detail['input']!r}: {detail['msg']}")
    return "; ".join(words)


ExecutorPlugin.configure = _naming_the_route(ExecutorPlugin.configure)  # type: ignore[method-assign]
Router.register_plugin(ExecutorPlugin)
