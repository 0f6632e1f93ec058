"""The CUDA kernels without a GPU: compiled by nvcc, and run on the CPU by tests/ops/cuda_on_host.h."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from solo_d2.ops.mask_iou import reference as mask_iou_reference
from solo_d2.ops.matrix_nms import reference as matrix_nms_reference
from solo_d2.ops.pack_masks import reference as pack_masks_reference
from solo_d2.ops.restore_masks import reference as restore_masks_reference
from solo_d2.structures import boxes_from_masks

HERE = Path(__file__).parent
CUDA = HERE.parents[1] / "solo_d2" / "ops" / "csrc" / "cuda"
COMPILER = shutil.which("g++") or shutil.which("clang++")
NVCC = shutil.which("nvcc")
INSTANTIATIONS = """
#include "kernels.cuh"
#include "restore_kernels.cuh"
#include <cuda_bf16.h>
#include <cuda_fp16.h>
namespace solo_d2 {
#define PACK(T) template __global__ void pack_kernel<T>( \\
    const T*, int64_t, float, uint32_t*, int64_t, int64_t*, float*);
#define DECAY(T) template __global__ void decay_kernel<T>( \\
    const int*, const int64_t*, const double*, const T*, int, Decay, double, T*);
PACK(float) PACK(uint8_t) PACK(__half) PACK(__nv_bfloat16)
DECAY(float) DECAY(double)
#define EXTENT(T) template __global__ void extent_kernel<T>(const T*, Way, Way, float, int*, int*);
#define RESTORE(T) template __global__ void restore_kernel<T>( \\
    const T*, int, Way, Way, float, const int*, uint8_t*, int*);
