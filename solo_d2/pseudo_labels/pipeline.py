"""The stages of FreeSOLO: pre-training, free masks, training, labels, retraining (section 6.2)."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from detectron2.config import CfgNode
from solo_d2.checkpoint.file_names import FINAL
from solo_d2.data.image_paths import ImagePaths
from solo_d2.utils.hashing import hash_value

from .files import digest_of_file, flat_json
from .stages import Stage

_TRAINED = f"{FINAL}.pth"
# Keys that do not change results: folder, device, when checkpoints are saved. Weights are compared by
# content, in stages that read any.
_NOT_SETTINGS = (
    "OUTPUT_DIR", "OUTPUT_DIR_IF_USED", "MODEL.DEVICE", "MODEL.WEIGHTS", "DATALOADER.NUM_WORKERS",
    "SOLVER.CHECKPOINT_PERIOD", "SOLVER.CHECKPOINT_MINUTES", "PSEUDO_LABELS.BATCH_SIZE"
)  # fmt: skip
# Keys that only evaluation reads.
_EVALUATION = ("DATASETS.TEST", "()", "TEST.EVAL_PERIOD", "0")


@dataclass(frozen=True)
class Method:
    """A config file with overrides.

    Attributes:
        config_file: Path of the file.
        cfg: The resulting config.
        options: The overrides, "KEY", "VALUE", ...
    """

    config_file: str
    cfg: CfgNode
    options: Sequence[str] = ()

    @property
    def weights(self) -> str:
        """The initial weights."""
        return str(flat_json(self.cfg)["MODEL.WEIGHTS"])

    def settings(self, labels: bool = False) -> dict[str, object]:
        """Returns flat keys without ``_NOT_SETTINGS``; ``PSEUDO_LABELS`` only for stages that make labels."""
        return {
            key: value
            for key, value in flat_json(self.cfg).items()
            if key not in _NOT_SETTINGS and (labels or not key.startswith("PSEUDO_LABELS."))
        }


@dataclass(frozen=True)
class Pipeline:
    """One run of the driver: its inputs and the resulting stages.

    Attributes:
        output: Folder of the run.
        images: Folder, text list or COCO JSON of images without labels.
        listed: Those images; file names in labels are relative to its root.
        densecl: Config of the pre-training; None with ``backbone``.
        free_mask: Config of the coarse masks.
        segmenter: Config of the trainings and of self-training's labels.
        backbone: Weights to use instead of pre-training.
        masks: Labels to use instead of free masks.
        trained: Weights of a segmenter to use instead of free masks and the first training.
        val_json: Labels for evaluation, with ``val_images``; "" for none.
        val_images: Folder of their images.
        rounds: Rounds of self-training.
        seed: Seed of all trainings.
        num_gpus: Processes of all trainings and of labeling.
        sample: Number of images whose final predictions are kept for pictures.
    """

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

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """All stages in the order in which they run."""
        stages = [*self._backbone(), *self._first_training()]
        for number in range(1, self.rounds + 1):
            before = "train" if number == 1 else f"train_{number - 1}"
            stages.append(self._labels(f"labels_{number}", before))
            stages += self._training(f"train_{number}", self._file(f"labels_{number}", "labels.json"))
        last = f"train_{self.rounds}" if self.rounds else "train"
        return *stages, self._labels("sample", last, self.sample)

    @property
    def label_stages(self) -> dict[str, str]:
        """Titles and label files of the columns of the report's pictures."""
        titles = {} if self.trained else {"free masks": self._labels_file}
        for number in range(1, self.rounds + 1):
            what = "first training" if number == 1 else f"self-training {number - 1}"
            titles[f"labels of the {what}"] = self._file(f"labels_{number}", "labels.json")
        return titles | {"final predictions": self._file("sample", "labels.json")}

    @property
    def measured(self) -> dict[str, str]:
        """Titles of the rows of the report's results, and the stages that evaluate them."""
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
    def _training_settings(self) -> dict[str, object]:
        """Settings of every training other than its config."""
        return {"--seed": self.seed, "--num-gpus": self.num_gpus}

    @property
    def _weights(self) -> str:
        return self.backbone or self._file("densecl", "backbone.pth")

    @property
    def _labels_file(self) -> str:
        return self.masks or self._file("masks", "labels.json")

    def _weights_of(self, training: str) -> str:
        """Returns the weights of a training, or the given weights instead of the first training's."""
        given = self.trained if training == "train" else ""
        return given or self._file(training, _TRAINED)

    def _made_by(self, training: str) -> tuple[tuple[str, ...], dict[str, str]]:
        """Returns the stage that produces these weights, or the digest of given weights."""
        if training == "train" and self.trained:
            return (), {"segmenter (SHA-256)": digest_of_file(self.trained)}
        return (training,), {}

    def _file(self, stage: str, name: str) -> str:
        return str(self.output / stage / name)

    def _backbone(self) -> list[Stage]:
        method = self.densecl
        if self.backbone or method is None or (self.trained and not self.rounds):
            return []  # it is given, or no training starts from it
        trained, backbone = (self._file("densecl", name) for name in (_TRAINED, "backbone.pth"))
        data = ["--train-unlabelled", self.images, "--train-images", self.image_root]
        train = self._train("densecl", method, data)
        export = _command("export", "backbone", "--weights", trained, "--output", backbone)
        start = {"weights (SHA-256)": digest_of_file(method.weights)}
        settings = method.settings() | start | self._image_settings | self._training_settings
        return [Stage("densecl", [train, export], settings, [_TRAINED, "backbone.pth"])]

    def _first_training(self) -> list[Stage]:
        """Returns the free masks and the training on them, or the evaluation of the given segmenter."""
        if self.trained:
            weights, (after, given) = self._weights_of("train"), self._made_by("train")
            return self._evaluation("train", self.segmenter, weights, after, given)
        return [*self._free_masks(), *self._training("train", self._labels_file)]

    def _free_masks(self) -> list[Stage]:
        if self.masks:
            return []
        after = () if self.backbone else ("densecl",)
        given = {"backbone (SHA-256)": digest_of_file(self.backbone)} if self.backbone else {}
        command = self._label("free-mask", "masks", self.free_mask, self._weights)
        settings = self.free_mask.settings(labels=True) | given | self._image_settings
        stage = Stage("masks", [command], settings, ["labels.json"], after)
        return [stage, *self._evaluation("masks", self.free_mask, self._weights, after, given)]

    def _training(self, name: str, labels: str) -> list[Stage]:
        """Returns a training from the backbone, like the first one, on the given labels."""
        data = ["--train-json", labels, "--train-images", self.image_root]
        command = self._train(name, self.segmenter, data, [*_EVALUATION, "MODEL.WEIGHTS", self._weights])
        settings = self.segmenter.settings() | self._training_settings | self._root_setting
        after = [] if self.backbone else ["densecl"]
        if self.backbone:
            settings["backbone (SHA-256)"] = digest_of_file(self.backbone)
        if name == "train" and self.masks:
            settings["masks (SHA-256)"] = digest_of_file(self.masks)
        else:
            after.append("masks" if name == "train" else name.replace("train", "labels"))
        stage = Stage(name, [command], settings, [_TRAINED], tuple(after))
        weights, (trained_by, given) = self._weights_of(name), self._made_by(name)
        return [stage, *self._evaluation(name, self.segmenter, weights, trained_by, given)]

    def _labels(self, name: str, training: str, limit: int = 0) -> Stage:
        weights, (after, given) = self._weights_of(training), self._made_by(training)
        command = self._label("self-training", name, self.segmenter, weights, limit)
        settings = self.segmenter.settings(labels=True) | given | self._image_settings | {"limit": limit}
        return Stage(name, [command], settings, ["labels.json"], after)

    def _evaluation(
        self, name: str, method: Method, weights: str, after: tuple[str, ...], given: dict[str, str]
    ) -> list[Stage]:
        if not self.val_json:
            return []
        stage = f"{name}_evaluation"
        data = ["--eval-only", "--val-json", self.val_json, "--val-images", self.val_images]
        where = str(self.output / stage)
        tail = ["OUTPUT_DIR", where, "MODEL.WEIGHTS", weights, "TEST.CLASS_AGNOSTIC", "True"]
        command = [*self._train_command(method), *data, *method.options, *tail]
        truth = {"val_json (SHA-256)": digest_of_file(self.val_json), "val_images": _place(self.val_images)}
        return [Stage(stage, [command], method.settings() | given | truth, ["evaluation.json"], after)]

    def _train_command(self, method: Method) -> list[str]:
        return _command("train", "--config-file", method.config_file, "--num-gpus", str(self.num_gpus))

    def _train(
        self, name: str, method: Method, data: Sequence[str], options: Sequence[str] = ()
    ) -> list[str]:
        tail = ["OUTPUT_DIR", str(self.output / name), "SEED", str(self.seed)]
        return [*self._train_command(method), "--resume", *data, *method.options, *options, *tail]

    def _label(self, kind: str, name: str, method: Method, weights: str, limit: int = 0) -> list[str]:
        command = _command("labels", kind, "--config-file", method.config_file, "--images", self.images)
        command += ["--image-root", self.image_root, "--output", self._file(name, "labels.json")]
        command += ["--processes", str(self.num_gpus)] + (["--limit", str(limit)] if limit else [])
        return [*command, "--opts", *method.options, "MODEL.WEIGHTS", weights]


def _command(*words: str) -> list[str]:
    """Returns a command of the console script as arguments of Python."""
    return ["-m", "solo_d2", *words]


def _place(path: str) -> str:
    """Returns a path that does not depend on the current folder."""
    return os.path.abspath(os.path.expanduser(path))
