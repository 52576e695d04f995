# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A client chooses the names of a handler's ``**kwargs``: none of them means anything here."""

from __future__ import annotations

import base64
import logging
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from genro_routes import route
from host import RoutedApplication
from servers import serving

NAMES = (
    "_request", "func", "function", "callable", "args", "kwargs", "entry", "router", "handler",
    "instance", "call", "cls", "job", "route", "pool", "timeout", "plan", "target", "executor",
    "client", "name", "title", "key", "context", "message", "task_id", "submitter", "extras",
    "cleanup", "genro-executor.carried", "__class__", "__reduce__", "messages", "number",
)  # fmt: skip


class Search(RoutedApplication):
    """Handlers that take whatever the query has, of every sort that runs in its own way.

    Not annotated: the pydantic plugin would collect it under the name of the parameter.
    """

    mount = "search"

    @route(executor="p")
    def plain(self, **filters) -> list[str]:
        return sorted(filters)

    @route(executor="p")
    async def coroutine(self, **filters) -> list[str]:
        return sorted(filters)

    @route(executor="p")
    def stream(self, **filters) -> Iterator[str]:
        yield ",".join(sorted(filters))

    @route(executor="t")
    def thread(self, **filters) -> list[str]:
        return sorted(filters)

    @route(executor="i")
    def inline(self, **filters) -> list[str]:
        return sorted(filters)


class Payload:
    """What runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"echo > {self.mark}",)


@pytest.mark.parametrize("plugins", [{}, {"logging": {}}], ids=["plain", "bridged"])
async def test_no_name_means_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, plugins: dict[str, Any]
) -> None:
    mark = tmp_path / "made-by-the-client"
    pools: dict[str, Any] = {
        "p": {"max_workers": 1, "context": []},
        "t": {"executor_type": "thread"},
        "i": {"executor_type": "inline"},
    }
    value = base64.b64encode(pickle.dumps(Payload(mark))).decode() + "::RAW"
    async with serving(Search, executors=pools, plugins=plugins) as site:
        for handler in ("plain", "coroutine", "stream", "thread", "inline"):
            given = dict.fromkeys(NAMES, value)
            answer = await site.get(f"/search/{handler}", **given)
            assert answer.status_code == 200, (handler, answer.text)
            found = answer.text.split(",") if handler == "stream" else answer.json()
            assert found == sorted(NAMES), handler
    assert not mark.exists()
    assert not [one for one in caplog.records if one.levelno >= logging.ERROR]
