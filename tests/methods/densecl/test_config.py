from detectron2.config import get_cfg
from solo_d2.methods.densecl.config import add_densecl_config


def test_defaults_are_the_papers():
    cfg = get_cfg()
    add_densecl_config(cfg)
    node, views = cfg.MODEL.DENSECL, cfg.INPUT.VIEWS
    assert (node.HIDDEN_DIM, node.FEAT_DIM, node.GRID_SIZE) == (2048, 128, 7)
    assert (node.TEMPERATURE, node.QUEUE_SIZE, node.MOMENTUM) == (0.2, 65536, 0.999)
    assert (node.LAMBDA, node.LAMBDA_WARMUP_ITERS) == (0.5, 0)
    assert (views.SIZE, tuple(views.SCALE), tuple(views.JITTER)) == (224, (0.2, 1.0), (0.4, 0.4, 0.4, 0.1))
    assert (views.JITTER_PROB, views.GRAY_PROB, views.BLUR_PROB, views.FLIP_PROB) == (0.8, 0.2, 0.5, 0.5)
