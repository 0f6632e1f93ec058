import numpy as np
import pytest
from PIL import Image


def test_maps_are_written(run_command, panoptic_set, tmp_path, capsys):
    flags = ["--json", panoptic_set.json, "--panoptic", panoptic_set.panoptic, "--output"]
    run_command("data semantic-maps", *flags, tmp_path / "maps")
    assert capsys.readouterr().out.startswith("2 semantic maps -> ")
    assert np.unique(np.asarray(Image.open(tmp_path / "maps" / "1.png"))).tolist() == [0, 1, 255]
    with pytest.raises(SystemExit) as info:
        run_command("data semantic-maps", *flags, panoptic_set.panoptic)
    assert info.value.code == 2 and "name another folder" in capsys.readouterr().err
