# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is used of hosts and not promised by them, each with what would be used if it were.

What is used of one of them only is listed with what only that one is asked.

Everything private in it (a leading underscore) is used in ``hosts`` only. The rest has public names
and no documentation: methods that are overridden or replaced, and what the launcher is made of.
"""

from __future__ import annotations

from .contract import Reach

__all__ = ["REACHES"]

REACHES = (
    # -- responses, in workers and here
    Reach(
        "HOST.streaming:StreamingResponse",
        ("_headers",),
        use="send a streaming response from a worker with its headers",
        wish="StreamingResponse.headers",
    ),
    Reach(
        "HOST.streaming:StreamingResponse",
        ("body_iterator", "status_code"),
        use="send from a worker what a response streams, and close it once the client has gone",
        wish="documented attributes",
    ),
    # -- applications
    Reach(
        "HOST:RoutedApplication()",
        ("_server",),
        use="put an explanation in the server's place in workers",
        wish="a list of the attributes that belong to the running server",
    ),
    Reach(
        "HOST:RoutedApplication()",
        ("code", "mount", "_armed", "_db_name"),
        use="have an application that chooses its state work in workers",
        wish="a list of the attributes that RoutedApplication's own methods need",
    ),
    Reach(
        "HOST.routed_application:RoutedApplication",
        ("route_cleanup",),
        use="leave its call out in the worker where it is not overridden",
        wish="a documented mark of the method that does nothing",
    ),
    Reach(
        "HOST:BaseApplication.server",
        ("fset", "setter"),
        use="have the console take over the pools of its server",
        wish="a hook BaseApplication.on_attached(server)",
    ),
    Reach(
        "HOST:RoutedApplication",
        ("auth_filters", "spread_over_params", "app_snapshot", "app_panel"),
        use="decide in the console who may ask for what, and be shown in the monitor",
        wish="documented methods to override",
    ),
    Reach(
        "HOST.mcp:McpEngine()",
        ("router", "invoke"),
        use="give the tools of an application their pools, and a stable text to their clients",
        wish="a server that arms the router of the tools, and an MCP error with a text of its own",
    ),
    # -- is authentication configured
    Reach(
        "HOST:AuthCore()",
        ("_basic", "_bearer", "_jwt"),
        use="find out whether any credentials are configured",
        wish="AuthCore.has_credentials",
    ),
    Reach(
        "HOST:AuthMixin",
        ("authenticate", "auth_core", "user_store", "api_key_store"),
        use="find out whether any authentication is configured",
        wish="AuthMixin.is_configured",
    ),
    Reach(
        "HOST:AsgiServer()",
        ("_middleware_chain",),
        use="have no other site read the console, whatever CORS allows for the applications; and "
        "hand HTTP requests to it without the calls of the classes before it",
        wish="a middleware that is added to a server which is built",
    ),
    # -- a server's life
    Reach(
        "HOST.lifespan:Lifespan",
        ("shutdown",),
        use="tell the end of the lifespan from a second signal, by replacing it on the instance",
        wish="callbacks that the lifespan calls before it ends",
    ),
    Reach(
        "HOST.lifespan:Lifespan",
        ("_run_hook",),
        use="have an application that fails at its start end the start of its server, by "
        "replacing it on the instance",
        wish="Lifespan(server, isolate_startup=False)",
    ),
    Reach(
        "HOST:AsgiServer",
        ("lifespan", "start_leaving", "arm_router", "demux"),
        use="give pools to a server that the host built, by replacing them on the instance",
        wish="hooks that an application can register",
    ),
    Reach(
        "HOST:AsgiServer",
        ("uvicorn_server",),
        use="tell a second signal from the first, have requests wait for their pools at the end, "
        "and have a start that was left count as failed",
        wish="start_leaving(signal), and a lifespan that answers whatever is raised in it",
    ),
    Reach(
        "HOST:AsgiServer",
        (
            "application_at",
            "applications",
            "external_url",
            "get_until_leaving",
            "pool",
            "root_application",
            "run_sync",
            "storage",
            "tasks",
            "tasks_enabled",
        ),
        use="find applications, run handlers as the server does, and keep long jobs on its storage",
        wish="the same names, documented",
    ),
    Reach(
        "HOST.storage_mixin:StorageManager",
        ("node",),
        use="find the folder of long jobs",
        wish="a documented way to the local folder of a storage",
    ),
    Reach(
        "HOST:DefaultConfig",
        ("recipe_class", "parents_for"),
        use="know the pools of a recipe before the server exists",
        wish="a function that makes the handler which reads a configuration",
    ),
    Reach(
        "HOST:ConfigurationHandler",
        ("node",),
        use="read the pools of a recipe with the place where each is written",
        wish="a documented way from that handler to the nodes behind it",
    ),
    Reach(
        "HOST.pool:WorkPool",
        ("shutdown",),
        use="end the threads of a server that was only looked at",
        wish="AsgiServer.close()",
    ),
    Reach(
        "HOST.lifespan:Lifespan",
        ("startup",),
        use="warn at the start of a server that has no pools, by replacing it on the class",
        wish="a hook that is called with every server that starts",
    ),
    Reach(
        "HOST:BaseServer",
        ("register_application",),
        use="warn in the process of a remote application, by replacing it on the class",
        wish="a hook that is called with every application that is served",
    ),
    # -- batch tasks and schedules
    Reach(
        "HOST.tasks:LocalTaskExecutor",
        ("_publish",),
        use="tell the session that has launched a batch task of its end",
        wish="LocalTaskExecutor.publish(descriptor, event)",
    ),
    Reach(
        "HOST.tasks:LocalTaskExecutor",
        ("server", "spool"),
        use="settle a cancelled batch task, and note its progress",
        wish="LocalTaskExecutor.cancelled(task_id) and LocalTaskExecutor.progress(task_id, data)",
    ),
    Reach(
        "HOST.tasks.hub:EventHub",
        ("publish", "subscribe", "unsubscribe"),
        use="tell whoever listens of long jobs, and of the progress of batch tasks",
        wish="the same names, documented",
    ),
    Reach(
        "HOST.tasks:TaskManager",
        ("executor", "hub", "scheduler", "server"),
        use="follow and end batch tasks and schedules where they run, by replacing the two",
        wish="the classes of the executor and the scheduler as arguments",
    ),
    Reach(
        "HOST.tasks:TaskScheduler",
        ("tick_seconds", "scan"),
        use="follow and end schedules where they run",
        wish="a hook around each run",
    ),
    Reach(
        "HOST.tasks.spool:TaskSpool",
        ("get", "settle", "is_cancelled", "write_progress"),
        use="settle a cancelled batch task, and note its progress",
        wish="LocalTaskExecutor.cancelled(task_id) and LocalTaskExecutor.progress(task_id, data)",
    ),
    # -- the command line
    Reach(
        "HOST.__main__:ServerLauncher",
        (
            "build_server",
            "check_home",
            "is_config_path",
            "is_quickstart",
            "is_template",
            "launcher_payload",
            "reload_dir",
            "run",
            "run_reloading",
        ),
        use="serve what the serve of the host would, with another class of server",
        wish="the server's class as an argument of ServerLauncher",
    ),
    Reach(
        "HOST.__main__:Cli",
        ("parser", "serve"),
        use="take the arguments that the serve of the host takes",
        wish="Cli.serve_parser()",
    ),
    Reach(
        "HOST.__main__:Cli()",
        ("registry",),
        use="find the cards of named sites",
        wish="a documented attribute",
    ),
    Reach(
        "HOST.__main__:TargetResolver",
        ("resolve",),
        use="find the class of an application that is given by name or by file",
        wish="a documented function",
    ),
    Reach(
        "HOST:AsgiServer()",
        ("shutdown_mode",),
        use="have a server under the reload supervisor save what it holds",
        wish="a keyword of AsgiServer",
    ),
)
"""What is used of every host and not promised by it."""
