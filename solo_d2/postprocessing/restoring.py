"""From the padded network input's maps to the size of the results."""

from torch import Tensor

from solo_d2.layers import aligned_bilinear, resize


def restore_size(
    maps: Tensor,
    image_size: tuple[int, int],
    output_size: tuple[int, int],
    stride: int,
    *,
    aligned: bool = False,
) -> Tensor:
    """Upsamples maps to the padded network input, crops the padding and resizes to the output.

    Args:
        maps: (N, C, h, w) float over the padded network input.
        image_size: Height and width of the network input without padding.
        output_size: Height and width of the results.
        stride: Network-input pixels per map pixel.
        aligned: Whether maps are upsampled with aligned corners, as :func:`aligned_bilinear` does.

    Returns:
        (N, C, *output_size).
    """
    h, w = maps.shape[-2:]
    full = aligned_bilinear(maps, stride) if aligned else resize(maps, (h * stride, w * stride))
    full = full[..., : image_size[0], : image_size[1]]
    return full if tuple(image_size) == tuple(output_size) else resize(full, output_size)
