# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls that run on other machines, reached through NATS.

::

    server                                               another machine
    ------                                               ---------------
    engine.py      pack: portable/packing.py
                   run: a Job, into
    dispatcher.py  a place on an agent, or the queue
      agents.py      who is there, what is free
      exchange.py    signed messages, both ways  ── NATS ──  agent/  (genro-executor worker)
                                                               runs it in a pool of processes
                   the job's future is settled

A pool's calls have one of three ends, and the error says which: not sent (``NoAgentError``), sent
and unknown (``WorkerLostError``), answered.
"""
