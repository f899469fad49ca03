"""What is logged while a net is built, held against what the original wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from adaption.io import prototxt
from adaption.io.netfile import from_document, read_net
from adaption.net import Net
from adaption.net.building_log import definition, show_building, show_definition
from tests.golden_logs import messages


class Lines:
    """A Log that keeps what it is told, one line of text each."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, source: str, text: str) -> None:
        self.texts += text.splitlines()


@pytest.mark.parametrize(("log", "phase"), [("test", "TEST"), ("time", "TRAIN")])
def test_golden(log: str, phase: str, shared: Path, cli_folder: Path) -> None:
    """Every line from the first rule that drops a layer to the end of the net's building."""
    want = messages((shared / f"golden/cli/{log}.log").read_text("utf-8"))
    want = want[1 : want.index("Network initialization done.") + 1]
    file, lines = read_net("net.prototxt"), Lines()
    show_definition(definition(file, phase), lines)
    show_building(Net(file, phase=phase), lines)
    assert lines.texts == want


TEXT = """
state { level: 2 stage: "own" }
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" param { name: "w" }
  inner_product_param { num_output: 3 } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" }
  inner_product_param { num_output: 3 } }
layer { name: "deep" type: "ReLU" bottom: "b" top: "b" include { min_level: 3 } }
layer { name: "shallow" type: "ReLU" bottom: "b" top: "b" include { max_level: 1 } }
layer { name: "staged" type: "ReLU" bottom: "b" top: "b" include { stage: "own" stage: "no" } }
layer { name: "unstaged" type: "ReLU" bottom: "b" top: "b" include { not_stage: "own" } }
layer { name: "out" type: "ReLU" bottom: "b" top: "b"
  exclude { phase: TRAIN } exclude { stage: "own" } }
layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "x" loss_weight: 0.5 }
"""


def test_rules_sharing_and_losses_without_tops() -> None:
    file, lines = from_document(prototxt.parse(TEXT)), Lines()
    message = definition(file, "TEST", level=2)
    show_definition(message, lines)
    show_building(Net(file, level=2), lines)
    assert lines.texts[:7] == [
        "The NetState level (2) is above the min_level (3) specified by a rule in layer deep",
        "The NetState level (2) is above the max_level (1) specified by a rule in layer shallow",
        "The NetState did not contain stage 'no' specified by a rule in layer staged",
        "The NetState contained a not_stage 'own' specified by a rule in layer unstaged",
        "The NetState phase (1) differed from the phase (0) specified by a rule in layer out",
        "Initializing net from parameters: ",
        "state {",
    ]
    assert 'stage: "own"' in " ".join(lines.texts)
    assert "Sharing parameters 'w' owned by layer 'a', param index 0" in lines.texts
    at = lines.texts.index("loss -> (automatic)")
    assert lines.texts[at : at + 4] == [
        "loss -> (automatic)",
        "Setting up loss",
        "Top shape: (1)",
        "    with loss weight 0.5",
    ]


def test_backward_lines_come_before_force_backward() -> None:
    """As in Net::Init: the lines tell what the losses ask for, then force_backward is obeyed."""
    lines = Lines()
    net = Net(from_document(prototxt.parse("force_backward: true\n" + TEXT)), phase="TRAIN")
    show_building(net, lines)
    assert "in does not need backward computation." in lines.texts
    assert "a needs backward computation." in lines.texts
    assert all(node.needs_backward for node in net.nodes)
