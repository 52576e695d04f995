# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Parsers with errors of one line, and converters whose errors say what is allowed."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from .output import IMPOSSIBLE, complain

__all__ = ["BorrowedParser", "Parser", "seconds", "whole"]


class Parser(argparse.ArgumentParser):
    """``ArgumentParser`` with errors of one line."""

    def error(self, message: str) -> NoReturn:
        complain(self.prog, f"{message}; see {self.prog} --help")
        raise SystemExit(IMPOSSIBLE)


class BorrowedParser(Parser):
    """A parser that takes its arguments from another one, made when a command line is parsed."""

    def __init__(
        self, *, borrow: Callable[[], argparse.ArgumentParser] | None = None, **options: Any
    ) -> None:
        if borrow is not None and "serve" in os.environ.get("COMP_LINE", ""):
            # A shell asks for completions, and nothing is parsed: it needs the arguments now.
            options |= {"parents": [borrow()], "conflict_handler": "resolve"}
            borrow = None
        super().__init__(**options)
        self._borrow = borrow

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        if self._borrow is None:
            return super().parse_known_args(args, namespace)
        parser = Parser(
            prog=self.prog,
            description=self.description,
            epilog=self.epilog,
            formatter_class=self.formatter_class,
            parents=[self._borrow()],
            conflict_handler="resolve",
        )
        parser.set_defaults(**self._defaults)
        return parser.parse_known_args(args, namespace)


def whole(what: str, least: int, most: int) -> Callable[[str], int]:
    """A converter for whole numbers from ``least`` to ``most``."""

    def convert(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a number of {what} from {least} to {most}"
                if what != "port"
                else f"{text!r} is not a port ({least} to {most})"
            )
        return int(text)

    return convert


def seconds(least: float, most: float) -> Callable[[str], float]:
    """A converter for a number of seconds from ``least`` to ``most``."""

    def convert(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a number of seconds from {least:g} to {most:g}"
            )
        return number

    return convert
