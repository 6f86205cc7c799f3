"""Names of models, their files and addresses, in a checkout and installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from pycls.errors import ConfigError
from pycls.zoo.catalog import MODELS, find_model, list_models

ROOT = Path(__file__).parents[2]


def test_all_published_weights_have_their_address():
    assert len(list_models(pretrained=True)) == 36
    urls = [MODELS[name].weights_url for name in list_models(pretrained=True)]
    assert len(set(urls)) == 36
    # As published, one of each family.
    base = "https://dl.fbaipublicfiles.com/pycls/dds_baselines"
    assert {
        f"{base}/160905967/RegNetX-400MF_dds_8gpu.pyth",
        f"{base}/161277763/RegNetY-32GF_dds_8gpu.pyth",
        f"{base}/161235311/R-50-1x64d_dds_8gpu.pyth",
        f"{base}/162471172/X-152-32x4d_dds_8gpu.pyth",
        f"{base}/161305138/EN-B5_dds_8gpu.pyth",
    } <= set(urls)


def test_every_baseline_is_in_the_list_and_has_its_file():
    files = {path.relative_to(ROOT / "configs") for path in (ROOT / "configs").glob("*/*/*.yaml")}
    baselines = {str(path) for path in files if path.parts[0] == "dds_baselines"}
    assert {model.config for model in MODELS.values() if model.weights_id} == baselines
    for model in MODELS.values():
        assert model.config_path == ROOT / "configs" / model.config


@pytest.mark.parametrize(
    ("name", "family", "found"),
    [
        ("400MF", "regnetx", "RegNetX-400MF"),
        ("RegNetX-400MF", "regnetx", "RegNetX-400MF"),
        ("regnety-400mf", None, "RegNetY-400MF"),
        ("4GF", "regnety", "RegNetY-4.0GF"),
        ("4.0GF", "regnety", "RegNetY-4.0GF"),
        ("50", "resnext", "ResNeXt-50"),
        ("b0", "effnet", "EfficientNet-B0"),
        ("B16", "vit", "ViT-B16"),
    ],
)
def test_names_are_found_as_they_are_written(name, family, found):
    assert find_model(name, family).name == found


def test_unknown_names_are_answered_with_known_ones():
    with pytest.raises(ConfigError, match=r"no model 'RegNetX-401MF' .* RegNetX-400MF"):
        find_model("RegNetX-401MF")
    with pytest.raises(ConfigError, match=r"family resnet; there are: ResNet-50, ResNet-101"):
        find_model("18", "resnet")
    with pytest.raises(ConfigError, match=r"no family 'vgg' .* regnetx"):
        list_models("vgg")


def test_model_without_published_weights_says_so():
    with pytest.raises(ConfigError, match="no published weights of ViT-B16"):
        _ = MODELS["ViT-B16"].weights_url


def test_mirror_takes_the_place_of_the_address(monkeypatch):
    monkeypatch.setenv("PYCLS_ZOO_URL", "https://mirror.example/zoo/")
    assert MODELS["ResNet-50"].weights_url == (
        "https://mirror.example/zoo/161235311/R-50-1x64d_dds_8gpu.pyth"
    )


def test_built_package_holds_the_configurations(tmp_path):
    command = [sys.executable, "setup.py", "-q", "build", "--build-base", str(tmp_path / "build")]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    code = (
        "import pycls; from pycls.models import list_models; from pycls.zoo.catalog import MODELS;"
        "print(pycls.__file__, *(MODELS[name].config_path for name in list_models()))"
    )
    shown = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, check=True, text=True,
        capture_output=True, env={"PYTHONPATH": str(tmp_path / "build" / "lib")},
    )  # fmt: skip
    paths = shown.stdout.split()
    assert len(paths) == 1 + len(list_models())
    assert all(path.startswith(str(tmp_path / "build" / "lib" / "pycls")) for path in paths)
