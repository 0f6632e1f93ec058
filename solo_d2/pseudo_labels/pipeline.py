"""The stages of FreeSOLO: pre-training, free masks, training, labels, training again (section 6.2)."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detectron2.config import CfgNode
from solo_d2.data.image_paths import ImagePaths
from solo_d2.utils.hashing import hash_value

from .files import digest_of_file, flatten
from .stages import Stage

# Keys that results do not follow from: where they go, and on what they are computed. Weights count by their
# content, where a stage reads any.
_NOT_SETTINGS = (
    "OUTPUT_DIR", "MODEL.DEVICE", "MODEL.WEIGHTS", "DATALOADER.NUM_WORKERS", "PSEUDO_LABELS.BATCH_SIZE"
)  # fmt: skip
# Keys that only evaluation reads.
_EVALUATION = ("DATASETS.TEST", "()", "TEST.EVAL_PERIOD", "0")


@dataclass(frozen=True)
class Method:
    """A config file with overrides.

    Attributes:
        config_file: its path.
        cfg: what it amounts to.
        options: the overrides, "KEY", "VALUE", ...
    """

    config_file: str
    cfg: CfgNode
    options: Sequence[str] = ()

    @property
    def weights(self) -> str:
        """What it starts from."""
        return flatten(self.cfg)["MODEL.WEIGHTS"]

    def settings(self, labels: bool = False) -> dict[str, object]:
        """All keys, flat, but those in ``_NOT_SETTINGS``; ``PSEUDO_LABELS`` only for what makes labels."""
        return {
            key: value
            for key, value in flatten(self.cfg).items()
            if key not in _NOT_SETTINGS and (labels or not key.startswith("PSEUDO_LABELS."))
        }


@dataclass(frozen=True)
class Pipeline:
    """What one run of the driver does.

    Attributes:
        scripts: the folder of train_net.py and tools/.
        output: folder of the run.
        images: folder, text list or COCO JSON of images without labels.
        listed: what that amounts to; file names in labels are relative to its root, too.
        densecl: pre-training; None with ``backbone``.
        free_mask: coarse masks.
        segmenter: both trainings and self-training's labels.
        backbone: weights to use instead of pre-training.
        masks: labels to use instead of free masks.
        trained: weights of a segmenter to use instead of free masks and the first training.
        val_json: labels for evaluation, with ``val_images``; "" for none.
        rounds: of self-training.
        seed: of all trainings.
        num_gpus: of all trainings; processes of labelling.
        sample: images whose final predictions are kept for pictures.
    """

    scripts: Path
    output: Path
    images: str
    listed: ImagePaths
    free_mask: Method
    segmenter: Method
    densecl: Method | None = None
    backbone: str = ""
    masks: str = ""
    trained: str = ""
    val_json: str = ""
    val_images: str = ""
    rounds: int = 1
    seed: int = 0
    num_gpus: int = 1
    sample: int = 6
    stages: list[Stage] = field(default_factory=list, init=False)

    def __post_init__(self):
        self._add_backbone()
        if self.trained:
            self._add_evaluation("train", self.segmenter, self._weights_of("train"), *self._made_by("train"))
        else:
            self._add_free_masks()
            self._add_training("train", self._labels_file)
        for number in range(1, self.rounds + 1):
            before = "train" if number == 1 else f"train_{number - 1}"
            self._add_labels(f"labels_{number}", before)
            self._add_training(f"train_{number}", self._file(f"labels_{number}", "labels.json"))
        last = f"train_{self.rounds}" if self.rounds else "train"
        self._add_labels("sample", last, self.sample)

    @property
    def label_stages(self) -> dict[str, str]:
        """What pictures show: title and label file."""
        titles = {} if self.trained else {"free masks": self._labels_file}
        for number in range(1, self.rounds + 1):
            what = "first training" if number == 1 else f"self-training {number - 1}"
            titles[f"labels of the {what}"] = self._file(f"labels_{number}", "labels.json")
        return titles | {"final predictions": self._file("sample", "labels.json")}

    @property
    def measured(self) -> dict[str, str]:
        """Titles of what is evaluated, and the stages that do it."""
        if not self.val_json:
            return {}
        titles = {} if self.masks or self.trained else {"Free Mask alone": "masks_evaluation"}
        titles["after training"] = "train_evaluation"
        for number in range(1, self.rounds + 1):
            titles[f"after self-training {number}"] = f"train_{number}_evaluation"
        return titles

    @property
    def image_root(self) -> str:
        """The folder of the images."""
        return str(self.listed.root)

    @property
    def _image_settings(self) -> dict[str, object]:
        """Settings of every stage that lists the images."""
        digest = hash_value([self.listed.names, self.listed.ids])
        return {"images": _place(self.images), **self._root_setting, "image names and ids (SHA-256)": digest}

    @property
    def _root_setting(self) -> dict[str, object]:
        return {"image_root": _place(self.image_root)}

    @property
    def _training(self) -> dict[str, object]:
        """Settings of every training beside its config."""
        return {"--seed": self.seed, "--num-gpus": self.num_gpus}

    @property
    def _weights(self) -> str:
        return self.backbone or self._file("densecl", "backbone.pth")

    @property
    def _labels_file(self) -> str:
        return self.masks or self._file("masks", "labels.json")

    def _weights_of(self, training: str) -> str:
        """What a training leaves, or the weights that were given instead of the first."""
        given = self.trained if training == "train" else ""
        return given or self._file(training, "model_final.pth")

    def _made_by(self, training: str) -> tuple[list[str], dict[str, str]]:
        """The stage those weights come from, or their digest."""
        if training == "train" and self.trained:
            return [], {"segmenter (SHA-256)": digest_of_file(self.trained)}
        return [training], {}

    def _file(self, stage: str, name: str) -> str:
        return str(self.output / stage / name)

    def _script(self, name: str) -> str:
        return str(self.scripts / name)

    def _add_backbone(self) -> None:
        if self.backbone or (self.trained and not self.rounds):  # given, or nothing is trained from it
            return
        trained, backbone = (self._file("densecl", name) for name in ("model_final.pth", "backbone.pth"))
        data = ["--train-unlabelled", self.images, "--train-images", self.image_root]
        train = self._train("densecl", self.densecl, data)
        script = self._script("tools/export_backbone.py")
        export = [script, "--weights", trained, "--output", backbone]
        start = {"weights (SHA-256)": digest_of_file(self.densecl.weights)}
        settings = self.densecl.settings() | start | self._image_settings | self._training
        self._add("densecl", [train, export], settings, ["model_final.pth", "backbone.pth"])

    def _add_free_masks(self) -> None:
        after = [] if self.backbone else ["densecl"]
        given = {"backbone (SHA-256)": digest_of_file(self.backbone)} if self.backbone else {}
        if not self.masks:
            command = self._label("tools/free_mask.py", "masks", self.free_mask, self._weights)
            settings = self.free_mask.settings(labels=True) | given | self._image_settings
            self._add("masks", [command], settings, ["labels.json"], after)
            self._add_evaluation("masks", self.free_mask, self._weights, after, given)

    def _add_training(self, name: str, labels: str) -> None:
        """Trains from the backbone, as the first training does, whichever labels it is given."""
        data = ["--train-json", labels, "--train-images", self.image_root]
        command = self._train(name, self.segmenter, data, [*_EVALUATION, "MODEL.WEIGHTS", self._weights])
        settings = self.segmenter.settings() | self._training | self._root_setting
        after = [] if self.backbone else ["densecl"]
        if self.backbone:
            settings["backbone (SHA-256)"] = digest_of_file(self.backbone)
        if name == "train" and self.masks:
            settings["masks (SHA-256)"] = digest_of_file(self.masks)
        else:
            after.append("masks" if name == "train" else name.replace("train", "labels"))
        self._add(name, [command], settings, ["model_final.pth"], after)
        self._add_evaluation(name, self.segmenter, self._weights_of(name), *self._made_by(name))

    def _add_labels(self, name: str, training: str, limit: int = 0) -> None:
        weights, (after, given) = self._weights_of(training), self._made_by(training)
        command = self._label("tools/self_training_labels.py", name, self.segmenter, weights, limit)
        settings = self.segmenter.settings(labels=True) | given | self._image_settings | {"limit": limit}
        self._add(name, [command], settings, ["labels.json"], after)

    def _add_evaluation(
        self, name: str, method: Method, weights: str, after: list[str], given: dict[str, str]
    ) -> None:
        if not self.val_json:
            return
        stage = f"{name}_evaluation"
        data = ["--eval-only", "--val-json", self.val_json, "--val-images", self.val_images]
        where = str(self.output / stage)
        tail = ["OUTPUT_DIR", where, "MODEL.WEIGHTS", weights, "TEST.CLASS_AGNOSTIC", "True"]
        command = [*self._train_net(method), *data, *method.options, *tail]
        truth = {"val_json (SHA-256)": digest_of_file(self.val_json), "val_images": _place(self.val_images)}
        self._add(stage, [command], method.settings() | given | truth, ["evaluation.json"], after)

    def _train_net(self, method: Method) -> list[str]:
        gpus = ["--num-gpus", str(self.num_gpus)]
        return [self._script("train_net.py"), "--config-file", method.config_file, *gpus]

    def _train(
        self, name: str, method: Method, data: Sequence[str], options: Sequence[str] = ()
    ) -> list[str]:
        tail = ["OUTPUT_DIR", str(self.output / name), "SEED", str(self.seed)]
        return [*self._train_net(method), "--resume", *data, *method.options, *options, *tail]

    def _label(self, script: str, name: str, method: Method, weights: str, limit: int = 0) -> list[str]:
        command = [self._script(script), "--config-file", method.config_file, "--images", self.images]
        command += ["--image-root", self.image_root, "--output", self._file(name, "labels.json")]
        command += ["--processes", str(self.num_gpus)] + (["--limit", str(limit)] if limit else [])
        return [*command, "--opts", *method.options, "MODEL.WEIGHTS", weights]

    def _add(
        self,
        name: str,
        commands: Sequence[Sequence[str]],
        settings: Mapping[str, object],
        outputs: Sequence[str],
        after: Sequence[str] = (),
    ) -> None:
        self.stages.append(Stage(name, commands, dict(settings), outputs, tuple(after)))


def _place(path: str) -> str:
    """A path that is the same from whichever folder the run is called."""
    return os.path.abspath(os.path.expanduser(path))
