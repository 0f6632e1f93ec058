"""Networks: backbones, heads (forward passes) and meta-architectures (their composition into models)."""

from solo_d2.modeling import backbones

__all__ = ["backbones"]
