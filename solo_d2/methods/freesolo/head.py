"""FreeSOLO's head: SOLOv2's with a semantic embedding for every cell (FreeSOLO, section 6.2.3).

B: batch; C: classes; D: length of an embedding; S: cells per side of a level.
"""

from torch import Tensor, nn

from solo_d2.methods.solov2.head import SOLOv2Head


class FreeSOLOHead(SOLOv2Head):
    """Predicts class logits, a kernel and an embedding for every grid cell."""

    embedding_predictor: nn.Module

    def __init__(self, *, num_embeddings: int, **kwargs):
        """
        Args:
            num_embeddings: D.
            **kwargs: Arguments of :class:`SOLOv2Head`.
        """
        super().__init__(cell_predictors={"embedding_predictor": num_embeddings}, **kwargs)
        self.num_embeddings = num_embeddings

    def category_branch(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (B, in_channels, S, S) to category logits (B, C, S, S) and embeddings (B, D, S, S)."""
        x = self.category_tower(cells)
        return self.category_predictor(x), self.embedding_predictor(x)
