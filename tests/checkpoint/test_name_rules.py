"""Templates and tables of names, read in both directions."""

import pytest

from solo_d2.checkpoint.name_rules import NameTable, Template, below


@pytest.mark.parametrize(
    ("template", "name", "expected"),
    [
        ("layer{s}.{b}.conv{c}", "layer1.10.conv2.weight", ({"s": 1, "b": 10, "c": 2}, ".weight")),
        ("res{s+1}.{b}", "res2.0.conv1.norm.bias", ({"s": 1, "b": 0}, ".conv1.norm.bias")),
        ("tower.{3*k}", "tower.9.weight", ({"k": 3}, ".weight")),
        ("tower.{3*k+1}", "tower.10.bias", ({"k": 3}, ".bias")),
        ("tower.{3*k+1}", "tower.9.bias", None),
        ("res{s+1}", "res0.weight", None),
        ("conv1", "conv10.weight", None),
        ("conv1", "xconv1.weight", None),
        ("conv1_w", "conv1_w", ({}, "")),
        ("a.b", "axb.weight", None),
        ("level.{l}.conv{l}", "level.12.conv12.bias", ({"l": 12}, ".bias")),
        ("level.{l}.conv{l}", "level.1.conv2.bias", None),
    ],
)
def test_template_reads(template, name, expected):
    assert Template(template).parse(name) == expected


def test_template_fills():
    assert Template("res{s+1}.{b}.x{3*k-1}").fill({"s": 1, "b": 0, "k": 2}) == "res2.0.x5"


def test_the_longest_rule_wins_in_either_direction():
    rules = [("tower.{3*k}", "t.{k}"), ("tower.{3*k+1}", "t.{k}.norm"), ("t.{k}.x", "u.{k}")]
    for table in (NameTable(rules), NameTable(rules[::-1])):
        assert table.to_native("tower.4.bias") == "t.1.norm.bias"
        assert table.from_native("t.1.norm.bias") == "tower.4.bias"
        assert table.from_native("t.1.weight") == "tower.3.weight"
        assert table.to_native("t.1.x.weight") == "u.1.weight"
        assert table.to_native("head.weight") is None


def test_below():
    assert below((("a{k}", "b{k}"),), "x.", "y.z.") == (("x.a{k}", "y.z.b{k}"),)
