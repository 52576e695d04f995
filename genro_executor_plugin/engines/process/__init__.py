# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The process engine: how a packed call gets to a worker process, and its result back.

::

    the server, on its event loop            |  a worker process
                                             |
    ProcessEngine.run                        |
      |  Job: packed call, future, limits    |
      v                                      |
    WorkerPool.submit -----> WaitingQueue    |
      |  a worker is free      |  one is     |
      |                        |  free again |
      v                        v             |
    Worker.send  ------- CALL frame -----------> child: the main loop reads frames
      (pool.py, worker.py,  with definitions |     |
       link.py)             it does not have |     v
                                             |   CallReader: bytes become a call
                                             |     |
                                             |     v
                                             |   the function runs
                                             |     |
    Worker._receive <-- RESULT or FAILURE -------- results or exceptions become bytes
      |                                      |
      v                                      |
    Job.settle: the caller's future is done  |
      |                                      |
      v                                      |
    WorkerPool.job_done: the next job        |

On the server's side stand beside that: ``supervisor``, which starts, replaces and retires workers
through the ``launcher`` and its ``template`` process (``backoff`` spaces failed starts out,
``recycling`` says when a worker is replaced); ``ahead``, which sends very short calls before their
turn; ``ended``, which settles the calls of workers that ended, described by an ``exit_report``;
``timeouts``, which finds runs that take too long; ``copying``, which moves large values on
threads; ``observing``, which reads the memory of workers. The worker's side is ``child`` with
``boot`` and ``messages``. ``wire``, ``handover`` and ``claims`` have one end on each side, and
``link`` holds the server's ends.
"""
