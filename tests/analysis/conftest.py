"""The card of the tests that model a GPU."""

import pytest

from nasjax.analysis.gpu import card


@pytest.fixture(scope="session")
def h100():
    return card.Card.read(card.description("h100"))
