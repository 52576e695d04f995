# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The process engine: how a packed call gets to a worker process, and its result back.

::

    the server, on its event loop            |  a worker process
                                             |
    ProcessExecutor                          |
      |  Job: packed call, future, limits    |
      v                                      |
    WorkerPool.submit -----> WaitingQueue    |
      |  a worker is free      |  one is     |
      |                        |  free again |
      v                        v             |
    Worker.send  ------- CALL frame -----------> child: the main loop reads frames
      (pool.py, worker.py,  with definitions |     |
       call_frames.py)      it does not have |     v
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
    WorkerPool.job_done: the worker takes the next job

Beside it, on the server's side: ``supervisor`` starts, replaces and retires workers through the
``launcher`` and its ``template`` process; ``ahead`` sends very short calls before their turn;
``ended`` settles the calls of workers that ended; ``timeouts`` ends runs that take too long;
``copying`` moves large values on threads. ``child``, ``boot`` and ``messages`` are the worker's
side; ``wire``, ``handover`` and ``claims`` have one end on each.
"""
