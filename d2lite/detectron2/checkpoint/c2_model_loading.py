"""Matching of foreign parameter names, such as those of Caffe2's ResNets, to a model's."""

import logging
import re

import torch

# Names of the Caffe2 layout, "_" already replaced by ".", in the order of application.
_C2_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^pred\.([wb])$", r"linear.\1"),  # the ImageNet classifier
        (r"\.b$", ".bias"),
        (r"\.w$", ".weight"),
        (r"bn\.(?:s|gamma)$", "norm.weight"),
        (r"bn\.(?:bias|beta)$", "norm.bias"),
        (r"bn\.(?:rm|running\.mean)$", "norm.running_mean"),
        (r"bn\.(?:riv|running\.var)$", "norm.running_var"),
        (r"gn\.s$", "norm.weight"),
        (r"gn\.bias$", "norm.bias"),
        (r"^res\.conv1\.norm\.", "conv1.norm."),
        (r"^conv1\.", "stem.conv1."),
        (r"\.branch1\.", ".shortcut."),
        (r"\.branch2a\.", ".conv1."),
        (r"\.branch2b\.", ".conv2."),
        (r"\.branch2c\.", ".conv3."),
    )
)


def convert_basic_c2_names(original_keys: list[str]) -> list[str]:
    """Translates the names of ResNets in the Caffe2 layout, for example ``res2_0_branch2a_bn_s``.

    Returns:
        list[str]: Detectron2's names without a prefix, such as ``res2.0.conv1.norm.weight``.
    """
    converted = []
    for key in original_keys:
        key = key.replace("_", ".")
        for pattern, replacement in _C2_RULES:
            key = pattern.sub(replacement, key)
        converted.append(key)
    return converted


def align_and_update_state_dicts(
    model_state_dict: dict[str, torch.Tensor],
    ckpt_state_dict: dict[str, torch.Tensor],
    c2_conversion: bool = True,
) -> dict[str, torch.Tensor]:
    """Renames a checkpoint's parameters to those of a model whose names end in the same way.

    A checkpoint's ``res2.0.conv1.weight`` is taken for the model's
    ``backbone.bottom_up.res2.0.conv1.weight``. Of several candidates the longest wins.

    Args:
        model_state_dict: the model's names and tensors.
        ckpt_state_dict: the checkpoint's names and tensors.
        c2_conversion: whether the checkpoint's names are in the Caffe2 layout.

    Returns:
        dict[str, Tensor]: the checkpoint's tensors by the model's names; what matches nothing
        keeps its name, and what has another shape is left out with a warning.

    Raises:
        ValueError: one tensor of the checkpoint matches two of the model.
    """
    logger = logging.getLogger(__name__)
    names = list(ckpt_state_dict)
    converted = convert_basic_c2_names(names) if c2_conversion else names
    originals = dict(zip(converted, names, strict=True))
    result, matched = {}, {}
    for model_key, parameter in model_state_dict.items():
        parts = model_key.split(".")
        suffixes = (".".join(parts[start:]) for start in range(len(parts)))
        key = next((suffix for suffix in suffixes if suffix in originals), None)
        if key is None:
            continue
        value = ckpt_state_dict[originals[key]]
        if value.shape != parameter.shape:
            logger.warning(
                "Shape of %s in checkpoint is %s, while shape of %s in model is %s: not loaded.",
                originals[key], tuple(value.shape), model_key, tuple(parameter.shape),
            )  # fmt: skip
        elif key in matched:
            raise ValueError(
                f"Cannot match one checkpoint key to multiple keys in the model: "
                f"{originals[key]} matches {matched[key]} and {model_key}."
            )
        else:
            result[model_key] = value
        matched[key] = model_key
    logger.info("Matched %d of %d tensors of the checkpoint by name.", len(result), len(names))
    unmatched = {key: ckpt_state_dict[originals[key]] for key in converted if key not in matched}
    return {**unmatched, **result}
