"""The registry of meta-architectures; projects register theirs."""

from .build import META_ARCH_REGISTRY, build_model

__all__ = ["META_ARCH_REGISTRY", "build_model"]
