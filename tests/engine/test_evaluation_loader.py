import shutil

import numpy as np
import pytest
from PIL import Image

from detectron2.data import DatasetCatalog
from solo_d2.engine.evaluation_loader import NamingMapper, build_test_loader
from solo_d2.utils.errors import InputError


def test_every_image_once_in_order(tiny_cfg):
    batches = list(build_test_loader(tiny_cfg, "tiny_val"))
    assert [[item["image_id"] for item in batch] for batch in batches] == [[0], [1], [2]]
    assert batches[0][0]["image"].shape == (3, 32, 32)
    assert (batches[0][0]["height"], batches[0][0]["width"]) == (32, 32)


@pytest.mark.parametrize("content", ["text", "truncated", "deep", "missing"])
def test_unreadable_image_is_named(tiny_cfg, tmp_path, content):
    record = dict(DatasetCatalog.get("tiny_val")[0])
    path = tmp_path / "broken.png"
    if content == "text":
        path.write_text("no image")
    elif content == "truncated":
        shutil.copy(record["file_name"], path)
        path.write_bytes(path.read_bytes()[:60])
    elif content == "deep":
        Image.fromarray(np.full((32, 32), 900, np.uint16)).save(path)
    record["file_name"] = str(path)
    with pytest.raises(InputError) as error:
        NamingMapper(tiny_cfg)(record)
    assert "broken.png" in str(error.value) and "\n" not in str(error.value)
