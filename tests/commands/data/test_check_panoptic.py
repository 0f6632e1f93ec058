import pytest


@pytest.fixture
def run(run_command, panoptic_set):
    flags = ["--json", panoptic_set.json, "--panoptic", panoptic_set.panoptic]
    return lambda: run_command("data check-panoptic", *flags, "--images", panoptic_set.images)


def test_sound_set(run, capsys):
    run()
    assert capsys.readouterr().out.endswith("2 images, 5 segments, nothing wrong\n")


def test_problems_are_listed(run, panoptic_set, capsys):
    panoptic_set.content["annotations"][0]["segments_info"][1]["area"] = 5
    panoptic_set.write(panoptic_set.content)
    with pytest.raises(SystemExit) as info:
        run()
    assert info.value.code == 1
    assert capsys.readouterr().out == (
        "1 x segment with another number of pixels than its area (1.png: segment 301 has 160, listed as 5)\n"
    )
    panoptic_set.content["annotations"] = []
    panoptic_set.write(panoptic_set.content)
    with pytest.raises(SystemExit) as info:
        run()
    error = capsys.readouterr().err
    assert info.value.code == 2 and "has no annotation" in error and error.count("\n") == 1
