import json

from solo_d2.evaluation.results import flatten_results, write_results


def test_nested_results_become_paths():
    results = {"segm": {"AP": 50, "AP-a": float("nan")}, "set": {"bbox": {"AP": 1.5}}}
    expected = {"segm/AP": 50.0, "segm/AP-a": None, "set/bbox/AP": 1.5}
    assert flatten_results(results) == expected
    assert flatten_results({}) == {}


def test_file_is_plain_json(tmp_path):
    path = tmp_path / "evaluation.json"
    write_results({"segm": {"AP": float("nan"), "AP50": 2.0}}, str(path))

    def refuse(text):
        raise AssertionError(text)

    read = json.loads(path.read_text(), parse_constant=refuse)
    assert read == {"segm/AP": None, "segm/AP50": 2.0}
    assert [p.name for p in tmp_path.iterdir()] == ["evaluation.json"]
