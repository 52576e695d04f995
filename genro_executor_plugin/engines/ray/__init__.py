# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls that run on a Ray cluster, in actors that live as long as the pool needs them.

::

    server (a driver of Ray)                             a node of the cluster
    ------------------------                             ---------------------
    engine.py      pack: portable/packing.py
                   large arguments: stored.py ──────────── Ray's object store
                   run: a Job, into
    pool.py        a free worker, or the queue
    worker.py      one actor, and what it says  ── Ray ──  actor.py   reads the call and runs it
                   the job's future is settled            outbox.py  what the call sends meanwhile

``connection.py`` has the one connection to Ray that a process can have. Ray is imported there, when
the first pool of this kind starts, and nowhere else in the server.
"""
