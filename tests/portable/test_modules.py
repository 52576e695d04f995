# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Applications wherever they live: packages, the working folder, a file, a notebook."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import host
import nbformat
import pytest
from nbclient import NotebookClient
from programs import TESTS, run_program, started

PACKAGE = {
    "site_of_a_test/__init__.py": "",
    "site_of_a_test/words.py": "WORD = 'from the package'\n",
    "site_of_a_test/app.py": host.written("""\
import os
from host import RoutedApplication
from genro_routes import route
from .words import WORD
from . import words as whole

class App(RoutedApplication):
    mount = "app"
    @route(executor="p")
    def say(self):
        return {"word": WORD, "whole": whole.WORD, "pid": os.getpid(), "own": type(self) is App}
"""),
}

SERVE = """\
from genro_executor_plugin import ExecutorServer
from {module} import App
if __name__ == "__main__":
    ExecutorServer(applications=[App], executors={{"p": {{"max_workers": 1}}}}, tasks=False).serve()
"""

AT_IMPORT = host.written("""\
import os
import sys
from pathlib import Path
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "vendored"))
os.environ["WORD_OF_A_TEST"] = os.environ.get("WORD_OF_A_TEST", "") + "set"
import vendored_words
from host import RoutedApplication
from genro_routes import route

class App(RoutedApplication):
    mount = "app"
    @route(executor="p")
    def say(self):
        import only_when_called
        return {
            "word": vendored_words.WORD + only_when_called.WORD,
            "whole": os.environ["WORD_OF_A_TEST"],
            "pid": os.getpid(),
            "own": type(self) is App,
        }
""")


async def said_by(program: Path, cwd: Path) -> dict[str, Any]:
    """What the application of ``program`` says, which must be in a worker."""
    with started(program, cwd=cwd) as process:
        process.until_it_serves()
        async with process.client() as client:
            answer = await client.get("/app/say")
            assert answer.status_code == 200, answer.text
            said: dict[str, Any] = answer.json()
            assert said.pop("own") is True
            assert said.pop("pid") in {child.pid for child in process.descendants()}
        assert "Traceback" not in process.log
    return said


async def test_an_application_in_a_package(tmp_path: Path) -> None:
    for name, text in PACKAGE.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    program = tmp_path / "program.py"
    program.write_text(SERVE.format(module="site_of_a_test.app"))
    assert await said_by(program, tmp_path) == {
        "word": "from the package",
        "whole": "from the package",
    }


async def test_a_module_that_changes_path_and_environment_at_its_import(tmp_path: Path) -> None:
    """It finds in a worker what it finds in the server."""
    (tmp_path / "vendored").mkdir()
    (tmp_path / "vendored" / "vendored_words.py").write_text("WORD = 'vendored'\n")
    (tmp_path / "vendored" / "only_when_called.py").write_text("WORD = ' and more'\n")
    (tmp_path / "changing.py").write_text(AT_IMPORT)
    program = tmp_path / "program.py"
    program.write_text(SERVE.format(module="changing"))
    said = await said_by(program, tmp_path)
    assert said["word"] == "vendored and more"
    assert set(said["whole"].split("set")) == {""}


def test_modules_of_the_working_folder_are_found(tmp_path: Path) -> None:
    """Also where the path has them as the empty entry, and the folder is left afterwards."""
    (tmp_path / "beside.py").write_text("import os\ndef pid():\n    return os.getpid()\n")
    program = """
import asyncio, os, sys
assert sys.path[0] == ""
os.chdir(sys.argv[1])
import beside
from genro_executor_plugin import ProcessExecutor
async def main():
    pool = ProcessExecutor("pool", max_workers=1)
    assert await pool.submit(beside.pid) == pool.pids[0]
    await pool.shutdown()
    print("done")
asyncio.run(main())
"""
    assert run_program("-c", program, str(tmp_path)) == "done\n"


CELLS = (
    host.written("""
import os
from dataclasses import dataclass
from host import RoutedApplication
from genro_routes import route
from genro_executor_plugin import ProcessExecutor

FACTOR = 3

@dataclass
class Point:
    x: int

def helped(number):
    return number * FACTOR

def work(point):
    return Point(helped(point.x)), os.getpid()
"""),
    """
class App(RoutedApplication):
    mount = "app"
    def __init__(self, **options):
        super().__init__(**options)
        self.number = 2
    @route(executor="p")
    def say(self):
        return helped(self.number), os.getpid()

pool = ProcessExecutor("p", max_workers=1)
""",
    """
point, pid = await pool.submit(work, Point(14))
assert point == Point(42) and type(point) is Point and pid in pool.pids, (point, pid)
""",
    """
app = App()
number, pid = await pool.submit(app.say)
assert number == 6 and pid in pool.pids
app.number = 5
assert (await pool.submit(app.say))[0] == 15
""",
    """
def work(point):
    return "defined anew"
""",
    """
assert await pool.submit(work, Point(1)) == "defined anew"
values = [value async for value in pool.stream(lambda: (n * FACTOR for n in range(3)))]
assert values == [0, 3, 6]
await pool.shutdown()
print("done")
""",
)


@pytest.mark.filterwarnings("default")  # of the notebook's own libraries
def test_a_notebook(tmp_path: Path) -> None:
    """Its functions and classes have no file, and may be defined anew."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    kernels = tmp_path / "kernels" / "of_this_test"
    kernels.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "test", "language": "python"}
    (kernels / "kernel.json").write_text(json.dumps(spec))
    before = dict(os.environ)
    os.environ["JUPYTER_PATH"] = str(tmp_path)
    os.environ["PYTHONPATH"] = str(TESTS)
    try:
        client = NotebookClient(notebook, timeout=150, kernel_name="of_this_test")
        client.execute()
    finally:
        os.environ.clear()
        os.environ.update(before)
    assert notebook.cells[-1].outputs[-1]["text"] == "done\n"
