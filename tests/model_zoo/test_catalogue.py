"""The list of published files."""

import re

import pytest

from solo_d2.model_zoo import load_catalogue
from solo_d2.model_zoo.catalogue import architectures
from solo_d2.utils.errors import InputError
from tests.conftest import SHARED

CATALOGUE = load_catalogue()
FILES = {**CATALOGUE.models, **CATALOGUE.backbones}


# COCO val2017 mask AP as the publishers state it.
PUBLISHED = {
    # WXinlong/SOLO, README.md at f4cd03b, both tables.
    "original": {
        "solo_R50_1x": 32.9,
        "solo_R50_3x": 35.8,
        "solo_R101_3x": 37.1,
        "decoupled_solo_R50_1x": 33.9,
        "decoupled_solo_R50_3x": 36.4,
        "decoupled_solo_R101_3x": 37.9,
        "decoupled_solo_light_R50_3x": 33.0,
        "decoupled_solo_light_R50_dcn_3x": 35.0,
        "solov2_R50_1x": 34.8,
        "solov2_R50_3x": 37.5,
        "solov2_R101_3x": 39.1,
        "solov2_R101_dcn_3x": 41.4,
        "solov2_X101_64x4d_dcn_3x": 42.4,
        "solov2_light_448_R18_3x": 29.6,
        "solov2_light_448_R34_3x": 32.0,
        "solov2_light_448_R50_3x": 33.7,
        "solov2_light_512_R50_dcn_3x": 36.4,
    },
    # open-mmlab/mmdetection, README.md of configs/solo, configs/solov2 and configs/condinst.
    "mmdet": {
        "solo_R50_1x": 33.1,
        "solo_R50_3x": 35.9,
        "decoupled_solo_R50_1x": 33.9,
        "decoupled_solo_R50_3x": 36.7,
        "decoupled_solo_light_R50_3x": 32.9,
        "solov2_R50_1x": 34.8,
        "solov2_R50_3x": 37.5,
        "solov2_R101_3x": 39.1,
        "solov2_R101_dcn_3x": 41.2,
        "solov2_X101_64x4d_dcn_3x": 42.4,
        "solov2_light_448_R18_3x": 29.7,
        "solov2_light_448_R34_3x": 31.9,
        "solov2_light_448_R50_3x": 33.7,
        "condinst_R50_1x": 36.0,
    },
    # aim-uofa/AdelaiDet, configs/SOLOv2/README.md and configs/CondInst/README.md at 3672122.
    "adelaidet": {
        "solov2_R50_3x": 37.6,
        "solov2_R101_3x": 39.0,
        "condinst_R50_1x": 35.7,
        "condinst_R50_3x": 37.5,
        "condinst_R101_3x": 38.6,
        "condinst_R50_3x_sem": 38.2,
        "condinst_R101_3x_sem": 39.8,
        "condinst_R50_BiFPN_1x": 37.3,
        "condinst_R50_BiFPN_3x": 38.9,
        "condinst_R50_BiFPN_3x_sem": 39.4,
        "condinst_R101_BiFPN_3x": 39.6,
        "condinst_R101_BiFPN_3x_sem": 40.2,
    },
}


def test_every_public_list_is_there_with_its_results():
    published = {f"{source}/{name}": ap for source, rows in PUBLISHED.items() for name, ap in rows.items()}
    assert {name: model.published_ap for name, model in CATALOGUE.models.items()} == published


def test_golden_table_of_mmdet():
    """Its SOLOv2 README: schedule, mask AP, and the file with its hash, row by row."""
    pages = sorted((SHARED / "papers").glob("002_*.txt"))
    if not pages:
        pytest.skip("mmdet's table is not next to the repository")
    rows = [line.split("|") for line in pages[0].read_text().splitlines() if ".pth" in line]
    stated = {
        re.search(r"mmdetection/([\w./-]+\.pth)", row[8])[1]: (row[4].strip(), float(row[6])) for row in rows
    }
    ours = {
        model.file: (model.schedule, model.published_ap)
        for name, model in CATALOGUE.models.items()
        if name.startswith("mmdet/solov2")
    }
    assert ours == stated and len(stated) == 8


@pytest.mark.parametrize("published", FILES.values(), ids=lambda p: p.name)
def test_form(published):
    assert re.fullmatch(r"https://[a-z.]+/[\w./-]+\.pth", published.url)
    assert published.source.license and published.source.repository.startswith("https://github.com/")
    assert published.address == f"solo_d2://{published.name}"
    ap = published.published_ap
    assert ap is None or 20 < ap < 70
    if published.source.title == "torchvision":
        start = re.search("-([0-9a-f]{8}).pth", published.file)[1]
        assert re.fullmatch(f"{start}[0-9a-f]{{56}}", published.sha256_start) and published.size_mib > 40
    elif published.source.title == "mmdetection":
        assert re.fullmatch("[0-9a-f]{8}", published.sha256_start) and published.sha256 == ""
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
