"""The rules of the audits beside messages that people marked: what they find is measured, and does not get worse."""

from aloe.params import ROOT
from aloe.rule_errors import errors_in, read_marked, rule_table


def test_the_rules_find_what_was_marked_as_often_as_it_is_said():
    marked = read_marked()
    found = rule_table(marked, 0.95).set_index(["rule", "share"])
    assert sum(row.told is not None for row in marked) >= 60
    assert found.loc[("told", "left"), "value"] >= 0.95  # of messages that tell nothing
    told = found.loc[("told", "found")]  # half of those that tell it do so in other words
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"finds {round(told['value'] * told['n'])} of {told['n']:.0f}" in " ".join(readme.split())
    assert found.loc[("contradicts", "left"), "value"] >= 0.95
    assert found.loc[("contradicts", "found"), "value"] >= 0.6
    assert found.loc[("assistant", "found"), "value"] >= 0.8
    assert found.loc[("assistant", "left"), "value"] >= 0.8


def test_simulated_users_are_read_better_than_people():
    simulated, people = errors_in(simulated=True), errors_in(simulated=False)
    assert 1 >= simulated.out_seen > people.out_seen > 0.5
    assert simulated.untold_seen > 0.99
