import pytest

from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog


@pytest.fixture
def name(request):
    yield request.node.name
    for catalog in (DatasetCatalog, MetadataCatalog):
        if request.node.name in catalog.list():
            catalog.remove(request.node.name)


def test_dataset_is_loaded_on_every_get(name):
    DatasetCatalog.register(name, lambda: [{"image_id": 1}])
    assert name in DatasetCatalog.list()
    first, second = DatasetCatalog.get(name), DatasetCatalog.get(name)
    assert first == second == [{"image_id": 1}]
    assert first is not second


def test_dataset_name_is_taken_once(name):
    DatasetCatalog.register(name, list)
    with pytest.raises(AssertionError, match="already registered"):
        DatasetCatalog.register(name, list)
    with pytest.raises(AssertionError):
        DatasetCatalog.register(name + "2", "not a function")


def test_unknown_dataset_lists_the_known_ones(name):
    DatasetCatalog.register(name, list)
    with pytest.raises(KeyError, match=f"nowhere.*{name}"):
        DatasetCatalog.get("nowhere")


def test_metadata_is_made_once_and_written_once(name):
    metadata = MetadataCatalog.get(name)
    assert metadata is MetadataCatalog.get(name) and metadata.name == name
    assert metadata.set(thing_classes=["cat"]) is metadata
    metadata.thing_classes = ["cat"]
    with pytest.raises(AssertionError, match="thing_classes"):
        metadata.thing_classes = ["dog"]


def test_metadata_reading(name):
    metadata = MetadataCatalog.get(name).set(a=1)
    assert metadata.get("a") == 1 and metadata.get("b") is None and metadata.get("b", 2) == 2
    with pytest.raises(AttributeError, match="stuff_classes"):
        _ = metadata.stuff_classes
    assert not hasattr(metadata, "stuff_classes")
    copied = metadata.as_dict()
    copied["a"] = 5
    assert metadata.a == 1


def test_metadata_without_a_catalog():
    assert Metadata().name == "N/A"
