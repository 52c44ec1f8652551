"""Rules as a line of text: there and back, and nothing in it is ever executed."""

from __future__ import annotations

import pytest

from loopymeta.registry import RULES, WRAPPERS
from loopymeta.rule_text import rule_from_text, rule_to_text
from loopymeta.rules import RFLO, Bounded, Hebb, Oja, RunningScale

ALL = {**RULES, **WRAPPERS}


@pytest.mark.parametrize("name", [name for name in ALL if name != "written"])
def test_every_rule_goes_to_text_and_back(name):
    rule = ALL[name]()
    assert rule_from_text(rule_to_text(rule)) == rule
    assert rule_from_text(name) == rule == rule_from_text(f" {name}() ")
    for wrapper in WRAPPERS.values():
        wrapped = wrapper(rule=rule)
        assert rule_from_text(rule_to_text(wrapped)) == wrapped


@pytest.mark.parametrize(
    "rule",
    [
        Oja(eta=0.1),
        RunningScale(rule=RFLO(eta=1.0, relays=2), eta=3e-4, momentum=False),
        Bounded(rule=RunningScale(rule=Hebb(eta=1e-30)), bound=1.5),
        rule_from_text("written('a * pre * post - b * weight', a=0.5, b=0.1)"),
        rule_from_text("bounded(written('c * abs(pre)', c=2.0), bound=0.5)"),
    ],
)
def test_numbers_other_than_the_defaults_go_along(rule):
    text = rule_to_text(rule)
    assert "\n" not in text
    assert rule_from_text(text) == rule and type(rule_from_text(text)) is type(rule)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot read"),
        ("oja(", "cannot read"),
        ("ojo", r"unknown rule 'ojo'\. Did you mean 'oja'"),
        ("oja(eat=0.1)", r"unknown field of oja 'eat'\. Did you mean 'eta'"),
        ("oja(eta=0.1, eta=0.2)", "given eta twice|repeated"),
        ("oja(0.1, eta=0.2)", "given eta twice"),
        ("oja(0.1, 0.2)", "one argument without a name at most"),
        ("oja(eta='a')", "eta must be a number"),
        ("oja(eta=hebb)", "eta must be a number"),
        ("oja(eta=1e999)", "eta must be finite"),
        ("oja(eta=-1)", "must not be negative"),
        ("oja(**{'eta': 1})", "unknown field|cannot read"),
        ("bounded(3)", "rule|Rule"),
        ("bounded(rule=7)", "rule|Rule"),
        ("1 + 1", "cannot read"),
        ("oja; hebb", "cannot read"),
        ("oja\nhebb", "cannot read"),
        ("oja.eta", "expected a rule's name"),
        ("rules.oja()", "expected a rule's name"),
        ("oja()()", "expected a rule's name"),
        ("[oja]", "expected a rule's name"),
        ("oja(eta=\0)", "cannot read|null"),
        ("bounded(" * 5000 + "hebb" + ")" * 5000, "cannot read"),
        ("bounded(" * 90 + "hebb(eta=" + "-" * 500 + "1)" + ")" * 90, "cannot read|negative"),
        ("written()", "expression"),
        ("written('pre *')", "pre"),
        ("written('zzz * pre')", "zzz"),
    ],
)
def test_what_cannot_be_read_says_so(text, message):
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        rule_from_text(text)
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch {0}')",
        "oja(eta=__import__('os').system('touch {0}'))",
        "oja(eta=open('{0}', 'w'))",
        "oja(eta=(lambda: open('{0}', 'w'))())",
        "oja(eta=[open('{0}', 'w') for _ in 'a'])",
        "written(open('{0}', 'w'))",
        "written('open(1)')",
        "written('__import__(1)')",
        "written('pre.__class__')",
        "eval('open(1)')",
        "(x := 1)",
        "f'{{open(1)}}'",
        "oja(eta=10**10**10)",
    ],
)
def test_nothing_is_executed(text, tmp_path):
    mark = tmp_path / "mark"
    with pytest.raises((ValueError, TypeError)):
        rule_from_text(text.format(mark))
    assert not mark.exists()
