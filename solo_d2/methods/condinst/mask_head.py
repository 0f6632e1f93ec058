"""CondInst's bottom branch, mask head, and training-only semantic branch (sections 2.1 to 2.3).

The mask head is a few 1x1 convolutions whose weights are predicted for each instance.

B: images; M: instances per image; E: channels of the bottom branch; D: numbers per instance; h, w: map size.

All instances of an image share its features and coordinates. Let x be a pixel's position, p the instance's
position, and s its size of interest. The first layer's W (p - x) / s is a matrix product with the shared x
plus a constant per instance, so neither features nor coordinates are copied per instance.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detectron2.layers import Conv2d
from solo_d2.layers import ConvTower, aligned_bilinear, conv_block, init_conv
from solo_d2.layers.conv_tower import Norm
from solo_d2.utils.errors import InputError


class MaskBranch(nn.Module):
    """Sums pyramid levels at the finest level's size and reduces them to a few channels."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_levels: int,
        channels: int,
        num_convs: int,
        out_channels: int,
        norm: Norm,
    ):
        """
        Args:
            in_channels: Channels of every pyramid level.
            num_levels: Number of levels fused, each half the size of the one before.
            channels: Width.
            num_convs: Convolutions after the fusion.
            out_channels: E, channels of the result.
            norm: Normalization of every convolution but the last.
        """
        super().__init__()
        self.refiners = nn.ModuleList(conv_block(in_channels, channels, norm) for _ in range(num_levels))
        self.tower = ConvTower(channels, channels, num_convs, norm)
        self.predictor = init_conv(Conv2d(channels, out_channels, 1))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """
        Args:
            features: One (B, in_channels, H / 2^l, W / 2^l) per level, finest first.

        Returns:
            (B, E, H, W).
        """
        fused = self.refiners[0](features[0])
        for refiner, feature in zip(list(self.refiners)[1:], features[1:], strict=True):
            fused = fused + aligned_bilinear(refiner(feature), fused.shape[2] // feature.shape[2])
        return self.predictor(self.tower(fused))


class SemanticBranch(nn.Sequential):
    """Maps a pyramid level (B, in_channels, H, W) to class logits (B, C, H, W)."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        channels: int,
        norm: Norm,
        prior_prob: float,
    ):
        """
        Args:
            in_channels: Channels of the level.
            num_classes: C.
            channels: Width.
            norm: Normalization of the convolutions.
            prior_prob: Initial foreground probability of every pixel and class.
        """
        predictor = init_conv(Conv2d(channels, num_classes, 1), prior_prob)
        super().__init__(ConvTower(in_channels, channels, 2, norm), predictor)


COORDINATES = ("relative", "absolute", "none")

# Scratch memory of inference as a fraction of the result's memory.
_SCRATCH_SHARE = 0.15


class DynamicMaskHead(nn.Module):
    """Applies predicted mask heads; it has no parameters of its own (CondInst paper, section 2.2)."""

    def __init__(
        self,
        *,
        in_channels: int,
        channels: int,
        num_layers: int,
        coordinates: str,
        stride: int,
        upsampling: int,
    ):
        """
        Args:
            in_channels: E.
            channels: Width of the hidden layers.
            num_layers: Depth.
            coordinates: "relative" to the instance's location, "absolute" (-1 to 1 over the map) or "none".
            stride: Input pixels per feature pixel.
            upsampling: Result pixels per feature pixel.

        Raises:
            InputError: If ``coordinates`` is unknown, or the head would have no input.
        """
        super().__init__()
        if coordinates not in COORDINATES:
            raise InputError(f"coordinates must be one of {', '.join(COORDINATES)}, not '{coordinates}'.")
        self.num_coordinates = 0 if coordinates == "none" else 2
        if in_channels + self.num_coordinates == 0:
            raise InputError("coordinates 'none' needs in_channels of at least 1.")
        widths = [in_channels + self.num_coordinates, *[channels] * (num_layers - 1), 1]
        self.layer_shapes = list(zip(widths[1:], widths[:-1], strict=True))
        self.coordinates = coordinates
        self.stride = stride
        self.upsampling = upsampling

    @property
    def num_params(self) -> int:
        """D: all weights, layer by layer, (output, input) with coordinates x, y first; then all biases."""
        return sum(out * (inner + 1) for out, inner in self.layer_shapes)

    def forward(
        self, features: Tensor, params: Tensor, locations: Tensor, sizes: Tensor, at_once: bool = False
    ) -> Tensor:
        """Predicts masks; without gradients, in chunks that need only a fraction of the result's memory.

        Args:
            features: (B, E, h, w) float32.
            params: (B, M, D) float32.
            locations: (B, M, 2) x, y of the instances in input pixels.
            sizes: (B, M) sizes of interest in input pixels, the unit of relative coordinates.
            at_once: Whether to predict without chunks even without gradients.

        Returns:
            (B, M, upsampling * h, upsampling * w) logits.
        """
        if at_once or torch.is_grad_enabled():
            return self._predict(features, params, locations, sizes)
        batch, _, height, width = features.shape
        count = params.shape[1]
        masks = features.new_empty(batch, count, self.upsampling * height, self.upsampling * width)
        # A layer holds its input and its output: this many maps of h * w per instance are alive.
        scratch = 2 * max(out for out, _ in self.layer_shapes)
        chunk = max(int(_SCRATCH_SHARE * count * self.upsampling**2 / scratch), 1)
        for first in range(0, count, chunk):
            part = slice(first, first + chunk)
            masks[:, part] = self._predict(features, params[:, part], locations[:, part], sizes[:, part])
        return masks

    def _predict(self, features: Tensor, params: Tensor, locations: Tensor, sizes: Tensor) -> Tensor:
        batch, count = params.shape[:2]
        layers = self._split(params)
        hidden = self._first_layer(features, *layers[0], locations, sizes)
        height, width = features.shape[2:]
        for weight, bias in layers[1:]:
            # One batched product for all instances of all images.
            hidden = hidden.relu_().reshape(batch * count, weight.shape[3], height * width)
            hidden = torch.baddbmm(bias.flatten(0, 1)[..., None], weight.flatten(0, 1), hidden)
        masks = aligned_bilinear(hidden.reshape(batch * count, 1, height, width), self.upsampling)
        return masks.view(batch, count, *masks.shape[2:])

    def _split(self, params: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Returns weights (B, M, output, input) and biases (B, M, output) of every layer."""
        lengths = [out * inner for out, inner in self.layer_shapes] + [out for out, _ in self.layer_shapes]
        parts = params.split(lengths, dim=2)
        depth = len(self.layer_shapes)
        return [
            (weight.unflatten(2, shape), bias)
            for weight, bias, shape in zip(parts[:depth], parts[depth:], self.layer_shapes, strict=True)
        ]

    def _first_layer(
        self, features: Tensor, weight: Tensor, bias: Tensor, locations: Tensor, sizes: Tensor
    ) -> Tensor:
        """Applies the first layer's (B, M, c, E + 2) weights by one product per image: (B, M * c, h * w)."""
        on_coordinates, on_features = weight.split([self.num_coordinates, features.shape[1]], dim=3)
        seen = features.flatten(2)
        if self.coordinates != "none":
            seen = torch.cat([self._pixels(features).expand(seen.shape[0], -1, -1), seen], dim=1)
        # W (p - x) / s = (W / s) p - (W / s) x: the first term joins the bias, the second the shared product.
        if self.coordinates == "relative":
            on_coordinates = on_coordinates / sizes[..., None, None]
            bias = bias + (on_coordinates * locations[:, :, None]).sum(3)
            on_coordinates = -on_coordinates
        weight = torch.cat([on_coordinates, on_features], dim=3)
        return torch.baddbmm(bias.flatten(1)[..., None], weight.flatten(1, 2), seen)

    def _pixels(self, features: Tensor) -> Tensor:
        """Returns every pixel's x and y, in input pixels or -1 to 1: (2, h * w) float32."""
        height, width = features.shape[2:]
        axes = []
        for length in (height, width):
            axis = torch.arange(length, device=features.device, dtype=torch.float32)
            if self.coordinates == "relative":
                axes.append(axis * self.stride + self.stride // 2)
            else:
                axes.append(2 * axis / max(length - 1, 1) - 1)
        y, x = torch.meshgrid(*axes, indexing="ij")
        return torch.stack([x, y]).flatten(1)
