# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Long jobs: work that outlives the request that asked for it.

::

    door        app.tasks: what an application's code calls
    mounting    where a server answers for them
      routes, background   status, result, events, cancel; 202 for a route in the background
    batch       genro-asgi's own batch tasks and schedules
    service     one per server: accepts, tells, cancels, forgets
      options, limits      how a job is run; what a submitter may have
      orders, parcels      what is submitted as bytes that mean something after a restart
      targets, callers     what is called; who asks
      intake, outcomes     into the store; what has come of it
      runner, attempt      when a job runs; one run of it in its pool
      events               what happens, told to who listens
      store                every fact that must survive, in SQLite
        recovery, rows, schema, database, ownership, salvage
    watching    a call through a route, seen from outside
    states      what a job can be, and what is told of it
    progress    what a job's own code calls, in the worker
"""
