"""What a model's weights expect of its input: the half of a checkpoint that its file does not hold."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace

from torch import Tensor

# Two statements of the same mean differ by rounding at most: 57.12 and 57.120, 0.485 * 255 and 123.675.
_TOLERANCE = 0.01


@dataclass(frozen=True)
class Preprocessing:
    """Input conventions; None stands for "unknown" or "does not matter".

    Attributes:
        channels: order of the colour channels, "RGB" or "BGR".
        mean: subtracted per channel, in that order, of values 0 to 255.
        std: divided by afterwards.
        stride_in_1x1: whether a bottleneck halves the resolution in its first 1x1 convolution.
        short_side: of the resized test image, in pixels.
        long_side: bound of its longer side.
        usual_for_layout: True where nothing but the names of the weights says so: most models with such names
            are like this, another one may not be.
    """

    channels: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    stride_in_1x1: bool | None = None
    short_side: int | None = None
    long_side: int | None = None
    usual_for_layout: bool | None = None

    def as_stated_by(self, weights: Mapping[str, Tensor]) -> "Preprocessing":
        """The same with the mean and std of a checkpoint that keeps them (``pixel_mean``, ``pixel_std``).

        Photographs are brightest in red and darkest in blue, so the mean says what the order of channels is.

        Args:
            weights: by foreign name.
        """
        stated = {
            key: tuple(round(value, 3) for value in weights[f"pixel_{key}"].flatten().tolist())
            for key in ("mean", "std")
            if f"pixel_{key}" in weights
        }
        mean = stated.get("mean")
        if mean is None:
            return replace(self, **stated, usual_for_layout=True)
        if mean[0] == mean[-1]:
            return replace(self, **stated)
        return replace(self, **stated, channels="RGB" if mean[0] > mean[-1] else "BGR")

    def differences(self, config: "Preprocessing") -> list[str]:
        """What a config has to change to treat images as these weights expect.

        Args:
            config: what the config does.

        Returns:
            One "KEY is ..., these weights want ..." for each difference, or "usual for this layout is ...";
            sizes are not among them, see :meth:`size_difference`.
        """
        want = "usual for this layout is" if self.usual_for_layout else "these weights want"
        keys = {
            "channels": "INPUT.FORMAT",
            "mean": "MODEL.PIXEL_MEAN",
            "std": "MODEL.PIXEL_STD",
            "stride_in_1x1": "MODEL.RESNETS.STRIDE_IN_1X1",
        }
        return [
            f"{key} is {_shown(there)}, {want} {_shown(here)}"
            for name, key in keys.items()
            if _differ(here := getattr(self, name), there := getattr(config, name))
        ]

    def size_difference(self, config: "Preprocessing") -> str:
        """How the test size differs from the one the weights were published or trained with; "" if not."""
        sizes = [(one.short_side, one.long_side) for one in (self, config)]
        if None in sizes[0] or None in sizes[1] or sizes[0] == sizes[1]:
            return ""
        return (
            f"INPUT.MIN_SIZE_TEST and MAX_SIZE_TEST are {sizes[1][0]} and {sizes[1][1]}; the results known "
            f"of these weights were made with {sizes[0][0]} and {sizes[0][1]}"
        )

    def as_dict(self) -> dict:
        """Plain values for storing beside weights, without what is unknown."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(self).items()
            if value is not None
        }

    @classmethod
    def from_dict(cls, stored: Mapping) -> "Preprocessing":
        """Reads :meth:`as_dict`; keys of other versions of this project are left out."""
        known = {field.name for field in fields(cls)}
        values = {key: tuple(v) if isinstance(v, list) else v for key, v in stored.items()}
        return cls(**{key: value for key, value in values.items() if key in known})


def _differ(one, other) -> bool:
    if one is None or other is None:
        return False
    if isinstance(one, tuple):
        return any(abs(a - b) > _TOLERANCE for a, b in zip(one, other, strict=False)) or len(one) != len(
            other
        )
    return one != other


def _shown(value) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


# torchvision's, with which the original SOLO, mmdet, FreeSOLO and DenseCL train.
TORCHVISION = Preprocessing(
    channels="RGB",
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    stride_in_1x1=False,
)
# The original Caffe ResNets', Detectron2's default and so AdelaiDet's.
CAFFE = Preprocessing(channels="BGR", mean=(103.53, 116.28, 123.675), std=(1.0, 1.0, 1.0), stride_in_1x1=True)