EXTENT(float) EXTENT(__half) EXTENT(__nv_bfloat16)
RESTORE(float) RESTORE(__half) RESTORE(__nv_bfloat16)
}
"""


@pytest.mark.skipif(NVCC is None, reason="nvcc is not here")
@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90"])
def test_nvcc_compiles(architecture, tmp_path):
    source = tmp_path / "instantiations.cu"
    source.write_text(INSTANTIATIONS)
    command = [NVCC, "-c", "-std=c++17", f"-arch={architecture}", "-Werror", "all-warnings", f"-I{CUDA}"]
    done = subprocess.run([*command, source, "-o", tmp_path / "out.o"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    if COMPILER is None:
        pytest.skip("no C++ compiler is here")
    library = tmp_path_factory.mktemp("cuda") / "cuda_on_host.so"
    flags = ["-std=c++20", "-O1", "-shared", "-fPIC", "-pthread", "-Wno-unknown-pragmas", f"-I{CUDA}"]
    command = [COMPILER, *flags, HERE / "cuda_on_host.cpp", "-o", library]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library))


def pointer(tensor: torch.Tensor | None):
    return ctypes.c_void_p(tensor.data_ptr() if tensor is not None else None)


def pack(kernels, masks, threshold=0.5):
    pixels = masks[0].numel()
    bits = torch.full((len(masks), -(-pixels // 64)), -1)
    area, soft_sum = torch.zeros(len(masks), dtype=torch.int64), torch.zeros(len(masks))
    function = kernels.pack_float if masks.is_floating_point() else kernels.pack_uint8
    function(
        pointer(masks), len(masks), ctypes.c_int64(pixels), ctypes.c_float(threshold),
        pointer(bits), pointer(area), pointer(soft_sum),
    )  # fmt: skip
    return bits, area, soft_sum


def intersections(kernels, bits, labels, parts):
    count = len(bits)
    out = torch.zeros(count, count, dtype=torch.int32)
    halves = ctypes.c_int64(2 * bits.shape[1])
    kernels.intersections(pointer(bits), pointer(labels), count, halves, parts, pointer(out))
    return out


def random_masks(count, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    soft = torch.rand(count, *size, generator=generator) ** (3 * torch.rand(count, 1, 1, generator=generator))
    if count > 4:
        soft[2] = soft[1]
        soft[3] = soft[1]
        soft[4] = 0
    return soft


@pytest.mark.parametrize("size", [(1, 1), (5, 13), (8, 8), (96, 257)])
@pytest.mark.parametrize("soft", [True, False])
def test_packing_equals_the_reference(kernels, size, soft):
    masks = random_masks(6, size)
    masks = masks if soft else masks > 0.4
    bits, area, soft_sum = pack(kernels, masks)
    expected = pack_masks_reference(masks, 0.5)
    assert torch.equal(bits, expected[0])
    assert torch.equal(area, expected[1])
    torch.testing.assert_close(soft_sum, expected[2], rtol=1e-6, atol=0)


@pytest.mark.parametrize(("count", "size", "parts"), [(1, (4, 4), 1), (7, (9, 31), 1), (70, (40, 73), 3)])
@pytest.mark.parametrize("num_labels", [None, 3])
def test_scores_equal_the_reference(kernels, count, size, parts, num_labels):
    masks = random_masks(count, size)
    bits = pack_masks_reference(masks, 0.5)[0]
    labels = None if num_labels is None else torch.arange(count) % num_labels
    scores = torch.linspace(1, 0.1, count)
    common = intersections(kernels, bits, labels, parts)
    inside = (masks > 0.5).flatten(1).double()
    expected = inside @ inside.T
    if labels is not None:
        expected *= labels[:, None] == labels
    assert torch.equal(common.double(), expected.triu())
    iou = torch.full((count, count), -1.0)
    kernels.iou(pointer(common), pointer(labels), count, pointer(iou))
    torch.testing.assert_close(iou, mask_iou_reference(bits, labels), rtol=0, atol=1e-7)
    for linear, kernel in enumerate(("gaussian", "linear")):
        decayed = torch.full((count,), -1.0)
        kernels.decay(
            pointer(common), pointer(labels), pointer(scores), count, linear, ctypes.c_double(2.0),
            pointer(decayed),
        )  # fmt: skip
        reference = matrix_nms_reference(bits, labels, scores, kernel)
        torch.testing.assert_close(decayed, reference, rtol=0, atol=1e-6)


def test_words_of_one_class_only_are_visited(kernels):
    """Blocks without any pair of one class leave zeros."""
    bits = pack_masks_reference(random_masks(130, (4, 16)), 0.5)[0]
    labels = torch.arange(130)
    common = intersections(kernels, bits, labels, parts=1)
    assert torch.equal(common, torch.diag(common.diagonal()))


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(
    ("mask", "stride", "image", "output"),
    [
        ((20, 31), 4, (77, 121), (77, 121)),
        ((20, 31), 4, (80, 124), (131, 70)),
        ((33, 40), 2, (51, 77), (90, 90)),
        ((9, 70), 1, (9, 70), (40, 150)),
    ],
)
def test_restored_masks_equal_the_reference(kernels, mask, stride, image, output, aligned):
    masks = random_masks(6, mask)
    masks[5] = 0
    masks[5, -1, -1] = 1  # at the padding's edge
    restored = torch.full((6, *output), 7, dtype=torch.uint8)
    measures = torch.full((6, 5), -7, dtype=torch.int32)
    sizes = torch.tensor([*mask, *image, *output], dtype=torch.int32)
    kernels.restore(
        pointer(masks), 6, pointer(sizes), stride, int(aligned), ctypes.c_float(0.5), 2,
        pointer(restored), pointer(measures),
    )  # fmt: skip
    expected = restore_masks_reference(masks, 0.5, image, output, stride, aligned)[0]
    # The roundings are not torch's everywhere: a value may fall on the other side of the threshold.
    assert (restored != expected).float().mean() < 1e-4
    found = restored.bool()
    assert torch.equal(measures[:, 4].long(), found.flatten(1).sum(1))
    exact = measures[:, :4].float() * (measures[:, 4:] > 0)
    assert torch.equal(exact, boxes_from_masks(found))
