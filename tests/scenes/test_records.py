import numpy as np
from pycocotools import mask as coco_mask

from solo_d2.scenes import STUFF_CLASSES, THING_CLASSES, SceneConfig, compose_scene, panoptic_categories
from solo_d2.scenes.config import MAX_OBJECTS
from solo_d2.scenes.records import CLASS_COLORS, PANOPTIC_STEP, scene_records, thing_categories


def _records(index):
    scene = compose_scene(SceneConfig(), 128, 1, "train", index)
    return scene, scene_records(scene, index)


def test_categories():
    names = [category["name"] for category in panoptic_categories()]
    assert names == [*THING_CLASSES, *STUFF_CLASSES]
    assert [category["id"] for category in panoptic_categories()] == list(range(1, 10))
    assert [category["id"] for category in thing_categories()] == [1, 2, 3, 4, 5]
    assert all(category["isthing"] for category in thing_categories())


def test_every_segment_id_is_unique():
    ids = {color for color in CLASS_COLORS}
    for color in CLASS_COLORS[: len(THING_CLASSES)]:
        for step in range(1, MAX_OBJECTS + 1):
            shifted = tuple(value + step * by for value, by in zip(color, PANOPTIC_STEP, strict=True))
            assert shifted not in ids and max(shifted) <= 255
            ids.add(shifted)


def test_annotations_describe_the_visible_masks():
    for index in range(8):
        scene, records = _records(index)
        assert len(records.annotations) == len(scene.objects)
        for position, annotation in enumerate(records.annotations):
            mask = coco_mask.decode(annotation["segmentation"]).astype(bool)
            assert np.array_equal(mask, scene.mask(position))
            assert annotation["area"] == mask.sum() and annotation["image_id"] == index + 1
            assert annotation["bbox"] == coco_mask.toBbox(annotation["segmentation"]).tolist()
            matte = records.mattes[annotation["alpha_file"]]
            assert np.array_equal(matte[..., 3], scene.objects[position].alpha)


def test_panoptic_segments_cover_every_pixel_once():
    for index in range(8):
        _, records = _records(index)
        blue, green, red = (records.panoptic[..., channel].astype(int) for channel in range(3))
        ids = red + 256 * green + 256**2 * blue
        assert set(np.unique(ids)) == {segment["id"] for segment in records.segments}
        assert sum(segment["area"] for segment in records.segments) == ids.size
        for segment in records.segments:
            rows, columns = np.nonzero(ids == segment["id"])
            assert segment["area"] == len(rows)
            left, top, width, height = segment["bbox"]
            assert (left, top) == (columns.min(), rows.min())
            assert (left + width - 1, top + height - 1) == (columns.max(), rows.max())


def test_scene_without_objects():
    scene = compose_scene(SceneConfig(empty_fraction=1.0), 64, 0, "val", 3)
    records = scene_records(scene, 3)
    assert not records.annotations and not records.mattes and records.segments
