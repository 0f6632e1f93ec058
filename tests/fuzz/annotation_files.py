"""Good COCO files, and the mistakes that fuzz tests make in them."""

import itertools
import json
import math
from functools import partial
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import ExifTags, Image
from pycocotools import mask as coco_mask

from tests.fuzz.cases import HOSTILE, NAMES, NUMBERS, change_somewhere

HEIGHT, WIDTH = 40, 56
FILES = ["a.png", "b.png", "sub/c.png", "lying.jpg"]
CLASSES = {3: "cat", 7: "dog", 8: "owl"}


def good_content() -> dict:
    """Four images with three objects and sometimes a crowd each, as polygons and both kinds of RLE."""
    content = {"info": {"year": 2020}, "images": [], "annotations": []}
    content["categories"] = [{"id": number, "name": name} for number, name in CLASSES.items()]
    for number, name in enumerate(FILES, start=1):
        size = (WIDTH, HEIGHT) if name == "lying.jpg" else (HEIGHT, WIDTH)
        image = {"id": number, "file_name": name, "height": size[0], "width": size[1]}
        content["images"].append(image)
        for place in range(4 if number == 2 else 3):
            content["annotations"].append(_annotation(image, place, len(content["annotations"]) + 1))
    return content


def _annotation(image: dict, place: int, number: int) -> dict:
    left, top, wide, high = 3 + 9 * place, 4 + 7 * place, 11 + place, 9 + image["id"]
    mask = np.zeros((image["height"], image["width"]), np.uint8, order="F")
    mask[top : top + high, left : left + wide] = 1
    corners = [left, top, left + wide, top, left + wide, top + high, left, top + high]
    rle = coco_mask.encode(mask)
    runs = [len(list(run)) for _, run in itertools.groupby(mask.ravel(order="F"))]
    kinds = [[corners], {"size": rle["size"], "counts": rle["counts"].decode()}]
    kinds += [{"size": rle["size"], "counts": runs}]
    return {
        "id": number,
        "image_id": image["id"],
        "category_id": list(CLASSES)[(number + place) % 3],
        "segmentation": kinds[number % 3],
        "area": int(mask.sum()),
        "bbox": [left, top, wide, high],
        "iscrowd": int(place == 3),
    }


def write_images(folder: Path) -> None:
    (folder / "sub").mkdir(parents=True)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for number, name in enumerate(FILES):
        pixels = np.random.default_rng(number).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name, **({"exif": exif} if name == "lying.jpg" else {}))
    Image.new("I;16", (WIDTH, HEIGHT)).save(folder / "deep.png")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:60])


COORDINATES = st.one_of(
    st.integers(-3, 60), st.floats(-3, 60), st.sampled_from([-1e300, -1e8, 1e7, 1e8, 1e12, *NUMBERS])
)
POLYGONS = st.one_of(
    st.lists(COORDINATES, max_size=12),
    st.lists(st.integers(0, 40), min_size=6, max_size=12).filter(lambda numbers: len(numbers) % 2 == 0),
    st.sampled_from(
        [
            [5, 5, 30, 30, 5, 30, 30, 5],  # crosses itself
            [5, 10.6, 50, 10.6, 50, 10.8, 5, 10.8],  # covers no pixel
            [0, 0, 0, 0, 0, 0],
            [5, 5, 9, 9, 13, 13],
            [0.1, 0.1, 0.6, 0.1, 0.6, 0.7],
            [-500, -500, 900, -500, 900, 900, -500, 900],
            [1e7, 0, 0, 1e7, 0, 0],
        ]
    ),
)
COUNTS = st.one_of(
    st.lists(st.sampled_from([0, 1, 40, 100, HEIGHT * WIDTH, *NUMBERS]), max_size=6),
    st.text("0123456789:;<=>?@ABCPQRSTabcdefghijklmno", max_size=12),
    st.sampled_from(["", "o" * 50, "Pk2", "b'0000'", "\ud800", "é", None, [None], {"0": 1}]),
    st.sampled_from([[HEIGHT * WIDTH], [0, HEIGHT * WIDTH], [3, 2, HEIGHT * WIDTH - 5], [1.0, 2239.0]]),
)
SIZES = st.sampled_from(
    [[HEIGHT, WIDTH]] * 4
    + [[WIDTH, HEIGHT], [65536, 65536], [0, 0], ["40", 56], [HEIGHT], None, 40, [40.0, 56]]
)
SEGMENTATIONS = st.one_of(
    st.lists(POLYGONS, max_size=3),
    POLYGONS,
    st.lists(POLYGONS, max_size=2).map(lambda inner: [inner]),
    st.fixed_dictionaries({"size": SIZES, "counts": COUNTS}),
    st.fixed_dictionaries({}, optional={"size": SIZES, "counts": COUNTS}),
)
BOXES = st.one_of(
    st.lists(COORDINATES, min_size=4, max_size=4),
    st.sampled_from(
        [[0.1, 0.2, 0.3, 0.2], [0, 0, 0, 0], [-5, -5, 3, 3], [5, 5, -3, 4], [1, 2, 3], "1 2 3 4"]
    ),
)
IDS = st.sampled_from([*HOSTILE, "a", "0007", 5, 77, -4, 7.0, 4.5])


