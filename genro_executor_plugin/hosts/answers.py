# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Answers to a request that failed for a reason which has been logged already."""

from __future__ import annotations

import logging

from .chosen import chosen_host
from .surface import HTTPException

__all__ = ["LoggedAnswer"]


class LoggedAnswer(HTTPException):
    """An answer whose reason has been logged: the host answers it, and logs nothing more."""


def _is_news(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], LoggedAnswer))


logging.getLogger(f"{chosen_host()}.response").addFilter(_is_news)
