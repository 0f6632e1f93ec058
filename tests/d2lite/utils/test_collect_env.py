"""The environment report."""

import pytest
import torch

import detectron2
from detectron2.utils import collect_env


def test_report_names_versions_and_place():
    report = collect_env.collect_env_info()
    assert torch.__version__ in report and detectron2.__version__ in report
    assert "fvcore" in report


@pytest.mark.d2lite_only
def test_report_says_which_it_is():
    assert "d2lite (pure Python" in collect_env.collect_env_info()
