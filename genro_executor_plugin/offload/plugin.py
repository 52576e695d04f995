# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The genro-routes plugin: ``@route(executor="pdf")``.

Importing this module registers the plugin with genro-routes; a router that binds before that
takes ``executor=`` for plain metadata.

**Where a handler is sent to its pool.** Not in ``wrap_handler``: in the function that
``on_decore`` puts into ``entry.func``, an async adapter with the handler's name, signature and
docs (``entry.offload``). It stands there for three reasons:

- A host asks ``iscoroutinefunction(entry.func)``, and never the chain of plugins, whether it
  awaits a call on its event loop or gives it to one of its threads. Only what is awaited can
  wait for a pool without holding a thread that other requests need.
- The scheduler and genro-routes' command line call ``entry.func`` without the chain, and are to
  run in the pool, too.
- It is the innermost step of every chain, so that all other plugins run around it, in the
  server, exactly once, whatever the order they were attached in.

The adapter reads the configuration at every call (``plan.RoutePlan``): what is configured at run
time holds from the next call on, and with offloading disabled the handler runs as the host
would have run it. ``wrap_handler`` adds nothing to the chain; it only sees to plugins that look
at what a handler returns (``bridge``).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from genro_routes import Router
from genro_routes.plugins import BasePlugin, MethodEntry
from pydantic import Field, ValidationError

from ..errors import ExecutorConfigError
from ..hosts.loaded import is_hosts_own
from ..options.numbers import MAX_COUNT, MAX_SECONDS
from ..options.pydantic_errors import in_words
from ..routing.privates import (
    WHOLE_ROUTER,
    chain_without,
    entries_of,
    is_bound,
    notify_children,
    own_options,
)
from ..routing.route_options import PLUGIN
from ..routing.tree import adapter_of, names_a_pool_itself, own_entries
from .bridge import BridgedEntry, bridge
from .entry import offload

__all__ = ["ExecutorPlugin"]

# Strict: genro-routes stores a value as it was written; the text "false" would be true.
_Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS, allow_inf_nan=False, strict=True)]
_Switch = Annotated[bool, Field(strict=True)]

_Changes = Mapping[tuple["ExecutorPlugin", str], Mapping[str, Any]]
"""Options by plugin and target: an entry's name, or ``WHOLE_ROUTER``."""


