"""Matches a checkpoint's parameters to a model's by the ends of their names."""

import logging

import torch


def align_and_update_state_dicts(
    model_state_dict: dict[str, torch.Tensor], ckpt_state_dict: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Renames a checkpoint's parameters to those of a model whose names have the same end.

    A checkpoint's ``res2.0.conv1.weight`` matches the model's ``backbone.bottom_up.res2.0.conv1.weight``.
    Of several candidates, the longest is used.

    Args:
        model_state_dict: The model's tensors by name.
        ckpt_state_dict: The checkpoint's tensors by name.

    Returns:
        The checkpoint's tensors by the model's names. Unmatched tensors keep their names; tensors with
        a different shape are dropped with a warning.

    Raises:
        ValueError: A tensor of the checkpoint matches two of the model.
    """
    logger = logging.getLogger(__name__)
    result: dict[str, torch.Tensor] = {}
    matched: dict[str, str] = {}
    for model_key, parameter in model_state_dict.items():
        parts = model_key.split(".")
        suffixes = (".".join(parts[start:]) for start in range(len(parts)))
        key = next((suffix for suffix in suffixes if suffix in ckpt_state_dict), None)
        if key is None:
            continue
        value = ckpt_state_dict[key]
        if value.shape != parameter.shape:
            logger.warning(
                "Shape of %s in checkpoint is %s, while shape of %s in model is %s: not loaded.",
                key, tuple(value.shape), model_key, tuple(parameter.shape),
            )  # fmt: skip
        elif key in matched:
            raise ValueError(
                f"Cannot match one checkpoint key to multiple keys in the model: "
                f"{key} matches {matched[key]} and {model_key}."
            )
        else:
            result[model_key] = value
        matched[key] = model_key
    logger.info("Matched %d of %d tensors of the checkpoint by name.", len(result), len(ckpt_state_dict))
    unmatched = {key: value for key, value in ckpt_state_dict.items() if key not in matched}
    return {**unmatched, **result}
