# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools and their console on a stock server of genro-asgi, from its configuration alone.

Shows that the server needs no code: the console brings the pools along, and the application names
one of them.

Start it with ``genro-asgi serve examples/stock_server/config.py``, then try::

    curl 'http://127.0.0.1:8000/primes/below?number=100000'

and open http://127.0.0.1:8000/_executors/ with the token that the server's log tells of. The
variable ``PORT`` is the port to serve on.
"""

import math
import os

from genro_asgi import RoutedApplication
from genro_asgi.config import AsgiConfigBuilder
from genro_bag.resolvers import EnvResolver
from genro_routes import route

from genro_executor_plugin import ExecutorConsole


class Primes(RoutedApplication):
    @route(executor="numbers")
    def below(self, number: int = 1_000) -> dict[str, int]:
        """How many primes there are below ``number``, and which process counted them."""
        found = sum(
            all(candidate % divisor for divisor in range(2, math.isqrt(candidate) + 1))
            for candidate in range(2, int(number))
        )
        return {"primes": found, "pid": os.getpid()}


class ServerConfiguration(AsgiConfigBuilder):
    def main(self, root):
        cfg = root.configuration()
        cfg.server(host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
        applications = cfg.applications()
        pools = applications.application(app_class=ExecutorConsole, code="_executors")
        pools.pool(code="numbers", max_workers=EnvResolver("WORKERS", default="2"), timeout=30.0)
        applications.application(app_class=Primes, code="primes")
