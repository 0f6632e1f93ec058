"""Published models from the command line, without a network."""

import pytest

from solo_d2.model_zoo import load_catalogue
from solo_d2.model_zoo.handler import cached_path

NAME = "mmdet/solov2_R50_3x"


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)


def test_list(run_command, capsys):
    run_command("zoo list")
    lines = capsys.readouterr().out.splitlines()
    catalogue = load_catalogue()
    assert len(lines) == 2 + len(catalogue.models) + len(catalogue.backbones)
    run_command("zoo list", "solov2_r50", "3x", "mmdet")
    (line,) = capsys.readouterr().out.splitlines()[2:]
    assert line.split()[0] == NAME
    with pytest.raises(SystemExit):
        run_command("zoo list", "resnet900")
    assert capsys.readouterr().err == "error: no published model has all of resnet900: leave a word out\n"


def test_show(run_command, capsys):
    run_command("zoo show", NAME)
    said = capsys.readouterr().out
    assert f"MODEL.WEIGHTS: solo_d2://{NAME}\n" in said and "(not downloaded yet)\n" in said
    assert "SHA-256: fed092d4...\n" in said and "size: unknown\n" in said
    run_command("zoo show", "torchvision/R18")
    said = capsys.readouterr().out
    assert "size: 44.7 MiB\n" in said and "SHA-256: f37072fd47e89c5e82" in said
    with pytest.raises(SystemExit):
        run_command("zoo show", "mmdet/solov2_R5_3x")
    assert "did you mean mmdet/solov2_R50_3x" in capsys.readouterr().err


def test_download(run_command, capsys, monkeypatch):
    with pytest.raises(SystemExit) as info:
        run_command("zoo download", NAME)
    error = capsys.readouterr().err
    assert info.value.code == 2 and "could not be fetched (no network)" in error and error.count("\n") == 1
    path = cached_path(load_catalogue().find(NAME))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"weights")
    monkeypatch.setattr("solo_d2.model_zoo.download.hash_file", lambda path: "fed092d4" + "0" * 56)
    run_command("zoo download", NAME)
    assert capsys.readouterr().out == f"{path}\n"
    run_command("zoo show", NAME)
    assert f"file: {path}\n" in capsys.readouterr().out
