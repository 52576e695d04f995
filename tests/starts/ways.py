# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The ways to start a program with pools: a table of their commands and files."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import host

APP = host.written("""\
import os
from host import RoutedApplication
from genro_routes import route

COUNTED = []

class App(RoutedApplication):
    mount = "app"

    @route(executor="p")
    def say(self):
        COUNTED.append(1)
        return {"pid": os.getpid(), "own": type(self) is App, "counted": len(COUNTED)}
""")
"""An application; a module of this text is imported by most programs, others have it in them."""

MAKE = """\
import os
from genro_executor_plugin import ExecutorServer

def make():
    return ExecutorServer(
        applications=[App],
        executors={"p": {"max_workers": 1}},
        tasks=False,
        port=int(os.environ["PORT"]),
    )
"""

IMPORT = "from application import App\n"
WHOLE = f"{APP}{MAKE}"
"""A program that has everything in it, and serves nothing yet."""

APART = f"{IMPORT}{MAKE}"
"""One whose application is a module of its own."""

GUARD = 'if __name__ == "__main__":\n    '
SERVER = f"{APART}server = make()\n"

RUN = "import uvicorn\n"
AWAITED = (
    "import asyncio, uvicorn\n"
    "async def main():\n"
    "    config = uvicorn.Config(make(), port=int(os.environ['PORT']))\n"
    "    await uvicorn.Server(config).serve()\n"
)

RECIPE = f"""\
{IMPORT}from genro_executor_plugin import ExecutorConfigBuilder

class ServerConfiguration(ExecutorConfigBuilder):
    def main(self, root):
        cfg = root.configuration()
        cfg.executors().pool(code="p", max_workers=1)
        cfg.applications().application(code="app", app_class=App)
"""

CONSOLE_RECIPE = host.written(f"""\
{IMPORT}from host import AsgiConfigBuilder
from genro_executor_plugin import ExecutorConsole

class ServerConfiguration(AsgiConfigBuilder):
    def main(self, root):
        cfg = root.configuration()
        apps = cfg.applications()
        apps.application(code="app", app_class=App)
        apps.application(code="_executors", app_class=ExecutorConsole).pool(code="p", max_workers=1)
""")

