# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A model that is loaded once and shared by the workers of its pool.

Shows ``preload``: the module ``digits_model``, which trains scikit-learn's small model of
handwritten digits when it is imported, is imported once, in the process that workers are forked
from. It needs scikit-learn (``pip install "genro-executor-plugin[examples]"``).

Start it with ``python examples/preloaded_model.py [port]``, then try::

    curl 'http://127.0.0.1:8000/digits/sample?number=7'
    curl 'http://127.0.0.1:8000/digits/accuracy'
"""

import os
import sys

from genro_asgi import RoutedApplication
from genro_routes import route

from genro_executor_plugin import ExecutorServer


class Digits(RoutedApplication):
    mount = "digits"

    @route(executor="model")
    def sample(self, number: int = 0) -> dict[str, int]:
        """Read the handwritten digit ``number`` of those that the model has not been shown."""
        import digits_model  # here, so that the server itself does not load it

        told, is_ = digits_model.read(number)
        return {"read": told, "written": is_, "worker": os.getpid()}

    @route(executor="model")
    def accuracy(self) -> dict[str, float]:
        """The share of those digits that the model reads as they were meant."""
        import digits_model

        return {"accuracy": digits_model.accuracy()}


if __name__ == "__main__":
    server = ExecutorServer(
        applications=[Digits],
        executors={"model": {"max_workers": 2, "preload": ["digits_model"], "warm": True}},
    )
    server.serve(port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
