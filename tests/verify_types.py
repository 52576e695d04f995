# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How much of the package a type checker knows: ``python -m tests.verify_types``.

It ends with an error if that is less than ``LEAST_PERCENT`` of what could be imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import genro_executor_plugin

LEAST_PERCENT = 98.0

PACKAGE = genro_executor_plugin.__name__


def verified() -> dict[str, Any]:
    """What pyright says of the types of the package."""
    # pyright asks the ``python`` on PATH where packages are.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    options = ("--ignoreexternal", "--outputjson")
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--verifytypes", PACKAGE, *options],
        # Here the package is found as it is imported, also if it is installed as editable.
        cwd=Path(genro_executor_plugin.__file__).parents[1],
        env={**os.environ, "PATH": path, "PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout.startswith("{"):
        raise RuntimeError(f"pyright has ended with {done.returncode}: {done.stdout}{done.stderr}")
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def main() -> int:
    """Print the number, and what lowers it; return the exit status."""
    said = verified()
    completeness = said["typeCompleteness"]
    percent = 100 * completeness["completenessScore"]
    for symbol in completeness["symbols"]:
        if symbol["isExported"] and not (symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"]):
            for diagnostic in symbol["diagnostics"]:
                print(f"{symbol['name']}: {diagnostic['message']}")
    counts = completeness["exportedSymbolCounts"]
    print(f"{PACKAGE}: {percent:.1f} % of {sum(counts.values())} exported symbols are known")
    return 0 if percent >= LEAST_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
