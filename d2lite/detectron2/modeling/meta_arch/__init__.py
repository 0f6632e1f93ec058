"""Meta-architectures are registered by the projects that bring them."""

from detectron2.modeling.meta_arch.build import META_ARCH_REGISTRY, build_model

__all__ = ["META_ARCH_REGISTRY", "build_model"]
