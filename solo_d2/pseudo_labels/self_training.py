"""A segmenter's predictions as the next training's labels (FreeSOLO, sections 6.2.3 and 6.3.1)."""

from dataclasses import dataclass

from detectron2.config import CfgNode
from detectron2.structures import Instances
from solo_d2.modeling.postprocess import best_of, drop_wide
from solo_d2.utils.settings import build


@dataclass(frozen=True)
class ConfidentPredictions:
    """Selects predictions as labels; see ``solo_d2.methods.free_mask.config``."""

    update_thr: float
    max_per_img: int
    max_box_width: float

    @classmethod
    def from_config(cls, cfg: CfgNode) -> "ConfidentPredictions":
        """Reads ``PSEUDO_LABELS``."""
        return build(cls, cfg, "PSEUDO_LABELS")

    def __call__(self, instances: Instances) -> Instances:
        """Returns an image's predictions that become labels, best first; inputs need not be sorted."""
        best = best_of(instances.scores, self.update_thr, self.max_per_img)
        return drop_wide(instances[best], self.max_box_width)
