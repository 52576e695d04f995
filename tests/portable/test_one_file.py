# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Programs of one file: what of them a worker runs, and what is for the server alone."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest
from programs import run_program

CALLS = """\
import asyncio, logging, sys
from pathlib import Path
from genro_executor_plugin import ProcessExecutor

COUNT = 0

def count():
    global COUNT
    COUNT += 1
    return COUNT, logging.getLogger(__name__).name, __name__

class Value:
    pass

async def main():
    pool = ProcessExecutor("pool", max_workers=1)
    print(await pool.submit(count), await pool.submit(count))
    await pool.shutdown()
"""

BARE = f"""{CALLS}
try:
    asyncio.run(main())
except BaseException as error:
    print("raised", type(error))
finally:
    with open(sys.argv[1], "a") as file:
        file.write("left\\n")
"""

SAID = "(1, '__main__', '__mp_main__') (2, '__main__', '__mp_main__')\n"


def test_what_stands_around_the_call_that_serves_runs_in_the_server_alone(tmp_path: Path) -> None:
    program, left = tmp_path / "program.py", tmp_path / "left"
    program.write_text(BARE)
    assert run_program(program, left) == SAID
    assert left.read_text() == "left\n"


@pytest.mark.parametrize("how", ["module", "folder", "archive"])
def test_every_way_to_start_a_program_keeps_its_globals(tmp_path: Path, how: str) -> None:
    package = tmp_path / "counting"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(f"{CALLS}\nasyncio.run(main())\n")
    options: dict[str, Any] = {"cwd": tmp_path}
    if how == "module":
        assert run_program("-m", "counting", **options) == SAID
    elif how == "folder":
        assert run_program(package, **options) == SAID
    else:
        with zipfile.ZipFile(tmp_path / "program.pyz", "w") as archive:
            archive.write(package / "__main__.py", "__main__.py")
        assert run_program(tmp_path / "program.pyz", **options) == SAID


def test_a_loop_that_is_needed_for_what_follows_runs_in_a_worker(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio\n"
        "async def load():\n    return 5\n"
        "SIZE = asyncio.run(load())\n"
        f"{CALLS.replace('return COUNT, logging', 'return SIZE, logging')}\n"
        "asyncio.run(main())\n"
    )
    assert run_program(program).startswith("(5, ")


def test_what_the_guard_defines_travels_by_value(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio\n"
        "from genro_executor_plugin import ProcessExecutor\n"
        "if __name__ == '__main__':\n"
        "    class Value:\n        size = 3\n"
        "    def size(value):\n        return value.size\n"
        "    async def main():\n"
        "        pool = ProcessExecutor('pool', max_workers=1)\n"
        "        print(await pool.submit(size, Value()))\n"
        "        await pool.shutdown()\n"
        "    asyncio.run(main())\n"
    )
    assert run_program(program) == "3\n"


def test_a_program_without_a_file_says_that_its_globals_do_not_last(tmp_path: Path) -> None:
    program = f"import logging, sys\nlogging.basicConfig(stream=sys.stdout)\n{CALLS}"
    said = run_program("-", input=f"{program}\nasyncio.run(main())\n")
    assert said.count("this program has no file") == 1
    assert "(1, '__main__', '__main__') (1, '__main__', '__main__')" in said
