# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The process engine against its peers: every figure in a process of its own, round by round.

Each round measures every variant of an experiment once, beginning with another one each time, so
that what else the machine does falls on all of them alike.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec

from benchmarks.environment import version_of
from benchmarks.experiments import EXPERIMENTS, Experiment, Variant
from benchmarks.figures import Table, rotated
from benchmarks.peers import PEERS
from benchmarks.processes import ModuleProcess
from benchmarks.settings import Settings

__all__ = ["run_engine"]

_PROBE_SECONDS = 60.0
"""How much longer than its measurement a probe may take: pools that hang are part of the field."""


def run_engine(settings: Settings, progress: Callable[[str], None]) -> Iterator[Table]:
    """The tables of the engine, each one when it is complete."""
    for experiment in EXPERIMENTS:
        if settings.wants(experiment.key):
            yield _Run(experiment, settings, progress).table()


@dataclass(slots=True)
class _Run:
    experiment: Experiment
    settings: Settings
    progress: Callable[[str], None]
    missing: dict[str, str] = field(default_factory=dict)

    def table(self) -> Table:
        experiment = self.experiment
        table = Table(
            experiment.key,
            experiment.title,
            experiment.about,
            experiment.metrics,
            experiment.variants[0].title,
            missing=self.missing,
        )
        wanted = [variant for variant in experiment.variants if self._takes_part(variant)]
        for turn in range(self.settings.rounds):
            for variant in rotated(wanted, turn):
                if variant.title in self.missing:
                    continue
                self.progress(
                    f"{experiment.key}: round {turn + 1} of {self.settings.rounds}, {variant.title}"
                )
                try:
                    table.add(variant.title, self._measured(variant))
                except RuntimeError as error:
                    self.missing[variant.title] = f"failed: {error}"
                    table.samples.pop(variant.title, None)
        self.missing.update(self._not_in_this_row())
        table.judge(experiment.targets)
        return table

    def _measured(self, variant: Variant) -> dict[str, float]:
        seconds = self.settings.seconds * self.experiment.longer
        measure = variant.measure or self.experiment.measure
        with ModuleProcess(
            "benchmarks.probe", measure, variant.pool, variant.loop, str(seconds)
        ) as probe:
            figures: dict[str, float] = json.loads(probe.first_line(_PROBE_SECONDS + seconds))
            probe.wait()
            return figures

    def _takes_part(self, variant: Variant) -> bool:
        experiment = self.experiment
        distribution = PEERS[variant.pool].distribution if variant.pool in PEERS else ""
        if (
            self.settings.goals_only
            and not experiment.whole
            and variant.title not in experiment.compared()
        ):
            self.missing[variant.title] = "left out by --quick: no goal against it"
        elif distribution and version_of(distribution) is None:
            self.missing[variant.title] = "not installed"
        elif variant.loop == "uvloop" and find_spec("uvloop") is None:
            self.missing[variant.title] = "uvloop is not installed"
        elif experiment.needs and find_spec(experiment.needs) is None:
            self.missing[variant.title] = f"{experiment.needs} is not installed"
        else:
            return True
        return False

    def _not_in_this_row(self) -> dict[str, str]:
        there = {variant.pool for variant in self.experiment.variants}
        return {
            product.title: self.experiment.absent.get(key, "not measured here: no goal against it")
            for key, product in PEERS.items()
            if key not in there
        }
