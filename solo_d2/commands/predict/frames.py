"""Segments a video, frame by frame in batches."""

from pathlib import Path

from tqdm import tqdm

from solo_d2.inputs import batched
from solo_d2.results.formats import coco_rows
from solo_d2.utils.video_file import open_sink
from solo_d2.utils.video_source import VideoSource
from solo_d2.visualization.results import FrameDrawer

from .pictures import Job, Outcome


def segment_video(source: VideoSource, target: Path, job: Job, device: str | None) -> Outcome:
    """Segments every frame and writes one video; Ctrl-C ends it and keeps the frames so far.

    Args:
        source: Video file or camera.
        target: The ``.mp4`` file to write.
        job: Model and thresholds.
        device: Device to run on; None lets the predictor choose.

    Returns:
        Number of frames, and rows whose ``image_id`` is the frame's number, counted from one.
    """
    predictor = job.predictor(device)
    categories = predictor.category_ids
    draw = FrameDrawer(predictor.metadata, job.parts)
    outcome = Outcome()
    progress = tqdm(source, total=source.num_frames, unit="frame", disable=None)
    try:
        with open_sink(target, source.fps) as sink:
            for frames in batched(progress, job.batch_size):
                for frame, result in zip(frames, predictor.predict(frames, channels="BGR"), strict=True):
                    outcome.num_done += 1
                    instances = result["instances"]
                    outcome.rows += coco_rows(instances, outcome.num_done, source.name, categories)
                    sink.write(draw(frame, result))
    except KeyboardInterrupt:
        progress.write("interrupted: the frames so far are kept")
    else:
        if outcome.num_done < (source.num_frames or 0):
            progress.write(f"{source.name} ends after {outcome.num_done} of {source.num_frames} frames")
    return outcome
