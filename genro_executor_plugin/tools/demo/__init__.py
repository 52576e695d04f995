# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What ``genro-executor demo`` shows: a real server, real PDF reports, real HTTP.

::

    run.py                the demo from start to end
    ├── offloading.py     scene 1: reports made in workers, and in the server
    ├── trouble.py        scenes 2 to 4: too many calls, an endless call, a dead worker
    │   ├── stage.py      what a scene plays on
    │   ├── client.py     HTTP, many requests at a time
    │   └── findings.py   what a scene found: rows to read, checks that hold or do not
    ├── process.py        the server's process: started, found on its port, ended
    │   └── server.py     what runs in it
    │       ├── application.py   the reports
    │       ├── monitor.py       how late the event loop is
    │       └── pdf.py           one report
    ├── settings.py       pools and limits
    └── screen.py         what a person reads

``application.py`` and ``server.py`` are the example; everything else watches them.
"""
