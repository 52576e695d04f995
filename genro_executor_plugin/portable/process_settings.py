# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Process settings: log levels, warning filters, locale and time zone, in workers as in the server.

``ProcessSettings.here()`` reads those of the server; ``apply`` sets the same in a worker. They
travel as a definition, which is sent again when they have changed.
"""

from __future__ import annotations

import locale
import logging
import math
import os
import pickle
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .definitions import PROCESS_SETTINGS, Definition

__all__ = ["ProcessSettings", "ProcessSettingsSource", "all_loggers"]

_OFF = 1_000_000
"""The level of a logger that the server has disabled."""

_CATEGORIES = tuple(
    getattr(locale, name)
    for name in ("LC_CTYPE", "LC_COLLATE", "LC_TIME", "LC_MONETARY", "LC_NUMERIC", "LC_MESSAGES")
    if hasattr(locale, name)
)

_Filter = tuple[str, str | None, tuple[str, str], str | None, int]
"""Action, pattern of the message, category by name, pattern of the module, line."""

_FRESH_SECONDS = 1.0
"""How soon a change reaches a worker: looking for changes costs more than a short call."""


@dataclass(frozen=True, slots=True)
class ProcessSettings:
    """Settings of a process.

    Attributes:
        levels: the loggers that have a level of their own, and that level.
        disabled: the level up to which ``logging.disable`` silences everything.
        filters: ``warnings.filters``.
        captures_warnings: whether ``logging.captureWarnings`` is on.
        locales: the locale of every category.
        timezone: ``TZ`` in the environment.
    """

    levels: dict[str, int]
    disabled: int
    filters: tuple[_Filter, ...]
    captures_warnings: bool
    locales: tuple[tuple[int, str], ...]
    timezone: str | None

    @classmethod
    def here(cls) -> ProcessSettings:
        """The settings of this process, now."""
        return cls(
            levels=_levels(),
            disabled=logging.root.manager.disable,
            filters=tuple(_named(entry) for entry in warnings.filters),
            captures_warnings=getattr(logging, "_warnings_showwarning", None) is not None,
            locales=tuple((category, locale.setlocale(category)) for category in _CATEGORIES),
            timezone=os.environ.get("TZ"),
        )

    def apply(self) -> None:
        """Set them in this process. What cannot be set here (a locale, say) stays as it is."""
        self.apply_levels()
        warnings.resetwarnings()
        for entry in self.filters:
            _add_filter(*entry)
        logging.captureWarnings(self.captures_warnings)
        for category, name in self.locales:
            with suppress(locale.Error):
                if locale.setlocale(category) != name:
                    locale.setlocale(category, name)
        if os.environ.get("TZ") != self.timezone:
            if self.timezone is None:
                del os.environ["TZ"]
            else:
                os.environ["TZ"] = self.timezone
            time.tzset()

    def apply_levels(self) -> None:
        """Give every logger here the level that it has in the server."""
        logging.disable(self.disabled)
        for logger in all_loggers():
            level = self.levels.get(logger.name, logging.NOTSET)
            if logger.level != level:
                logger.setLevel(level)
        for name, level in self.levels.items():
            logging.getLogger(name).setLevel(level)


def all_loggers() -> list[logging.Logger]:
    """Every logger of this process, the root logger first."""
    known = list(logging.root.manager.loggerDict.values())
    return [logging.root, *(logger for logger in known if isinstance(logger, logging.Logger))]


def _levels() -> dict[str, int]:
    return {
        logger.name: _OFF if logger.disabled else logger.level
        for logger in all_loggers()
        if logger.level or logger.disabled or logger is logging.root
    }


def _named(entry: Any) -> _Filter:
    """An entry of ``warnings.filters`` that pickles without importing anything."""
    action, message, category, module, line = entry
    names = category.__module__, category.__qualname__
    return action, _pattern(message), names, _pattern(module), line


def _pattern(compiled: Any) -> str | None:
    text: str | None = getattr(compiled, "pattern", compiled)
    return text


def _add_filter(
    action: Any, message: str | None, category: tuple[str, str], module: str | None, line: int
) -> None:
    owner, name = category
    found = getattr(sys.modules.get(owner), name, None)
    if found is None:
        return  # its module is not loaded here, so no warning of it can occur yet
    if message is None and module is None:
        warnings.simplefilter(action, found, line, append=True)
    else:
        warnings.filterwarnings(action, message or "", found, module or "", line, append=True)


class ProcessSettingsSource:
    """The settings of this process as a definition that changes when they do.

    Attributes:
        definition: the settings as they were when they were last looked at.
        fresh_until: ``time.monotonic()`` from which on one has to ``look`` before using it.
    """

    def __init__(self, key: int) -> None:
        self._key = key
        self.fresh_until: float = -math.inf
        self.definition: Definition = Definition(key, 0, key, PROCESS_SETTINGS, b"")

    def look(self) -> None:
        """Have ``definition`` say what the settings are now."""
        self.fresh_until = time.monotonic() + _FRESH_SECONDS
        payload = pickle.dumps(ProcessSettings.here(), 5)
        if payload != self.definition.payload:
            version = self.definition.version + 1
            self.definition = Definition(self._key, version, self._key, PROCESS_SETTINGS, payload)
