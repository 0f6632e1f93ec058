"""Exported models in ONNX Runtime and OpenVINO against the usual PyTorch form, on one CPU thread.

    OMP_NUM_THREADS=1 python benchmarks/bench_runtimes.py --models light_R18 light_R50
    OMP_NUM_THREADS=1 python benchmarks/bench_runtimes.py --repeats 5 --json rows.json

Images to instances with masks of the image's size, 100 candidates, random weights. The baseline is the same
network as public implementations run it: contiguous tensors, norms not folded, eager fp32, and for SOLOv2
their post-processing (``bench_solov2.infer_at_once``); CondInst's baseline keeps this project's. Times are
CPU time.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from bench_solov2 import infer_at_once
from timing import build_parser, interleaved_ms, report, row

from detectron2.data import Metadata
from detectron2.modeling import build_model
from solo_d2.config.loading import load_config
from solo_d2.export import export_onnx, export_openvino, load_exported, quantize_onnx, quantize_openvino
from solo_d2.methods.grid.model import GridSegmenter
from solo_d2.methods.grid.postprocess import cell_scores

# Config, and input size.
MODELS = {
    "solov2_R50": ("SOLOv2/solov2_R50_3x", (800, 1216)),
    "light_R18": ("SOLOv2/solov2_light_448_R18_3x", (448, 672)),
    "light_R50": ("SOLOv2/solov2_light_448_R50_3x", (448, 672)),
    "condinst": ("CondInst/condinst_R50_3x", (800, 1216)),
}
CANDIDATES = 100
SOLOV2 = ("MODEL.SOLOV2.UPDATE_THR", "0.0", "MODEL.SOLOV2.MAX_PER_IMG", str(CANDIDATES))
CONDINST = ("MODEL.FCOS.INFERENCE_TH_TEST", "0.0", "MODEL.FCOS.PRE_NMS_TOPK_TEST", str(CANDIDATES))


def make_image(size: tuple[int, int], seed: int) -> torch.Tensor:
    """Noise of several scales, (3, H, W), values 0 to 255."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 9, 13, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic")[0]
    return ((smooth + 0.1 * torch.randn(3, *size, generator=generator)) * 255).clamp(0, 255)


def make_model(config: str, image: torch.Tensor):
    """Returns config and model with random weights; ``CANDIDATES`` pass its threshold on an image."""

    def build(*opts):
        torch.manual_seed(0)
        cfg = load_config(config, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", *opts])
        model = build_model(cfg).eval()
        for module in model.modules():  # statistics that are not those of an identity
            if hasattr(module, "running_var"):
                module.running_var.fill_(1.5)
        return cfg, model

    if "condinst" in config:
        return build(*CONDINST)
    cfg, model = build(*SOLOV2, "MODEL.SOLOV2.SCORE_THR", "0.0")
    logits, _ = model.predict(model.backbone(model.normalize(image)[None]))
    best = cell_scores(logits).flatten().topk(CANDIDATES + 1).values
    return build(*SOLOV2, "MODEL.SOLOV2.SCORE_THR", str(best[-2:].mean().item()))


def run_as_public(model, image: torch.Tensor):
    """The network on contiguous tensors, and the usual post-processing."""
    size = (image.shape[1], image.shape[2])
    features = model.backbone(model.normalize(image)[None].contiguous())
    if not isinstance(model, GridSegmenter):
        return model.inference(features, [size], [size])[0].pred_masks
    logits, masks = model.predict(features)
    return infer_at_once(model.postprocess, cell_scores(logits)[0], masks.kernels[0], masks.feature[0], size)


def measure(name: str, repeats: int) -> list[dict]:
    """Exports one model in all forms; returns a row per form."""
    config, size = MODELS[name]
    image = make_image(size, 0)
    cfg, model = make_model(config, image)
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "model.onnx"
        export_onnx(model, cfg, Metadata(), plain, num_candidates=CANDIDATES)
        calibration = [make_image(size, seed) for seed in range(1, 3)]
        files = {
            "onnxruntime": plain,
            "onnxruntime int8": Path(folder) / "int8.onnx",
            "openvino": Path(folder) / "model.xml",
            "openvino int8": Path(folder) / "int8.xml",
        }
        quantize_onnx(plain, files["onnxruntime int8"], calibration)
        export_openvino(plain, files["openvino"])
        quantize_openvino(plain, files["openvino int8"], calibration)
        exported = {form: load_exported(path) for form, path in files.items()}
    model.to(memory_format=torch.contiguous_format)
    inputs = [{"image": image}]
    functions: list[Callable[[], object]] = [partial(run_as_public, model, image)]
    functions += [partial(one, inputs) for one in exported.values()]
    baseline, *times = interleaved_ms(functions, repeats, time.process_time)
    return [row(f"{name} {form}", ours, baseline, "ms") for form, ours in zip(files, times, strict=True)]


def main() -> None:
    parser = build_parser(__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="default: all")
    args = parser.parse_args()
    report([one for name in args.models for one in measure(name, args.repeats)], args.json)


if __name__ == "__main__":
    with torch.no_grad():
        main()
