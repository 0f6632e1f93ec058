"""Segments pictures, folders, videos or a webcam with a trained model; needs no display.

Its flags are those of ``solo-d2 predict``; -h shows them after copyable commands.
"""

from solo_d2.commands import predict
from solo_d2.engine.cli import run_cli

COMMANDS = """
  python demo/demo.py --input a.jpg
  python demo/demo.py --config-file FILE.yaml --input a.jpg 'shots/*.png' folder/ --output out \\
      --opts MODEL.WEIGHTS model.pth
  python demo/demo.py --config-file FILE.yaml --input folder/ --json out/results.json \\
      --num-gpus 2 --batch-size 8 --opts MODEL.WEIGHTS model.pth
  python demo/demo.py --config-file FILE.yaml --video-input in.mp4 --output out.mp4 \\
      --confidence-threshold 0.4 --opts MODEL.WEIGHTS model.pth
"""


def main() -> None:
    """Runs ``solo-d2 predict``."""
    predict.run(predict.build_parser(COMMANDS).parse_args())


if __name__ == "__main__":
    run_cli(main)
