from dataclasses import dataclass

import pytest

from detectron2.config import CfgNode
from solo_d2.utils.errors import InputError
from solo_d2.utils.settings import arguments, build, naming_keys

CFG = CfgNode(
    {"MODEL": {"NAME": "x", "HEAD": {"DEPTH": 2, "WIDTH": 8, "LOSS": {"KIND": "dice"}}, "WIDTH": 9}}
)


class Base:
    def __init__(self, *, depth: int, kind: str = "none"):
        self.depth, self.kind = depth, kind


class Head(Base):
    def __init__(self, *, width: int, loss=None, **kwargs):
        super().__init__(**kwargs)
        self.width, self.loss = width, loss


@dataclass(frozen=True)
class Loss:
    kind: str

    def __post_init__(self):
        if self.kind not in ("dice", "bce"):
            raise InputError(f"kind must be dice or bce, not {self.kind!r}; mankind stays")


def test_parameters_of_bases_get_their_keys():
    head = build(Head, CFG, "MODEL.HEAD")
    assert (head.width, head.depth, head.kind, head.loss) == (8, 2, "none", None), "a node is no setting"


def test_first_node_and_further_arguments_take_precedence():
    assert arguments(Head, CFG, "MODEL", "MODEL.HEAD") == {"width": 9, "depth": 2}
    assert arguments(Head, CFG, "MODEL.HEAD.LOSS", "MODEL.HEAD", depth=5, loss=1) == {
        "width": 8, "depth": 5, "kind": "dice", "loss": 1,
    }  # fmt: skip


def test_functions_are_components():
    assert build(lambda width, depth: width * depth, CFG, "MODEL.HEAD") == 16


def test_a_class_without_kwargs_hides_its_bases():
    class Closed(Base):
        def __init__(self, depth: int):
            super().__init__(depth=depth)

    assert arguments(Closed, CFG, "MODEL.HEAD.LOSS", "MODEL.HEAD") == {"depth": 2}


def test_messages_name_the_key():
    tree = CFG.clone()
    tree.MODEL.HEAD.LOSS.KIND = "kind"
    with pytest.raises(InputError, match=r"^MODEL.HEAD.LOSS.KIND must be dice or bce, .*; mankind stays$"):
        build(Loss, tree, "MODEL.HEAD.LOSS")
    with pytest.raises(InputError, match="not 'kind'"):  # the value is the user's own word
        build(Loss, tree, "MODEL.HEAD.LOSS")
    with pytest.raises(InputError, match="^kind must be"):
        build(Loss, tree, "MODEL.HEAD.LOSS", kind="iou")


def test_other_errors_pass_as_they_are():
    with pytest.raises(KeyError), naming_keys({"a": "A"}):
        raise KeyError("a")
