# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What travels and what does not: the table in the documentation is what is found here.

``GENRO_WRITE_TABLES=1 pytest tests/portable/test_luggage.py`` writes it anew.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy
import pytest
from apps.luggage import SORTS, Luggage, give, seen

from genro_executor_plugin import ProcessExecutor, SerializationError

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "how-a-call-travels.md"
BEGIN = "<!-- made by tests/portable/test_luggage.py -->"
END = "<!-- end of what is made -->"

EQUAL_AS_TEXT = ("exceptions", "exception groups", "`self.result_wrapper")
"""What has no equality of its own."""

NOT_COMPARED = ("bound methods", "lambdas", "local classes", "applications", "pools", "coroutines")


def same(sort: str, one: Any, other: Any) -> bool:
    if isinstance(one, numpy.ndarray):
        return bool(numpy.array_equal(one, other))
    if sort.startswith(EQUAL_AS_TEXT):
        return type(one) is type(other) and str(vars_of(one)) == str(vars_of(other))
    if sort.startswith(("sentinels", "`dataclasses.MISSING")):
        return one is other
    if "fresh one" in sort:
        return type(one) is type(other)
    return any(word in sort for word in NOT_COMPARED) or bool(one == other)


def vars_of(value: Any) -> Any:
    slots = {name: getattr(value, name) for name in getattr(type(value), "__slots__", ())}
    return getattr(value, "args", None), getattr(value, "__notes__", None), slots


async def found(pool: ProcessExecutor, sort: str) -> tuple[str, str, str]:
    """How a value of ``sort`` fares as an argument, as a result, and as an attribute of self."""
    app = Luggage()
    app.value = give(sort)
    argument = await outcome(pool.submit(seen, give(sort)), type(app.value).__name__)
    attribute = await outcome(pool.submit(app.look), type(app.value).__name__)
    try:
        result = await pool.submit(give, sort)
    except SerializationError:
        returned = "no"
    else:
        returned = "yes" if same(sort, app.value, result) else "as something else"
    close = getattr(app.value, "close", None)
    if close is not None:
        close()
    return argument, returned, attribute


async def outcome(call: Any, name: str) -> str:
    try:
        said = await call
    except SerializationError:
        return "no"
    return "yes" if said in (name, "BaseExecutor") else f"as `{said}`"


async def table() -> str:
    pool = ProcessExecutor("pool", max_workers=1)
    lines = ["| | argument | result | attribute of `self` |", "|---|---|---|---|"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of things that are left open, here and there
        for sort in SORTS:
            argument, returned, attribute = await found(pool, sort)
            lines.append(f"| {sort} | {argument} | {returned} | {attribute} |")
        assert pool.metrics["restarts"] == 0
        await pool.shutdown()
    return "\n".join(lines)


@pytest.mark.filterwarnings("ignore")
async def test_the_table_in_the_documentation_is_what_is_found() -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    written, _, after = rest.partition(END)
    made = await table()
    if os.environ.get("GENRO_WRITE_TABLES"):
        PAGE.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", encoding="utf-8")
        return
    assert written.strip() == made, "GENRO_WRITE_TABLES=1 writes the table anew"
