# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The dispatcher under simulated workers: some schedules, and what is found without its fixes.

``tox run -e simulation`` plays many more.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import run_program

ROOT = Path(__file__).parents[2]

FOUND_AT = {
    "limits-of-calls-sent-ahead": 15,
    "looking-for-calls-behind-a-long-one": 159,
    "looking-for-answers-before-a-kill": 115,
    "nothing-ahead-before-refusals": 361,
}
"""A schedule that breaks an invariant without the fix; all of them pass with it."""


def simulated(*options: object) -> str:
    return run_program("-m", "tests.simulation", *map(str, options), cwd=ROOT)


def test_schedules_break_no_invariant() -> None:
    assert simulated("--seeds", 400).startswith("400 schedules")


@pytest.mark.parametrize("name", FOUND_AT)
def test_a_fix_that_is_taken_out_is_missed(name: str) -> None:
    told = simulated("--without", name, "--first", FOUND_AT[name], "--seeds", 1)
    assert told.startswith(f"seed {FOUND_AT[name]} breaks an invariant")
