"""The list of published files."""

import re

import pytest

from solo_d2.model_zoo.catalogue import architectures, load_catalogue
from solo_d2.structures import InputError

CATALOGUE = load_catalogue()
FILES = {**CATALOGUE.models, **CATALOGUE.backbones}


def test_every_public_list_is_there():
    counts = {
        source: sum(name.startswith(f"{source}/") for name in CATALOGUE.models)
        for source in CATALOGUE.sources
    }
    assert counts["original"] == 17
    assert sum(name.startswith("mmdet/solov2") for name in CATALOGUE.models) == 8
    assert sum(name.startswith("adelaidet/solov2") for name in CATALOGUE.models) == 2
    assert sum(name.startswith("adelaidet/condinst") for name in CATALOGUE.models) == 10


@pytest.mark.parametrize("published", FILES.values(), ids=lambda p: p.name)
def test_form(published):
    assert re.fullmatch(r"https://[a-z.]+/[\w./-]+\.pth", published.url)
    assert published.source.licence and published.source.repository.startswith("https://github.com/")
    assert published.address == f"solo_d2://{published.name}"
    ap = published.published_ap
    assert ap is None or 20 < ap < 70
    if published.source.title in ("mmdetection", "torchvision"):
        assert re.fullmatch("[0-9a-f]{8}", published.sha256_start)
    else:
        assert published.sha256_start == ""


def test_addresses_are_distinct():
    assert len({published.url for published in FILES.values()}) == len(FILES)


def test_find():
    assert CATALOGUE.find("mmdet/solov2_R50_3x").sha256_start == "fed092d4"
    with pytest.raises(
        InputError, match=r"no published model mmdet/solov2_R51_3x: did you mean mmdet/solov2_R50_3x"
    ):
        CATALOGUE.find("mmdet/solov2_R51_3x")
    with pytest.raises(InputError, match="MODEL_ZOO"):
        CATALOGUE.find("?")


def test_architectures():
    found = architectures()
    assert found["SOLOv2 R50"] == "original/solov2_R50_1x"
    assert len(found) < len(CATALOGUE.models)
