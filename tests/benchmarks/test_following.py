"""What a rule to stop keeps and lets through is counted up to where it stops, and structures count alike."""

from __future__ import annotations

from dataclasses import fields

import pytest
from following import RULES, Followed, Signals, rule_table, signal_table

REGISTERED = "registered ≥ 0.85"


def followed(dice: float, registered: float) -> Followed:
    values = dict.fromkeys((field.name for field in fields(Signals)), 1.0) | {"registered": registered}
    return Followed(dice, Signals(**values))


WAYS = {
    "long": [
        [followed(0.9, 0.95), followed(0.6, 0.9), followed(0.4, 0.86), followed(0.9, 0.5), followed(0.9, 0.9)],
        [followed(0.9, 0.9)],
    ],
    "short": [[followed(0.8, 0.9)], []],
}
"""Of "long", 2 of 4 right slices are reached before the fourth one stops it, and with them 2 wrong ones."""


def test_a_rule_is_scored_by_what_it_reaches_in_each_structure() -> None:
    (row,) = (line for line in rule_table(WAYS).splitlines() if line.startswith(f"| {REGISTERED} |"))
    assert row == f"| {REGISTERED} | 0.750 | 0.250 | 0.125 | 0.50 |"


def test_a_signal_is_scored_where_there_are_right_and_wrong_slices() -> None:
    ways = {"one": [[followed(0.9, 0.9), followed(0.1, 0.2)]], "all right": [[followed(0.9, 0.1)]]}
    (row,) = (line for line in signal_table(ways).splitlines() if line.startswith("| registered |"))
    assert row == "| registered | 0.50 | 1.00 |"


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule_goes_on_where_nothing_has_changed(name: str) -> None:
    assert RULES[name](followed(1.0, 1.0).signals)
