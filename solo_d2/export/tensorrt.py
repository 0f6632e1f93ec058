"""A check of ONNX files against the lists of TensorRT's ONNX parser (10.0) and of its layers (8.6)."""

from collections.abc import Iterator
from typing import Any

from solo_d2.utils.errors import InputError

# The most entries that TensorRT 8.6 sorts; later versions sort 3,840.
MAX_SORTED = 1024
_OPSETS = range(9, 21)
_REFUSED = frozenset(
    """
    AffineGrid Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow CenterCropPad
    Col2Im Compress ConcatFromSequence ConvInteger DFT Det DynamicQuantizeLinear HammingWindow HannWindow
    ImageDecoder MatMulInteger MaxRoiPool MaxUnpool MelWeightMatrix Multinomial NegativeLogLikelihoodLoss
    NonZero Optional OptionalGetElement OptionalHasElement QLinearConv QLinearMatMul RegexFullMatch STFT
    SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap
    SoftmaxCrossEntropyLoss SplitToSequence StringConcat StringNormalizer StringSplit TfIdfVectorizer
    Unique
    """.split()
)


def check_candidates(num_candidates: int) -> None:
    """Raises ``InputError`` for more candidates than TensorRT sorts."""
    if num_candidates > MAX_SORTED:
        raise InputError(
            f"TensorRT sorts at most {MAX_SORTED} candidates, not {num_candidates}: "
            f"give --candidates {MAX_SORTED}"
        )


def check_operators(proto: Any) -> None:
    """Checks a model (``onnx.ModelProto``), its subgraphs and functions included.

    Raises:
        InputError: It has an operator that TensorRT does not take, or operators of another opset.
    """
    for part in (proto.graph, *proto.functions):
        for node in _nodes(part.node):
            if node.op_type in _REFUSED:
                raise InputError(f"TensorRT does not take the operator {node.op_type}, node {node.name!r}")
    for opset in proto.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version not in _OPSETS:
            raise InputError(f"TensorRT takes opsets {_OPSETS[0]} to {_OPSETS[-1]}, not {opset.version}")


def _nodes(nodes: Any) -> Iterator[Any]:
    """Yields nodes and those of the graphs inside them."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            yield from _nodes(attribute.g.node)