SUBINTERPRETER = """\
import sys
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
code = "import sys; sys.path[:] = %r\\n" % (sys.path,) + '''
from genro_executor_plugin import ProcessExecutor, ThreadExecutor
import asyncio
async def main():
    pool = ProcessExecutor("p", max_workers=1)
    print(await pool.submit(abs, -1))
    await pool.shutdown()
asyncio.run(main())
'''
try:
    interpreters.run_string(interpreters.create(), code)
except Exception as error:
    print("refused:", error)
"""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to start a program.

    Attributes:
        command: what follows ``python``; ``{port}`` and ``{folder}`` are filled in.
        program: the text of ``program.py``.
        files: other files by their names.
        needs: a module without which this way is not there.
        counts: whether globals of the application last from call to call; where they do not,
            because functions travel by value, the log says so.
        processes: how many processes of the host serve, each with pools of its own.
        refused: what a program says that is refused.
        signalled: whether the program is ended by a signal to all of it, as Ctrl-C does.
        stdin: what the program reads.
        folder: where its files are, below the test's own folder.
        cwd: where it is started, below the test's own folder.
        few: whether it is tried in every run of the suite.
    """

    command: tuple[str, ...] = ("program.py",)
    program: str = ""
    files: tuple[tuple[str, str], ...] = ()
    needs: str = ""
    counts: bool = True
    processes: int = 1
    refused: str = ""
    signalled: bool = False
    stdin: str = ""
    folder: str = "."
    cwd: str = ""
    few: bool = False


HOST = ("--host", "127.0.0.1", "--port", "{port}")

SERVE = f"{WHOLE}{GUARD}make().serve()\n"
BARE = f"{WHOLE}make().serve()\n"

WAYS: dict[str, Way] = {
    # -- a file, with a guard and without
    "a guard": Way(program=SERVE),
    "no guard": Way(program=BARE, few=True),
    "the application in a module of its own": Way(program=f"{APART}{GUARD}make().serve()\n"),
    "uvicorn.run, with a guard": Way(
        program=f"{WHOLE}{RUN}{GUARD}uvicorn.run(make(), port=int(os.environ['PORT']))\n"
    ),
    "uvicorn.run, no guard": Way(
        program=f"{WHOLE}{RUN}uvicorn.run(make(), port=int(os.environ['PORT']))\n"
    ),
    "asyncio.run, no guard": Way(program=f"{WHOLE}{AWAITED}asyncio.run(main())\n"),
    "a thread of the program": Way(
        program=f"{WHOLE}{AWAITED}import threading\n"
        f"{GUARD}thread = threading.Thread(target=lambda: asyncio.run(main()))\n"
        "    thread.start()\n    thread.join()\n",
        signalled=True,
    ),
    "a function that is called": Way(
        program=f"{WHOLE}def main():\n    make().serve()\n{GUARD}raise SystemExit(main())\n"
    ),
    # -- what python is told
    "-m of a module": Way(("-m", "program"), SERVE),
    "-m of a package": Way(("-m", "package"), files=(("package/__main__.py", SERVE),)),
    "a folder": Way(("package",), files=(("package/__main__.py", SERVE),)),
    "an archive": Way(("program.pyz",), files=(("program.pyz", SERVE),)),
    "-c": Way(("-c", f"{APART}make().serve()"), few=True),
    "-c, with the application in it": Way(("-c", f"{WHOLE}make().serve()"), counts=False),
    "standard input": Way(("-",), stdin=f"{APART}make().serve()\n"),
    "standard input, with the application in it": Way(
        ("-",), stdin=f"{WHOLE}make().serve()\n", counts=False
    ),
    "a prompt": Way(("-i", "-q"), stdin=f"{APART}\nmake().serve()\n"),
    **{
        f"python {flag}": Way((*flag.split(), "program.py"), SERVE)
        for flag in ("-O", "-OO", "-B", "-u", "-E", "-s", "-X dev", "-X utf8", "-W error", "-b")
    },
    "python -P": Way(("-P", "program.py"), SERVE),
    "python -I": Way(("-I", "program.py"), SERVE),
    # -- where it is
    "another working folder": Way(
        ("{folder}/program.py",), f"{APART}{GUARD}make().serve()\n", folder="code", cwd="else"
    ),
    "a path with spaces and accents": Way(
        program=f"{APART}{GUARD}make().serve()\n", folder="my caf\u00e9 \u4e2d"
    ),
    "a symbolic link": Way(("linked.py",), f"{APART}{GUARD}make().serve()\n"),
    "a name that is no identifier": Way(("my-program.2.py",), files=(("my-program.2.py", SERVE),)),
    # -- what runs programs
    "runpy.run_path": Way(
        ("runner.py",),
        files=(
            ("other.py", SERVE),
            ("runner.py", "import runpy\nrunpy.run_path('other.py', run_name='__main__')\n"),
        ),
    ),
    "runpy.run_module": Way(
        ("runner.py",),
        files=(
            ("other.py", SERVE),
            ("runner.py", "import runpy\nrunpy.run_module('other', run_name='__main__')\n"),
        ),
        counts=False,
    ),
    "exec": Way(("runner.py",), SERVE, files=(("runner.py", "exec(open('program.py').read())\n"),)),
    "cProfile": Way(
        ("-m", "cProfile", "-o", "profile", "program.py"), SERVE, counts=sys.version_info >= (3, 12)
    ),
    "pdb": Way(("-m", "pdb", "-c", "continue", "program.py"), SERVE, stdin="quit\nquit\n"),
    "a child of multiprocessing": Way(
        program=f"{WHOLE}import multiprocessing\ndef serve():\n    make().serve()\n"
        f"{GUARD}context = multiprocessing.get_context('spawn')\n"
        "    child = context.Process(target=serve)\n    child.start()\n    child.join()\n",
        signalled=True,
    ),
    "a forked child": Way(
        program=f"{WHOLE}import multiprocessing\ndef serve():\n    make().serve()\n"
        f"{GUARD}context = multiprocessing.get_context('fork')\n"
        "    child = context.Process(target=serve)\n    child.start()\n    child.join()\n",
        signalled=True,
    ),
    # -- servers
    "uvicorn": Way(("-m", "uvicorn", "program:server", *HOST), SERVER, few=True),
    "uvicorn, an application in it": Way(
        ("-m", "uvicorn", "program:server", *HOST), f"{WHOLE}server = make()\n"
    ),
    "uvicorn --factory": Way(("-m", "uvicorn", "--factory", "program:make", *HOST), APART),
    "uvicorn --workers": Way(
        ("-m", "uvicorn", "--workers", "2", "program:server", *HOST), SERVER, processes=2
    ),
    "uvicorn --reload": Way(("-m", "uvicorn", "--reload", "program:server", *HOST), SERVER),
    "uvicorn --app-dir": Way(
        ("-m", "uvicorn", "--app-dir", "{folder}", "program:server", *HOST),
        SERVER,
        folder="code",
        cwd="else",
    ),
    "uvicorn --loop asyncio": Way(
        ("-m", "uvicorn", "--loop", "asyncio", "program:server", *HOST), SERVER
    ),
    "hypercorn": Way(("-m", "hypercorn", "-b", "127.0.0.1:{port}", "program:server"), SERVER),
    "hypercorn --workers 0": Way(
        ("-m", "hypercorn", "-w", "0", "-b", "127.0.0.1:{port}", "program:server"), SERVER
    ),
    "hypercorn on trio": Way(
        ("-m", "hypercorn", "-k", "trio", "-w", "0", "-b", "127.0.0.1:{port}", "program:server"),
        SERVER,
        needs="trio",
        refused="trio",
    ),
    "gunicorn": Way(
        (
            *("-m", "gunicorn", "-k", "uvicorn_worker.UvicornWorker", "-w", "1"),
            *("-b", "127.0.0.1:{port}", "program:server"),
        ),
        SERVER,
        needs="uvicorn_worker",
    ),
    "gunicorn --preload": Way(
        (
            *("-m", "gunicorn", "-k", "uvicorn_worker.UvicornWorker", "-w", "1", "--preload"),
            *("-b", "127.0.0.1:{port}", "program:server"),
        ),
        SERVER,
        needs="uvicorn_worker",
    ),
    "granian": Way(
        ("-m", "granian", "--interface", "asgi", *HOST, "program:server"), SERVER, needs="granian"
    ),
    # -- the host's commands and ours
    "genro-asgi serve": Way(
        ("-m", host.PACKAGE, "serve", "config.py", *HOST),
        files=(("config.py", CONSOLE_RECIPE),),
        few=True,
    ),
    "genro-asgi serve --reload": Way(
        ("-m", host.PACKAGE, "serve", "config.py", "--reload", *HOST),
        files=(("config.py", CONSOLE_RECIPE),),
    ),
    "genro-executor serve": Way(
        ("-m", "genro_executor_plugin.cli", "serve", "config.py", *HOST),
        files=(("config.py", RECIPE),),
    ),
    "genro-executor serve --reload": Way(
        ("-m", "genro_executor_plugin.cli", "serve", "config.py", "--reload", *HOST),
        files=(("config.py", RECIPE),),
    ),
    "genro-executor serve application": Way(
        ("-m", "genro_executor_plugin.cli", "serve", "application=./application.py:App", *HOST),
        refused="nobody declared",
    ),
    # -- refused
    "a subinterpreter": Way(program=SUBINTERPRETER, refused="subinterpreters"),
}
