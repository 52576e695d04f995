# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The model of ``preloaded_model.py``: it is trained when this module is imported."""

from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

_LEARNT = 1_500

_images, _digits = load_digits(return_X_y=True)
_model = LogisticRegression(max_iter=200).fit(_images[:_LEARNT] / 16, _digits[:_LEARNT])


def read(number: int) -> tuple[int, int]:
    """What the model reads in an image that it was not shown, and what it is."""
    place = _LEARNT + number % (len(_images) - _LEARNT)
    (told,) = _model.predict(_images[place : place + 1] / 16)
    return int(told), int(_digits[place])


def accuracy() -> float:
    """The share of the images that it was not shown which the model reads rightly."""
    return float(_model.score(_images[_LEARNT:] / 16, _digits[_LEARNT:]))
