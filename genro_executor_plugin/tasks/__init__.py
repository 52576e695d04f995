# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Long jobs: work that outlives the request that asked for it.

Which file to read for what, in the order in which a job passes through them::

    application        app.tasks, which the code of an application calls
    options            the options of one job, and the settings of a server
    service            LongTasks, one for each server: accepts, reports, cancels and forgets jobs
    opened             the store and the runner of a server: opened, held and released
    places             where the store and its key lie, if nothing is said
    targets            what a job calls: a function, or a handler by its route
    stored_call        a call becomes a job with stored bytes, and these become a call again
    acceptance         how a job gets into the store, within its submitter's limits
    store/             every fact that must survive the server, in one SQLite file
        __init__       TaskStore: each change of a job's state is one step
        tables         the tables, and what each version has added
        schema         a job as a row of them, and steps on it
        attempts       what is kept of the attempts of a job
        log            the last lines that a job has logged
        database       the thread that talks to SQLite and commits in batches
        facts          what a store is given of a job, and what it gives
        opened         a store is opened and closed
        sharing        what processes tell each other by the store, and take over from each other
        questions      what can be asked about the jobs
        folder         files and folders that are ours alone
        signing        signatures of what is stored, and their key
        members        the processes that share a folder, each with a lock that dies with it
        ownership      one process at a time opens the store
        orphans        the workers of a server that was killed
        recovery       what is done with the jobs of a server that has ended
        salvage        what is done with a damaged file
    limits             what each submitter may have in the store
    fingerprints       whether two calls are the same, for keys that are used again
    texts              texts that jobs bring, cut to a stated size
    runner             when a job runs, and when it runs again
    live_job           a job before its end, in the memory of its server
    attempt            one run of a job in its pool, and how it ended
    job_log            what a job logs, on its way to the store
    followed_call      the progress of running calls, and a way to end them
    results            what ``result`` returns or raises
    events             changes of state and progress, published to listeners
    listeners          the events as they are sent to many at once
    status             what is known of a job: id, state, progress, failure

    progress           ``progress`` and ``cancelled``, which a job calls in its worker
    host_tasks         the host's own batch tasks and schedules, in the pools of their routes
    siblings           whether another process serves the same application
    turn               which of several servers begins the schedules
    http/
        routes         status, result, events, cancel, retry and forget as routes
        accepted       202 Accepted: the answer to a request whose work goes on
        mount          the URLs below which a server answers for its jobs

The bytes in a store are pickles. ``portable/stored.py`` says which names they may hold.
"""
