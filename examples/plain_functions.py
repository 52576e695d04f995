# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Plain functions in a pool, called from an async handler.

Shows the pool as a decorator, ``map`` over many calls at once, and a pool for one call
(``run_process``): for work that is only a part of a handler, and for code that has no routes.

Start it with ``python examples/plain_functions.py [port]``, then try::

    curl 'http://127.0.0.1:8000/numbers/primes?below=50000'
    curl 'http://127.0.0.1:8000/numbers/table?below=100000&parts=4'
    curl 'http://127.0.0.1:8000/numbers/pi?terms=1000000'
"""

import math
import os
import sys

from genro_routes import route

from genro_executor_plugin import ExecutorApplication, ExecutorServer


class Numbers(ExecutorApplication):
    mount = "numbers"

    @route()
    async def primes(self, below: int = 20_000) -> dict[str, int]:
        """One call: the decorated function is awaited."""
        return await count_primes(2, below)

    @route()
    async def table(self, below: int = 80_000, parts: int = 4) -> list[dict[str, int]]:
        """Many calls: they share the workers, and the results come in order."""
        edges = [below * part // parts for part in range(parts + 1)]
        starts, ends = edges[:-1], edges[1:]
        return [counted async for counted in numbers.map(count_primes, starts, ends)]

    @route()
    async def pi(self, terms: int = 100_000) -> dict[str, float]:
        """One call of any function, in the pool that every server has: a process for each CPU."""
        return {"pi": await self.executor.run_process(approximate_pi, terms)}


def approximate_pi(terms: int) -> float:
    """Pi, from the first ``terms`` terms of its Leibniz series."""
    return 4 * sum((-1) ** term / (2 * term + 1) for term in range(terms))


server = ExecutorServer(applications=[Numbers])
numbers = server.executor(name="numbers", max_workers=2)


@numbers
def count_primes(first: int, end: int) -> dict[str, int]:
    """How many primes there are from ``first`` up to ``end``, and which process counted them."""
    found = sum(
        all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
        for number in range(max(first, 2), end)
    )
    return {"first": first, "end": end, "primes": found, "pid": os.getpid()}


if __name__ == "__main__":
    server.serve(port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
