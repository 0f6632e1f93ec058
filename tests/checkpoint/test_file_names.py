import pytest

from solo_d2.checkpoint.file_names import RESUME, iteration_of, resume_name


@pytest.mark.parametrize(
    ("name", "iteration"),
    [
        ("model_0000099.pth", 99),
        ("out/resume_0000007.pth", 7),
        ("model_final.pth", None),
        ("model_best.pth", None),
        ("my_model_0000099.pth", None),
        ("model_0000099.pth.tmp", None),
    ],
)
def test_iteration_of(name, iteration):
    assert iteration_of(name) == iteration


def test_checkpoints_for_resuming_are_told_from_those_to_keep():
    assert iteration_of(f"{resume_name(12)}.pth", [RESUME]) == 12
    assert iteration_of("model_0000012.pth", [RESUME]) is None
