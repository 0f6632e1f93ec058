"""The 80 object classes of COCO and their ids in its files."""

import colorsys

_COCO_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant,
stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe,
backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite,
baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork,
knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake,
chair, couch, potted plant, bed, dining table, toilet, tv, laptop, mouse, remote, keyboard,
cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear,
hair drier, toothbrush
"""
_UNUSED_IDS = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}  # classes dropped before the release


def get_coco_instances_meta() -> dict:
    """Returns class names, the map of dataset ids (1..90 with gaps) to 0..79, and a color per class."""
    names = [" ".join(name.split()) for name in _COCO_NAMES.split(",")]
    ids = [i for i in range(1, 91) if i not in _UNUSED_IDS]
    hues = [(index * 0.618034) % 1.0 for index in range(len(names))]  # golden ratio: neighbors differ
    colors = [colorsys.hsv_to_rgb(hue, 0.8, 0.95) for hue in hues]
    return {
        "thing_classes": names,
        "thing_dataset_id_to_contiguous_id": {id_: i for i, id_ in enumerate(ids)},
        "thing_colors": [tuple(round(255 * channel) for channel in color) for color in colors],
    }
