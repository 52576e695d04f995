# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Handlers that log, warn and print. At its import this module sets up handlers of its own."""

from __future__ import annotations

import locale
import logging
import os
import threading
import time
import warnings
from typing import Any

import structlog
from genro_routes import route
from host import RoutedApplication

logger = logging.getLogger("talking")
private = logging.getLogger("talking.private")

MADE: list[str] = []
"""The records that were made in this process."""


class Counted(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        MADE.append(record.getMessage())
        return True


class Odd:
    """Cannot travel, and reads well."""

    def __init__(self) -> None:
        self.lock = threading.Condition()

    def __str__(self) -> str:
        return "an odd one"


class OddError(Exception):
    def __init__(self) -> None:
        super().__init__("odd")
        self.lock = threading.Condition()


class Talking(RoutedApplication):
    mount = "talking"

    def on_worker_startup(self) -> None:
        logger.warning("starting")

    @route(executor="p")
    def many(self, count: int = 3) -> int:
        for number in range(count):
            logger.info("number %d", number)
        print("printed")
        return os.getpid()

    @route(executor="p")
    async def many_async(self, count: int = 3) -> int:
        for number in range(count):
            logger.info("number %d", number)
        return os.getpid()

    @route(executor="p")
    def levels(self) -> list[str]:
        MADE.clear()
        logger.addFilter(counted := Counted())
        logger.debug("too low")
        logger.warning("high enough")
        logger.removeFilter(counted)
        return MADE

    @route(executor="p")
    def all_sorts(self) -> None:
        logger.warning("odd: %s", Odd(), extra={"user": "ann", "odd": Odd()})
        logger.warning("named: %(one)d", {"one": 1})
        private.warning("in private")
        try:
            raise LookupError("nothing there")
        except LookupError:
            logger.exception("failed")
        try:
            raise OddError
        except OddError:
            logger.exception("failed oddly")
        logger.warning("broken: %d", "text")

    @route(executor="p")
    def in_thread(self) -> None:
        thread = threading.Thread(target=logger.warning, args=("from a thread",))
        thread.start()
        thread.join()

    @route(executor="p")
    def structured(self) -> None:
        structlog.get_logger("talking.structured").warning("paid", amount=12, who="ann")

    @route(executor="p")
    def warns(self) -> None:
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)

    @route(executor="p")
    def surroundings(self) -> list[Any]:
        return [locale.setlocale(locale.LC_NUMERIC), time.strftime("%Z", time.localtime(0))]

    @route(executor="p")
    def dies(self) -> None:
        logger.error("last words")
        os.kill(os.getpid(), 9)


# What many modules do; in a worker nothing of it may be seen twice.
logging.basicConfig(level=logging.DEBUG)
private.addHandler(logging.StreamHandler())
private.propagate = False
