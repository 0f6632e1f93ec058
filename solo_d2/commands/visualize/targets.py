"""Names of the pictures that show an input."""

import os
from collections.abc import Sequence
from pathlib import Path

from solo_d2.utils.output_paths import output_paths, refuse_control_characters, refuse_overwriting


def targets_by_input(
    output: str | os.PathLike, inputs: Sequence[str], kinds: Sequence[str]
) -> dict[str, dict[str, Path]]:
    """Returns the files that show each input, ``<stem>_<kind>.jpg`` by kind.

    Args:
        output: Folder of the files.
        inputs: Pictures; one given twice counts once.
        kinds: Pictures of one input.

    Raises:
        InputError: A path has control characters, or a file would overwrite an input.
    """
    different = list(dict.fromkeys(inputs))
    for path in different:
        refuse_control_characters(path)
    named = output_paths(output, [f"{Path(path).stem}.jpg" for path in different])
    targets = {
        path: {kind: name.with_stem(f"{name.stem}_{kind}") for kind in kinds}
        for path, name in zip(different, named, strict=True)
    }
    refuse_overwriting((file for files in targets.values() for file in files.values()), different)
    return targets
