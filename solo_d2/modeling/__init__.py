"""Networks: heads (forward passes) and meta-architectures (their composition into models)."""
