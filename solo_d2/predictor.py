"""The three-line predictor: from a config and weights, or a published model's name, to results."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from numbers import Integral, Real
from pathlib import Path
from typing import Any, cast, overload

import numpy as np
import torch
from torch import nn

from detectron2.config import CfgNode
from detectron2.data import Metadata, MetadataCatalog
from detectron2.data import transforms as T
from detectron2.modeling import build_model

from .checkpoint import ModelCard, Preprocessing
from .config import get_cfg
from .config.loading import is_exported, load_config
from .data.augmentations.resize import KeepOnePixel
from .data.datasets.builtin import register_all
from .data.datasets.coco_format import read_classes
from .data.datasets.panoptic_format import read_panoptic_classes
from .engine.dataset_checks import class_agnostic_metadata, meta_architecture
from .engine.model_card import card_metadata, set_class_counts, stored_card
from .engine.weights import build_checkpointer
from .inputs import Picture, Source, batched, pictures_in, refuse_many, to_array, warn_of_order
from .model_zoo.hub import commit_files
from .model_zoo.model_folder import find_model, save_model
from .modeling.inference import prepare_for_inference
from .results.prediction import Prediction, category_ids_of
from .utils.device import choose_device
from .utils.errors import InputError
from .utils.settings import build

_DATA_KEYS = ("DATASETS.TEST", "DATASETS.CUSTOM.TRAIN_JSON", "DATASETS.CUSTOM.VAL_JSON")
_PRECISION_KEY = "MODEL.INFERENCE.PRECISION"


class Predictor:
    """Segments pictures with one model on one device, without gradients.

    Examples:
        >>> from solo_d2 import Predictor
        >>> predictor = Predictor("mmdet/solov2_R50_3x")  # fetches the weights on first use
        >>> found = predictor("image.jpg")
        >>> found.pred_masks.shape, found.scores, found.class_names
        >>> found.save("drawn.jpg")

    Attributes:
        cfg: The config in use, a private copy; for an exported file, a config of its preprocessing.
        model: The model in evaluation mode.
        metadata: Names of the classes, see :func:`load_metadata`; may be replaced.
    """

    model: nn.Module

    def __init__(
        self,
        config: CfgNode | str | os.PathLike,
        weights: str | os.PathLike = "",
        *,
        opts: Sequence[str] = (),
        device: str | torch.device | None = None,
        score_threshold: float = 0.0,
        batch_size: int = 4,
    ):
        """
        Args:
            config: Config file, name of a published model (docs/MODEL_ZOO.md), a config node with this
                project's keys, or an exported file, .onnx, .xml or .pt2 (docs/deploy.md), which needs no
                other argument; ``MODEL.INFERENCE.PRECISION`` of ``opts`` sets OpenVINO's number format.
            weights: Weight file; if empty, ``cfg.MODEL.WEIGHTS``.
            opts: Pairs "KEY", "VALUE", ... that override the config, as on the command line. Data sets among
                them name the classes instead of the weight file.
            device: Device, such as "cuda:1"; if None, ``cfg.MODEL.DEVICE``, or the CPU without a GPU.
            score_threshold: Results below this final score (0 to 1) are left out.
            batch_size: Pictures per forward pass if a list is given. Pictures of one batch are padded to one
                size, which can change scores slightly if their sizes differ.

        Raises:
            InputError: The config is unknown or cannot be read, its model finds no instances, the weights are
                missing, damaged or of another model, or an argument has an impossible value.
        """
        check_numbers(batch_size, score_threshold)
        self.score_threshold = score_threshold
        self.batch_size = batch_size
        if is_exported(config):
            assert isinstance(config, str | os.PathLike)
            self._load_exported(config, weights, opts, device)
        else:
            self._load_trained(config, weights, opts, device)
        self.input_format = self.cfg.INPUT.FORMAT
        self._resize = KeepOnePixel(
            T.ResizeShortestEdge([self.cfg.INPUT.MIN_SIZE_TEST] * 2, self.cfg.INPUT.MAX_SIZE_TEST)
        )

    def _load_exported(
        self,
        path: str | os.PathLike,
        weights: str | os.PathLike,
        opts: Sequence[str],
        device: str | torch.device | None,
    ) -> None:
        """Sets model, config and classes from an exported file."""
        from .export import load_exported

        settings = dict(zip(opts[0::2], opts[1::2], strict=True))
        precision = settings.pop(_PRECISION_KEY, "fp32")
        if weights or settings or str(device or "cpu") != "cpu":
            raise InputError(
                f"{os.fspath(path)} has its weights and settings in it, and runs on the CPU; only "
                f"{_PRECISION_KEY} can be given"
            )
        model = load_exported(path, precision)
        self.model = model
        self.cfg = _config_of(model.description.card.architecture, model.description.preprocessing)
        self.metadata = card_metadata(model.description.card)

    def _load_trained(
        self,
        config: CfgNode | str | os.PathLike,
        weights: str | os.PathLike,
        opts: Sequence[str],
        device: str | torch.device | None,
    ) -> None:
        """Sets model, config and classes from a config and a weight file."""
        self.cfg = load_config(config, opts)
        if weights:
            self.cfg.MODEL.WEIGHTS = os.fspath(weights)
        if meta_architecture(self.cfg).evaluator_types is not None:
            raise InputError(f"{self.cfg.MODEL.META_ARCHITECTURE} is a pre-training and segments nothing")
        if not self.cfg.MODEL.WEIGHTS:
            raise InputError("no weights: name a file with weights=... or MODEL.WEIGHTS")
        self.cfg.MODEL.DEVICE = choose_device(device, self.cfg.MODEL.DEVICE)
        explicit = opts[0::2]
        names_data = any(key in explicit for key in _DATA_KEYS)
        card = ModelCard() if names_data else stored_card(self.cfg.MODEL.WEIGHTS)
        if card.categories:
            source = f"the weight file {self.cfg.MODEL.WEIGHTS}"
            set_class_counts(self.cfg, card_metadata(card), source, explicit)
        self.metadata = load_metadata(self.cfg, card)
        self.model = build_model(self.cfg).eval()
        build_checkpointer(self.cfg, self.model, exact=True).load(self.cfg.MODEL.WEIGHTS)
        build(prepare_for_inference, self.cfg, "MODEL.INFERENCE", model=self.model)

    @classmethod
    def from_pretrained(
        cls, model: str | os.PathLike, *, revision: str = "main", token: str | None = None, **options: Any
    ) -> "Predictor":
        """Loads a model that :meth:`push_to_hub` or :meth:`save_pretrained` wrote.

        Args:
            model: "owner/name" on the Hugging Face Hub, or a folder.
            revision: Branch, tag or commit on the hub.
            token: Access token; None for the one of ``hf auth login`` or ``HF_TOKEN``.
            **options: Arguments of :class:`Predictor`.

        Raises:
            InputError: There is no such model, no connection or no permission, or a file is damaged.
        """
        config, weights = find_model(model, revision, token)
        return cls(config, weights, **options)

    def save_pretrained(
        self, folder: str | os.PathLike, *, license: str = "", metrics: Mapping | None = None
    ) -> None:
        """Writes the model to a folder for :meth:`from_pretrained`: config, weights and a README.md.

        Args:
            folder: Folder, created if needed.
            license: License identifier that the page states, such as "apache-2.0".
            metrics: Results that it states, such as ``solo_d2.train(...).metrics``.

        Raises:
            InputError: The model is an exported file or has folded norms, or a file cannot be written.
        """
        self._save(folder, "", license, metrics)

    def push_to_hub(
        self,
        repository: str,
        *,
        license: str = "",
        metrics: Mapping | None = None,
        private: bool | None = None,
        token: str | None = None,
        message: str = "Upload a model of solo_d2",
    ) -> str:
        """Uploads the files of :meth:`save_pretrained` to the Hugging Face Hub in one commit.

        Args:
            repository: "owner/name", created if needed.
            license: See :meth:`save_pretrained`.
            metrics: Likewise.
            private: Whether a new repository is private; None for the owner's default.
            token: See :meth:`from_pretrained`; it must allow writing.
            message: Message of the commit.

        Returns:
            The address of the repository.

        Raises:
            InputError: See :meth:`save_pretrained`; or there is no connection or no permission.
        """
        with tempfile.TemporaryDirectory() as folder:
            files = self._save(folder, repository, license, metrics)
            return commit_files(repository, files, message, private=private, token=token)

    def _save(
        self, folder: str | os.PathLike, name: str, license: str, metrics: Mapping | None
    ) -> dict[str, Path]:
        if not self.cfg.MODEL.WEIGHTS:
            raise InputError("an exported file cannot be saved as a model again: load the weights it is from")
        return save_model(
            folder, self.cfg, self.model, self.metadata, license=license, metrics=metrics, name=name
        )

    @property
    def class_names(self) -> list[str]:
        """Names by ``pred_classes``; [] if neither weights nor config tell them."""
        return list(self.metadata.get("thing_classes", []))

    @property
    def category_ids(self) -> dict[int, int | str]:
        """The data set's category ids by ``pred_classes``, as far as they are known."""
        return category_ids_of(self.metadata)

    @overload
    def __call__(  # type: ignore[overload-overlap]  # a text is one picture, not a sequence of them
        self, pictures: Picture, *, channels: str | None = None
    ) -> Prediction: ...

    @overload
    def __call__(self, pictures: Sequence[Picture], *, channels: str | None = None) -> list[Prediction]: ...

    def __call__(
        self, pictures: Picture | Sequence[Picture], *, channels: str | None = None
    ) -> Prediction | list[Prediction]:
        """Segments one picture, or a list of them in batches.

        Args:
            pictures: Path, address or bytes of a file, PIL image or array, or a list of these. Arrays are
                uint8 (H, W, 3) or gray (H, W), values 0 to 255. Files from the web are kept in a cache.
            channels: Channel order of arrays, "RGB" or "BGR"; RGB if None. Others know their own.

        Returns:
            For one picture its :class:`Prediction`, which is Detectron2's ``Instances``, on the model's
            device, at the picture's size: ``pred_masks`` (N, H, W) bool, ``pred_boxes`` in pixels, ``scores``
            (N,) and ``pred_classes`` (N,). For a list, a list of them in the same order.

        Raises:
            InputError: A picture cannot be read, or an array is not a picture.
        """
        if isinstance(pictures, list | tuple):
            return list(self.stream(pictures, channels=channels))
        refuse_many(pictures)
        return self._predict_batch([(cast(Picture, pictures), channels)])[0]["instances"]

    def stream(self, source: Source, *, channels: str | None = None) -> Iterator[Prediction]:
        """Segments the pictures of a folder, video, list or generator in batches, as they are asked for.

        Args:
            source: A folder (with its subfolders, by name), a video file, or an iterable of pictures.
            channels: As in :meth:`__call__`.

        Yields:
            One prediction per picture, in order.

        Raises:
            InputError: See :meth:`__call__`.
        """
        pictures = ((picture, own or channels) for picture, own in pictures_in(source))
        for batch in batched(pictures, self.batch_size):
            yield from (result["instances"] for result in self._predict_batch(batch))

    def predict(self, pictures: Sequence[Picture], *, channels: str | None = None) -> list[dict]:
        """Returns all outputs of the model for each picture, on the CPU.

        Args:
            pictures: As in :meth:`__call__`.
            channels: As in :meth:`__call__`.

        Returns:
            One dict per picture: "instances" and, of a panoptic model, "panoptic_seg": (H, W) int32 segment
            ids, 0 for void, and its segments ("id", "isthing", "category_id", ...), whose things
            are instances that reach ``MODEL.PANOPTIC_FPN.COMBINE.INSTANCES_CONFIDENCE_THRESH``.

        Raises:
            InputError: See :meth:`__call__`.
        """
        if not isinstance(pictures, list | tuple):
            raise InputError(f"a {type(pictures).__name__} is not a list of pictures; put one into brackets")
        pairs = ((picture, channels) for picture in pictures)
        return [
            _on_cpu(result)
            for batch in batched(pairs, self.batch_size)
            for result in self._predict_batch(batch)
        ]

    def _predict_batch(self, batch: Sequence[tuple[Picture, str | None]]) -> list[dict]:
        """Segments pictures, each with the channel order of arrays."""
        results = self.segment([self.load(picture, channels) for picture, channels in batch])
        for (picture, channels), result in zip(batch, results, strict=True):
            path = os.fspath(picture) if isinstance(picture, str | os.PathLike) else ""
            read = partial(to_array, picture, "RGB", channels)
            result["instances"] = Prediction(result["instances"], read, path, self.metadata)
        return results

    def load(self, picture: Picture, channels: str | None = None) -> dict:
        """Reads a picture; returns an input of :meth:`segment`. See :meth:`__call__`."""
        if channels is None and self.input_format == "BGR" and getattr(picture, "ndim", 0) == 3:
            warn_of_order()
        return self.model_input(to_array(picture, self.input_format, channels))

    @torch.no_grad()
    def segment(self, inputs: list[dict]) -> list[dict]:
        """Segments a batch of :meth:`load`'s results in one forward pass; returns the model's outputs."""
        outputs = self.model(inputs)
        for output in outputs:
            found = output["instances"]
            output["instances"] = found[found.scores >= self.score_threshold]
        return outputs

    def model_input(self, array: np.ndarray) -> dict:
        """Resizes a picture as in evaluation.

        Args:
            array: (H, W, 3) uint8 in ``input_format``; see :func:`to_array`.

        Returns:
            Detectron2's input: "image" (3, h, w) float, and "height", "width" of the picture.
        """
        height, width = array.shape[:2]
        resized = self._resize.get_transform(array).apply_image(array)
        tensor = torch.as_tensor(np.ascontiguousarray(resized.transpose(2, 0, 1)))
        return {"image": tensor.float(), "height": height, "width": width}


