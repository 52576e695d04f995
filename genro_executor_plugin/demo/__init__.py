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
