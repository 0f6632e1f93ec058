"""COCO 2017's 80 thing and 53 stuff classes: names in order, and their ids in the annotation files."""

COCO_NAMES = tuple(
    """person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,
parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,
suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,
tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,
hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,
cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,
toothbrush""".replace("\n", "").split(",")
)

# Ids run from 1 to 90 with gaps.
_UNUSED_IDS = frozenset((12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
COCO_IDS = tuple(number for number in range(1, 91) if number not in _UNUSED_IDS)

# Panoptic task, without the files' suffixes "-other" and "-merged", which describe merged classes.
COCO_STUFF = {
    92: "banner", 93: "blanket", 95: "bridge", 100: "cardboard", 107: "counter", 109: "curtain",
    112: "door-stuff", 118: "floor-wood", 119: "flower", 122: "fruit", 125: "gravel", 128: "house",
    130: "light", 133: "mirror-stuff", 138: "net", 141: "pillow", 144: "platform", 145: "playingfield",
    147: "railroad", 148: "river", 149: "road", 151: "roof", 154: "sand", 155: "sea", 156: "shelf",
    159: "snow", 161: "stairs", 166: "tent", 168: "towel", 171: "wall-brick", 175: "wall-stone",
    176: "wall-tile", 177: "wall-wood", 178: "water", 180: "window-blind", 181: "window", 184: "tree",
    185: "fence", 186: "ceiling", 187: "sky", 188: "cabinet", 189: "table", 190: "floor", 191: "pavement",
    192: "mountain", 193: "grass", 194: "dirt", 195: "paper", 196: "food", 197: "building", 198: "rock",
    199: "wall", 200: "rug",
}  # fmt: skip


def coco_panoptic_categories() -> list[dict]:
    """Returns the panoptic task's categories, "id", "name" and "isthing", by ascending id."""
    things = [{"id": i, "name": name, "isthing": 1} for i, name in zip(COCO_IDS, COCO_NAMES, strict=True)]
    return things + [{"id": i, "name": name, "isthing": 0} for i, name in COCO_STUFF.items()]