def _config_of(architecture: str, said: Preprocessing) -> CfgNode:
    """Returns the default config with the architecture and the preprocessing of an exported file."""
    cfg = get_cfg()
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.DEVICE = architecture, "cpu"
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = list(said.mean or ()), list(said.std or ())
    cfg.INPUT.FORMAT = said.channels
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = said.short_side, said.long_side
    return cfg


def check_numbers(batch_size: int, score_threshold: float) -> None:
    """Raises ``InputError`` for a batch without pictures or a score that cannot be."""
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise InputError(f"batch_size {batch_size!r}: it must be a whole number of at least 1")
    if not isinstance(score_threshold, Real) or not 0 <= score_threshold <= 1:
        raise InputError(f"score_threshold {score_threshold!r}: it must be a number from 0 to 1")


def _on_cpu(result: dict) -> dict:
    """Moves a result to the CPU, without the semantic scores, which are large."""
    kept = {"instances": result["instances"].to("cpu")}
    if "panoptic_seg" in result:
        ids, segments = result["panoptic_seg"]
        kept["panoptic_seg"] = ids.cpu(), segments
    return kept


def load_metadata(cfg: CfgNode, card: ModelCard | None = None) -> Metadata:
    """Returns class names and category ids: the weight file's, own data's, or the test data set's.

    With ``TEST.CLASS_AGNOSTIC`` everything is an "object". A config of own data (``DATASETS.CUSTOM``) whose
    annotation file is not on this machine has no names; drawings then show class numbers.

    Args:
        cfg: The config.
        card: The card of the weight file; an empty one or None leaves the names to the config's data.
    """
    if cfg.TEST.CLASS_AGNOSTIC:
        return class_agnostic_metadata(cfg)
    if card and card.categories:
        return card_metadata(card)
    custom = cfg.DATASETS.CUSTOM
    for json_file, panoptic in (
        (custom.TRAIN_JSON, custom.TRAIN_PANOPTIC),  # the model's classes are in its order
        (custom.VAL_JSON, custom.VAL_PANOPTIC),
    ):
        if json_file and Path(json_file).is_file():
            if panoptic:
                return Metadata(**read_panoptic_classes(json_file))
            return Metadata(**read_classes(json_file))
    register_all()
    names = cfg.DATASETS.TEST
    return MetadataCatalog.get(names[0]) if names else Metadata()
