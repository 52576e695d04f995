# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""One sales report as PDF: a chart with a computed forecast, and pages of a table.

Plain Python that keeps a CPU busy for some tenths of a second. It knows nothing of routes.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fpdf import FPDF

__all__ = ["Product", "make_report", "sales_of"]

_FUTURES = 400
"""How many courses of the coming year the forecast is computed from."""

_BLUE, _PALE, _GREY = (31, 91, 153), (214, 226, 240), (120, 120, 120)


@dataclass(frozen=True, slots=True)
class Product:
    """A product and what it sold in each of twelve months."""

    name: str
    months: tuple[float, ...]

    @property
    def row(self) -> tuple[str, ...]:
        """Its line in the table: name, four quarters, the year, the trend."""
        quarters = [sum(self.months[first : first + 3]) for first in (0, 3, 6, 9)]
        trend = quarters[-1] / quarters[0] - 1
        numbers = (f"{value:,.2f}" for value in (*quarters, sum(quarters)))
        return (self.name, *numbers, f"{trend:+.1%}")


def sales_of(title: str, products: int) -> list[Product]:
    """The year's sales that belong to ``title``: always the same ones."""
    chance = random.Random(title)
    return [
        Product(
            f"Product {number:04}", tuple(chance.uniform(40, 60) + month for month in range(12))
        )
        for number in range(1, products + 1)
    ]


def make_report(title: str, products: Sequence[Product]) -> bytes:
    """The report as a PDF; its creator field and its last line say which process made it."""
    pdf = FPDF()
    pdf.set_title(title)
    pdf.set_creator(f"genro-executor demo, pid {os.getpid()}")
    pdf.set_font("helvetica", size=9)
    pdf.add_page()
    pdf.set_font_size(20)
    pdf.cell(text=title, new_x="LMARGIN", new_y="NEXT")
    pdf.set_font_size(9)
    _chart(pdf, [sum(month) for month in zip(*(item.months for item in products), strict=True)])
    _table(pdf, products)
    pdf.ln(4)
    pdf.set_text_color(*_GREY)
    pdf.cell(text=f"{len(products)} products, made by process {os.getpid()}")
    return bytes(pdf.output())


def _table(pdf: FPDF, products: Sequence[Product]) -> None:
    heading = ("Product", "Q1", "Q2", "Q3", "Q4", "Year", "Trend")
    aligned = ("LEFT", *("RIGHT",) * 6)
    with pdf.table(
        col_widths=(28, 18, 18, 18, 18, 20, 14),
        text_align=aligned,
        borders_layout="SINGLE_TOP_LINE",
        cell_fill_color=_PALE,
        cell_fill_mode="ROWS",
    ) as table:
        for line in (heading, *(product.row for product in products)):
            row = table.row()
            for text in line:
                row.cell(text)


def _chart(pdf: FPDF, months: Sequence[float]) -> None:
    """Twelve months as they were, and the range in which the next twelve will probably be."""
    low, high = _forecast(months)
    top = max(*months, *high) * 1.05
    left, upper, width, height = pdf.l_margin, pdf.get_y() + 4, pdf.epw, 55.0

    def point(month: int, value: float) -> tuple[float, float]:
        return left + width * month / 23, upper + height * (1 - value / top)

    pdf.set_draw_color(*_GREY)
    pdf.rect(left, upper, width, height)
    pdf.set_fill_color(*_PALE)
    # The band opens where the known months end.
    band = [point(month, value) for month, value in enumerate([months[-1], *high], start=11)]
    band += reversed([point(month, value) for month, value in enumerate(low, start=12)])
    pdf.polygon(band, style="F")
    pdf.set_draw_color(*_BLUE)
    pdf.polyline([point(month, value) for month, value in enumerate(months)])
    pdf.set_y(upper + height + 2)
    pdf.cell(
        text=f"Twelve months, and the likely range of the next twelve (90% of {_FUTURES} courses)",
        new_x="LMARGIN",
        new_y="NEXT",
    )
    pdf.ln(4)


def _forecast(months: Sequence[float]) -> tuple[list[float], list[float]]:
    """For each of the next twelve months, what 5% and 95% of the simulated courses stay below."""
    changes = [later / earlier for earlier, later in pairwise(months)]
    chance = random.Random(sum(months))
    courses = []
    for _ in range(_FUTURES):
        value, course = months[-1], []
        for _ in range(12):
            value *= chance.choice(changes) * chance.uniform(0.97, 1.03)
            course.append(value)
        courses.append(course)
    ranked = [sorted(values) for values in zip(*courses, strict=True)]
    return (
        [values[_FUTURES // 20] for values in ranked],
        [values[_FUTURES - _FUTURES // 20] for values in ranked],
    )