def change_annotation(content: dict, data: st.DataObject) -> None:
    one = data.draw(st.sampled_from(content["annotations"]))
    fields = {"segmentation": SEGMENTATIONS, "bbox": BOXES, "area": st.sampled_from(HOSTILE), "id": IDS}
    fields |= {"image_id": IDS, "category_id": IDS, "iscrowd": st.sampled_from(HOSTILE)}
    fields |= {"ignore": st.sampled_from(HOSTILE), "embedding": st.sampled_from([[1, 2], [1, math.nan], "x"])}
    fields |= {"mask_withheld": st.sampled_from(HOSTILE), "keypoints": st.sampled_from([[1, 2, 2], "x"])}
    field = data.draw(st.sampled_from(["segmentation"] * 5 + ["bbox"] * 3 + list(fields)))
    one[field] = data.draw(fields[field])


def change_image(content: dict, data: st.DataObject) -> None:
    one = data.draw(st.sampled_from(content["images"]))
    side = st.sampled_from([0, -1, 1, HEIGHT, WIDTH, 65536, 56.0, *HOSTILE])
    names = [*NAMES, *FILES, "sub\\c.png", "deep.png", "cut.png", *(str(part) for part in HOSTILE[:3])]
    fields = {"file_name": st.sampled_from(names), "height": side, "width": side, "id": IDS}
    field = data.draw(st.sampled_from(list(fields)))
    one[field] = data.draw(fields[field])


def rename(section: str, key: str, content: dict, data: st.DataObject) -> None:
    """Gives an image or a category another id, and the ``key`` of its annotations the same."""
    one, number = data.draw(st.sampled_from(content[section])), data.draw(IDS)
    for annotation in content["annotations"]:
        if annotation[key] == one["id"]:
            annotation[key] = number
    one["id"] = number


rename_image = partial(rename, "images", "image_id")
rename_category = partial(rename, "categories", "category_id")


def change_category(content: dict, data: st.DataObject) -> None:
    one = data.draw(st.sampled_from(content["categories"]))
    field = data.draw(st.sampled_from(["id", "name"]))
    one[field] = data.draw(IDS if field == "id" else st.sampled_from([*HOSTILE, "cat", "dog", "things"]))


def change_all(content: dict, data: st.DataObject) -> None:
    """Makes one mistake in all annotations."""
    sizes = {image["id"]: (image["width"], image["height"]) for image in content["images"]}
    kind = data.draw(st.sampled_from(["crowd", "corners", "fractions", "boxes", "uuid", "unit", "no ids"]))
    for annotation in content["annotations"]:
        x, y, wide, high = annotation["bbox"]
        width, height = sizes[annotation["image_id"]]
        changes = {
            "crowd": {"iscrowd": 1},
            "corners": {"bbox": [x, y, x + wide, y + high]},
            "fractions": {"bbox": [x / width, y / height, wide / width, high / height]},
            "boxes": {"segmentation": None},
            "uuid": {"id": 2**127 + annotation["id"]},
            "unit": {"segmentation": [[x / width, y / height, 1, 1, 0.5, 0.1]]},
            "no ids": {"id": None},
        }
        annotation.update(changes[kind])


def empty_a_section(content: dict, data: st.DataObject) -> None:
    section = data.draw(st.sampled_from(["images", "annotations", "categories"]))
    content[section] = data.draw(st.sampled_from([[], content[section][:1], None, {}, "x"]))


def repeat_a_record(content: dict, data: st.DataObject) -> None:
    section = content[data.draw(st.sampled_from(["images", "annotations", "categories"]))]
    section.append(json.loads(json.dumps(data.draw(st.sampled_from(section)))))


def changed(content: dict, data: st.DataObject) -> None:
    """Makes one or several mistakes, in place."""
    if data.draw(st.integers(0, 3)) == 0:
        return data.draw(st.sampled_from([change_all, empty_a_section]))(content, data)
    if data.draw(st.integers(0, 3)) == 0:
        return change_somewhere(content, data)
    kinds = [change_annotation] * 4 + [change_image] * 2 + [change_category, rename_image, rename_category]
    for _ in range(data.draw(st.integers(1, 3))):
        data.draw(st.sampled_from([*kinds, repeat_a_record]))(content, data)
