import torch

from solo_d2.methods import DenseCL, FreeSOLO, PanopticCondInst, SOLOv2
from solo_d2.modeling.meta_architecture import MetaArchitecture, find_meta_architecture


def test_lookup_finds_own_models():
    assert find_meta_architecture("SOLOv2") is SOLOv2
    assert find_meta_architecture("FreeSOLO").config_node == "SOLOV2"


def test_lookup_gives_the_defaults_for_others():
    for name in ("GeneralizedRCNN", "Elsewhere"):
        assert find_meta_architecture(name) is MetaArchitecture
    assert MetaArchitecture.config_node == "" and MetaArchitecture.evaluator_types is None


def test_models_say_what_they_are():
    assert DenseCL.train_mapper == "two_views" and DenseCL.evaluator_types == ("class_folders",)
    assert PanopticCondInst.is_panoptic and PanopticCondInst.config_node == "FCOS"
    assert not FreeSOLO.is_panoptic and FreeSOLO.train_mapper is None


def test_pixels_are_normalized_per_channel():
    model = MetaArchitecture(pixel_mean=[1.0, 2.0, 3.0], pixel_std=[2.0, 2.0, 4.0])
    pixels = model.normalize(torch.tensor([3.0, 2.0, 7.0]).view(3, 1, 1).expand(2, 3, 4, 5))
    assert pixels[1, :, 3, 4].tolist() == [1.0, 0.0, 1.0]
    assert model.device == torch.device("cpu") and not model.state_dict()