class ExecutorPlugin(BasePlugin):
    """Runs handlers in the pool that their route, or their router, names.

    Options (``@route(executor_<option>=...)``, ``router.plug("executor", <option>=...)``,
    ``configure``); ``None`` means: as the pool says.

    - ``pool``: the pool's name; without one the handler runs in the server.
    - ``disabled``: run in the server although a pool is named.
    - ``timeout``: seconds the run may take.
    - ``soft_timeout``: seconds after which ``SoftTimeoutError`` is raised in the run.
    - ``queue_timeout``: seconds the call may wait before its run begins.
    - ``on_overload``: ``"wait"`` or ``"fail"`` when the pool is full.
    - ``max_waiting``: how many calls may wait for a place in the pool when it is full.
    - ``retries``: how often to repeat a call whose worker crashed.
    - ``idle``: seconds that a stream may take to its next chunk.
    - ``send_timeout``: seconds that the client of a stream may take to read what it is sent.
    - ``key``: the argument, or ``caller.identity`` or ``caller.session``: calls in which it is
      the same meet the same worker.
    - ``key_serial``: run the calls of a key one after the other.
    - ``background``: answer a request at once with 202, and run as a long job.

    A section inherits the options of the routers above it; its own take precedence.
    """

    plugin_code = PLUGIN
    plugin_description = "Runs handlers in named pools of processes or threads"
    plugin_default_param: str = "pool"

    # It denies nobody: "" whatever it is asked. Each request to any route asks each plugin, and
    # a method of ``str`` costs it no Python frame.
    deny_reason = staticmethod("".format)

    def __init__(self, router: Any, **config: Any) -> None:
        self.router = router
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
        max_waiting: Annotated[int, Field(ge=0, le=MAX_COUNT, strict=True)] | None = None,
        retries: Annotated[int, Field(ge=0, le=MAX_COUNT, strict=True)] | None = None,
        idle: _Seconds | None = None,
        send_timeout: _Seconds | None = None,
        key: Annotated[str, Field(min_length=1)] | None = None,
        key_serial: _Switch | None = None,
        background: _Switch = False,
    ) -> None:
        """Accept the options; genro-routes validates and stores them."""

    # -- a handler and its pool -----------------------------------------------------------------

    def on_decore(self, router: Any, func: Callable[..., Any], entry: MethodEntry) -> None:
        """Put the adapter in the place of the handler of an entry that has a pool."""
        # An alias is its own router's business: that one's options hold for it.
        if entry.router is not router or not self.configuration(entry.name).get("pool"):
            return
        if names_a_pool_itself(router, entry.name) or not is_hosts_own(func):
            offload(entry, self)

    def wrap_handler(
        self, router: Any, entry: MethodEntry, call_next: Callable[..., Any]
    ) -> Callable[..., Any]:
        """Return ``call_next``: it ends in the adapter, which sends the call to its pool.

        The router asks for every wrapper before it assigns a chain, so that this is also the
        moment to see whether another plugin looks at what the handler returns.
        """
        bridge(entry, self)
        return call_next

    def leave_chains(self) -> None:
        """Take the step of this plugin, which wraps nothing, out of the chains of its entries.

        A router makes a step for each plugin; the chain is as before when a plugin is attached
        later, and costs what it did.
        """
        for entry in own_entries(self.router).values():
            if not isinstance(entry, BridgedEntry):
                entry.handler = chain_without(self, self.router, entry, entry.func)

    # -- options --------------------------------------------------------------------------------

    def configuration(self, method_name: str | None = None) -> dict[str, Any]:
        """The options in force: of the routers above, of this router, of the entry."""
        return self.configuration_with({}, method_name)

    def is_affected(self, changes: _Changes, method_name: str) -> bool:
        """Whether ``changes`` would change the options in force of an entry."""
        if (self, method_name) in changes or (self, WHOLE_ROUTER) in changes:
            return True
        return self._parent is not None and self._parent.is_affected(changes, WHOLE_ROUTER)

    def configuration_with(
        self, changes: _Changes, method_name: str | None = None
    ) -> dict[str, Any]:
        """``configuration`` as it would be after ``changes``, which are not made."""
        merged = self._parent.configuration_with(changes) if self._parent is not None else {}
        for target in (WHOLE_ROUTER, method_name):
            if target:
                merged.update(own_options(self.router, PLUGIN, target))
                merged.update(changes.get((self, target), {}))
        return merged

    @property
    def version(self) -> int:
        """Changes whenever the options may have changed; callers cache by it."""
        return self._version + (self._parent.version if self._parent is not None else 0)

    def touch(self) -> None:
        """Say that the options may have changed: what was computed from them is out of date."""
        self._version += 1

    def options_changed(self, targets: str) -> None:
        """Take note of new options of ``targets``: entries with commas, or ``WHOLE_ROUTER``."""
        self.touch()
        if targets == WHOLE_ROUTER:
            self._offload_all()
            return
        if is_bound(self.router):
            entries = entries_of(self.router)
            for target in targets.split(","):
                if (entry := entries.get(target.strip())) is not None:
                    self.on_decore(self.router, entry.func, entry)

    def on_attached_to_parent(self, parent_plugin: BasePlugin) -> None:
        """Inherit the options of the router above, for as long as it is above."""
        assert isinstance(parent_plugin, ExecutorPlugin)
        # The sum of the versions must have grown, whatever the version of the last parent was.
        self._version += self.version + 1
        self._parent = parent_plugin
        self._offload_all()

    def on_parent_config_changed(
        self,
        old_config: dict[str, Any],
        new_config: dict[str, Any],
    ) -> None:
        """Copy nothing: ``configuration`` asks the router above whenever it is read."""
        self._offload_all()
        notify_children(self)

    def _offload_all(self) -> None:
        """Offload the entries that have had no pool until now."""
        if is_bound(self.router):
            for entry in own_entries(self.router).values():
                if adapter_of(entry) is None:
                    self.on_decore(self.router, entry.func, entry)


def _noticed(configure: Callable[..., None]) -> Callable[..., None]:
    """``configure``, noticed by the plugin, with errors that name the route and what is allowed."""
    known = sorted(list(inspect.signature(configure).parameters)[1:])

    @functools.wraps(configure)
    def noticed(
        self: ExecutorPlugin,
        *,
        _target: str = WHOLE_ROUTER,
        flags: str | None = None,
        **options: Any,
    ) -> None:
        try:
            configure(self, _target=_target, flags=flags, **options)
        except ValidationError as error:
            owner = type(self.router.instance).__name__
            where = f"router of {owner}" if _target == WHOLE_ROUTER else f"route {owner}.{_target}"
            words = in_words(error, known, f"{PLUGIN}_")
            raise ExecutorConfigError(f"{where}: {words}") from error
        self.options_changed(_target)

    return noticed


ExecutorPlugin.configure = _noticed(ExecutorPlugin.configure)  # type: ignore[method-assign]
Router.register_plugin(ExecutorPlugin)
