# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Long jobs: work that outlives the request that asked for it.

::

    door        app.tasks: what an application's code calls
    service     one per server: accepts, tells, cancels, forgets
      options     how one job is run; limits of all
      parcels     a call as bytes that still mean something after a restart
      targets     handlers by application and path
      callers     who asks
      runner      when a job runs: per pool, by priority, later, again
        attempt     one run of one job in its pool
      events      what happens, told to who listens
      store       every fact that must survive, in SQLite
        schema, database, ownership, salvage
    states      what a job can be, and what is told of it
    progress    what a job's own code calls, in the worker
    routes      status, result, progress and cancel over HTTP
    batch       genro-asgi's own batch tasks and schedules
"""
