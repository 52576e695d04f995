# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a preloaded module imports lazily is loaded before workers are forked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from genro_executor_plugin import ProcessExecutor

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 15), reason="lazy imports are new in Python 3.15"
)

MODULE = """
lazy import lazily_found
lazy from lazily_found import VALUE
lazy import there_is_no_such_module
"""

FOUND = """
lazy import lazily_deeper
VALUE = 7
"""


def loaded_here() -> list[str]:
    """Which of the modules are loaded, before anything has used them."""
    return [name for name in ("lazily_found", "lazily_deeper") if name in sys.modules]


def used_here() -> tuple[int, str]:
    import preloads_lazily

    try:
        missing = preloads_lazily.there_is_no_such_module
    except ImportError as error:
        missing = error.name
    return preloads_lazily.VALUE, missing


async def test_lazy_imports_of_a_preloaded_module_are_loaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "preloads_lazily.py").write_text(MODULE)
    (tmp_path / "lazily_found.py").write_text(FOUND)
    (tmp_path / "lazily_deeper.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    async with ProcessExecutor("lazy", max_workers=1, preload=["preloads_lazily"]) as pool:
        assert await pool.submit(loaded_here) == ["lazily_found", "lazily_deeper"]
        assert await pool.submit(used_here) == (7, "there_is_no_such_module")
    told = capfd.readouterr().err
    assert told.count("preloads_lazily imports 'there_is_no_such_module' lazily") == 1
