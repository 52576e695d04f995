# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The agent: runs the calls of servers on other machines, in a pool of processes of this one.

::

    servers ── NATS ──>  agent.py    says that it is there; hears what servers want
                         places.py   who may begin a call now, and who is next
                         runs.py     a call runs in the pool; its answer is kept until it is known
                            │          to have arrived
                            ▼
                         executors   our own pool of processes: limits, crashes, recycling
                            ▼
                         worker/remote_call.py    bytes become a call, and the handler runs

``genro-executor worker`` is a process with one agent in it.
"""
