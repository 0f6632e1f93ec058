import json

import pytest

from solo_d2.data.datasets.photo_folder import PhotoSet, find_photo_sets
from solo_d2.utils.errors import InputError


def write(path, images=("1.jpg",), segmentation=((1, 1, 9, 1, 9, 9),)):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "images": [{"id": n, "file_name": name, "width": 10, "height": 10} for n, name in enumerate(images)],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "segmentation": [list(s) for s in segmentation]}
            for n, _ in enumerate(images)
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    path.write_text(json.dumps(content))


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(
    ("train", "val", "train_images", "val_images"),
    [
        ("train.json", "val.json", "images", "images"),
        ("train/_annotations.coco.json", "valid/_annotations.coco.json", "train", "valid"),
        ("train/annotations.json", "val/annotations.json", "train/images", "val/images"),
        (
            "annotations/instances_train2017.json",
            "annotations/instances_val2017.json",
            "train2017",
            "val2017",
        ),
        ("train.json", "test.json", ".", "."),
    ],
)
def test_layouts_as_people_have_them(tmp_path, train, val, train_images, val_images):
    for name, images, image in ((train, train_images, "1.jpg"), (val, val_images, "2.jpg")):
        write(tmp_path / name, [image])
        touch(tmp_path / images / image)
    (tmp_path / "notes.json").write_text("[1]")
    (tmp_path / "broken.json").write_text("{")
    found = find_photo_sets(tmp_path, tmp_path / "split")
    assert found == (
        PhotoSet(tmp_path / train, tmp_path / train_images),
        PhotoSet(tmp_path / val, tmp_path / val_images),
    )
    assert not (tmp_path / "split").exists()


def test_a_third_file_for_testing_is_left_out(tmp_path):
    for name in ("train", "valid", "test"):
        write(tmp_path / name / "_annotations.coco.json")
        touch(tmp_path / name / "1.jpg")
    assert [one.images.name for one in find_photo_sets(tmp_path, tmp_path)] == ["train", "valid"]


def test_one_file_is_split_the_same_way_each_time(tmp_path):
    names = [f"{n}.jpg" for n in range(10)]
    write(tmp_path / "data" / "labels.json", names)
    touch(*(tmp_path / "data" / "photos" / name for name in names))
    parts = []
    for target in ("a", "b"):
        train, val = find_photo_sets(tmp_path / "data", tmp_path / target)
        assert train.images == val.images == tmp_path / "data" / "photos"
        parts.append([json.loads(one.json_file.read_text()) for one in (train, val)])
    train, val = parts[0]
    assert parts[0] == parts[1] and (len(train["images"]), len(val["images"])) == (8, 2)
    assert {image["file_name"] for part in (train, val) for image in part["images"]} == set(names)
    for part in (train, val):
        ids = [image["id"] for image in part["images"]]
        assert [one["image_id"] for one in part["annotations"]] == ids
        assert part["categories"] == [{"id": 1, "name": "thing"}]


def test_images_are_where_most_of_them_are(tmp_path):
    write(tmp_path / "train.json", ["1.jpg", "2.jpg"])
    write(tmp_path / "val.json", ["1.jpg"])
    touch(tmp_path / "1.jpg", tmp_path / "deep" / "er" / "1.jpg", tmp_path / "deep" / "er" / "2.jpg")
    train, val = find_photo_sets(tmp_path, tmp_path)
    assert train.images == tmp_path / "deep" / "er" and val.images == tmp_path


def test_what_is_missing_or_unclear_is_one_line(tmp_path):
    def complains(message):
        with pytest.raises(InputError, match=message):
            find_photo_sets(tmp_path / "data", tmp_path)

    complains("is not a folder")
    (tmp_path / "data").mkdir()
    complains("has no COCO annotation file")
    write(tmp_path / "data" / "labels.json")
    touch(tmp_path / "data" / "1.jpg")
    complains("has one image")
    (tmp_path / "data" / "1.jpg").unlink()
    write(tmp_path / "data" / "labels.json", ["1.jpg", "2.jpg"])
    complains(r"labels\.json: no folder below .* has its images, such as 1\.jpg")
    write(tmp_path / "data" / "more.json")
    complains(r"0 annotation files have 'train' in their names, not one \(labels\.json, more\.json\): rename")
    write(tmp_path / "data" / "train.json")
    complains("0 annotation files have 'val' in their names")
    write(tmp_path / "data" / "train_2.json")
    complains(r"2 annotation files have 'train' in their names, not one \(train\.json, train_2\.json\)")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"images": [{"file_name": "1.jpg"}, {"id": 1}]}, r"labels\.json: image #0 has no id"),
        ({"images": [{"id": 1, "file_name": "1.jpg"}, 7]}, r"labels\.json: image #1 has no id"),
        ({"images": [{"id": [], "file_name": "1.jpg"}, {"id": 1}]}, r"image #0 has id \[\]"),
        ({"images": [{"id": 1, "file_name": "1.jpg"}, {"id": 1}]}, "id 1 is used more than once"),
        ({"annotations": [{"segmentation": [[1]]}]}, r"labels\.json: annotation #0 has no image_id"),
        ({"images": [{"id": 1, "file_name": "x" * 5000}, {"id": 2}]}, "has its images, such as x"),
        ({"images": [{"id": 1, "file_name": "a\0b"}, {"id": 2}]}, "has its images, such as a"),
    ],
)
def test_broken_records_of_a_single_file_are_one_line(tmp_path, broken, message):
    write(tmp_path / "data" / "labels.json", ["1.jpg", "2.jpg"])
    touch(tmp_path / "data" / "1.jpg")
    content = json.loads((tmp_path / "data" / "labels.json").read_text())
    (tmp_path / "data" / "labels.json").write_text(json.dumps(content | broken))
    with pytest.raises(InputError, match=message):
        find_photo_sets(tmp_path / "data", tmp_path / "parts")
    assert not (tmp_path / "parts").exists()
