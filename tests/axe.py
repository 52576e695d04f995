# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""axe-core, the checker of pages for people who read them in other ways, from npm."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

PACKAGE = "axe-core@4.14.1"

PATIENCE_SECONDS = 60


def axe_script(folder: Path) -> str:
    """The source of axe-core, fetched into ``folder``; skips the test where npm has none."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here, which brings axe-core")
    try:
        packed = subprocess.run(
            [npm, "pack", PACKAGE, "--silent", "--pack-destination", str(folder)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not bring {PACKAGE} in {PATIENCE_SECONDS} s")
    files = list(folder.glob("axe-core-*.tgz"))
    if packed.returncode or not files:
        pytest.skip(f"npm cannot bring {PACKAGE}: {packed.stderr.strip()[-300:]}")
    with tarfile.open(files[0]) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode("utf-8")


def violations(browser: Any, script: str, *, only: str = "", but: str = "") -> list[str]:
    """What axe-core finds on the page as it is now, by all rules or one of them; a line for each.

    ``but`` names a rule that is left out.
    """
    browser.execute_script(script)
    found = browser.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "const only = arguments[0] ? {runOnly: [arguments[0]]} : {};"
        "axe.run(document, {resultTypes: ['violations'], ...only})"
        ".then((told) => done({found: told.violations}), (error) => done({error: String(error)}))",
        only,
    )
    assert "found" in found, found
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:200]} {node['failureSummary'][:300]}"
        for rule in found["found"]
        if rule["id"] != but
        for node in rule["nodes"]
    ]
