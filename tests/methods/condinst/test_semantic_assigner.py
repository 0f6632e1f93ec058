"""Semantic targets against a loop over pixels."""

import torch

from solo_d2.methods.condinst.targets import assign_semantic_targets


def test_smallest_mask_wins_pixel_by_pixel():
    generator = torch.Generator().manual_seed(0)
    images = []
    for count, size in ((6, (40, 61)), (0, (48, 64)), (1, (33, 7))):
        masks = torch.rand(count, *size, generator=generator) < torch.linspace(0.2, 0.7, count)[:, None, None]
        images.append((torch.randint(9, (count,), generator=generator), masks))
    classes, masks = zip(*images, strict=True)
    targets = assign_semantic_targets(classes, masks, (6, 8), stride=8, num_classes=9)
    for i, (labels, masks_i) in enumerate(images):
        areas = masks_i.flatten(1).sum(1)
        for y in range(6):
            for x in range(8):
                at = (8 * y + 4, 8 * x + 4)
                inside = at[0] < masks_i.shape[1] and at[1] < masks_i.shape[2]
                covering = [j for j in range(len(labels)) if inside and masks_i[j][at]]
                expected = int(labels[min(covering, key=lambda j: areas[j])]) if covering else 9
                assert targets[i, y, x] == expected
