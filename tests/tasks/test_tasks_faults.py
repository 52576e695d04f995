# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What was told of a job is there after any system call of its store has failed.

A few calls fail in every run, others in each; ``tox run -e store-faults`` strikes all of them.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from programs import TESTS
from store_faults import lacking

REASON = lacking()


@pytest.mark.skipif(bool(REASON), reason=f"system calls cannot be made to fail: {REASON}")
def test_what_was_told_is_there_whichever_call_fails() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.store_faults", "--sample", "8"],
        cwd=TESTS.parent,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 problems" in done.stdout
