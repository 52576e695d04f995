# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The keys of a route's calls: ``executor_key=`` names an argument, or says who asks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..errors import ExecutorKeyError
from ..options.call import CallOptions
from ..options.keys import KeyName, key_of
from ..options.numbers import NotAllowedError
from .caller import Caller, current_caller

__all__ = ["keyed_options", "why_no_key"]

_OF_CALLERS: Mapping[str, tuple[Callable[[Caller], str], str]] = {
    "caller.identity": (
        lambda caller: caller.identity,
        "Give the route an auth_rule, so that it answers nobody without an identity",
    ),
    "caller.session": (
        lambda caller: caller.session,
        "Have the server's middleware for sessions switched on, or key the route by an argument",
    ),
}
"""What a key may be beside an argument: how to ask a caller, and the cure if he has none."""

_TAKES_ONE = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
)


def why_no_key(name: str, signature: inspect.Signature) -> str | None:
    """Why no call of a handler with that ``signature`` can have the key ``name``.

    ``None`` if calls can have it; with ``**kwargs``, that is known only at the call.
    """
    if name in _OF_CALLERS:
        return None
    parameters = signature.parameters.values()
    names = [one.name for one in parameters if one.kind in _TAKES_ONE]
    if name in names or any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    return (
        f"executor_key={name!r} names no argument of the handler, which takes "
        f"{', '.join(names) or 'none'}; give one of them, or one of {', '.join(_OF_CALLERS)}"
    )


def keyed_options(
    options: CallOptions,
    func: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    caller: Caller | None = None,
) -> CallOptions:
    """``options`` of a route with the key of one call in the place of where it is found.

    Args:
        options: the options of the route's calls.
        func: its handler.
        args: the arguments of the call.
        kwargs: its keyword arguments.
        caller: who asks, if that is not whom the request that is being served comes from.

    Raises:
        ExecutorKeyError: the call has no such key, or what it has is none.
    """
    name = options.key
    if not isinstance(name, KeyName):
        return options
    if name in _OF_CALLERS:
        ask, cure = _OF_CALLERS[name]
        caller = caller or current_caller()
        value: Any = None if caller is None else ask(caller) or None
    else:
        cure = "Give the argument, or have the handler require it"
        value = kwargs[name] if name in kwargs else _positional(name, func, args)
    if value is None:
        raise ExecutorKeyError(
            f"route {options.route!r}: this call has no {name}, which is the key of its calls "
            f"(executor_key={name!r}). {cure}",
            route=options.route,
        )
    try:
        return replace(options, key=key_of(value))
    except NotAllowedError as wrong:
        raise ExecutorKeyError(
            f"route {options.route!r}: {name} of this call is of type {type(value).__name__}, and "
            f"its key (executor_key={name!r}) has to be {wrong}",
            route=options.route,
        ) from None


def _positional(name: str, func: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """The argument ``name`` among ``args``, or its default; ``None`` if there is none."""
    place = 0
    for parameter in inspect.signature(func).parameters.values():
        if parameter.kind in _TAKES_ONE[:2]:
            if parameter.name == name and place < len(args):
                return args[place]
            place += 1
        if parameter.name == name and parameter.default is not parameter.empty:
            return parameter.default
    return None
