import json
import shutil

import pandas as pd
import pytest
from simulated_study import NAME, write_collection
from synthetic_appendix import write_pair
from synthetic_study import write_study

from pycls.analysis.inputs.collection import load_collection
from pycls.analysis.inputs.evidence import load_evidence
from pycls.errors import ConfigError, DataError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_collection(tmp_path_factory.mktemp("collection"), archs=100)


def names(collection):
    return sorted(evidence.study.name for evidence in collection.controls)


def test_studies_beside_it_are_found_by_their_base_and_its_base(folder):
    suffixes = ("a1", "a2", "a3", "a4a", "a4b", "a5", "a6", "table_a1")
    assert names(load_collection(folder)) == sorted(f"{NAME}_{suffix}" for suffix in suffixes)


def test_controls_alone_lead_to_their_base(folder):
    collection = load_collection(folder.parent / f"{NAME}_a3")
    assert collection.study.name == NAME
    assert collection.is_published
    assert f"{NAME}_a3" in names(collection)


def test_other_studies_beside_it_are_left_alone(tmp_path):
    write_pair(tmp_path)
    other = write_study(tmp_path / "other")
    described = json.loads((other / "study.json").read_text()) | {"name": "other"}
    (other / "study.json").write_text(json.dumps(described))
    assert names(load_collection(tmp_path / "base")) == ["appendix"]


def test_damaged_study_beside_it_is_named_and_left_out(tmp_path):
    write_pair(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "study.json").write_text("{")
    (tmp_path / "broken" / "results.csv").touch()
    with pytest.warns(UserWarning, match=r"broken.*not valid JSON"):
        assert names(load_collection(tmp_path / "base")) == ["appendix"]


def test_moved_copies_belong_together(tmp_path):
    """Controls are compared with the study beside them, not with the one they were run on."""
    write_pair(tmp_path / "first")
    path = tmp_path / "first" / "appendix" / "study.json"
    described = json.loads(path.read_text())
    described["base"]["folder"] = str(tmp_path / "first" / "base")
    path.write_text(json.dumps(described))
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    results = tmp_path / "second" / "base" / "results.csv"
    table = pd.read_csv(results, dtype=str, keep_default_na=False)
    table.loc[table["sweep"] == "photographs", "error"] = "7.0"
    table.to_csv(results, index=False)
    (controls,) = load_collection(tmp_path / "second" / "base").controls
    assert set(controls.main["photographs"].errors) == {7.0}


def test_second_copy_of_a_study_is_named_and_left_out(tmp_path):
    write_pair(tmp_path)
    shutil.copytree(tmp_path / "appendix", tmp_path / "appendix_copy")
    with pytest.warns(UserWarning, match=r"left out: .*appendix_copy: another study appendix"):
        assert names(load_collection(tmp_path / "base")) == ["appendix"]


def test_another_population_beside_it_is_refused(tmp_path):
    write_pair(tmp_path)
    results = tmp_path / "appendix" / "results.csv"
    table = pd.read_csv(results, dtype=str, keep_default_na=False)
    table.loc[table["arch"] == "a0003", "depth_2"] = "99"
    table.to_csv(results, index=False)
    with pytest.raises(DataError, match=r"a0003 has depth_2 .* two populations are mixed up"):
        load_collection(tmp_path / "base")


def test_sweeps_of_every_base_are_at_hand(folder):
    """As reading each study with its bases gives them."""
    for evidence in load_collection(folder).controls:
        alone = load_evidence(folder.parent / evidence.study.name, evidence.study)
        assert [list(sweeps) for sweeps in alone.bases] == [list(s) for s in evidence.bases]
        pd.testing.assert_frame_equal(alone.population, evidence.population)
        assert [s.study.name for s in alone.all_sweeps] == [
            s.study.name for s in evidence.all_sweeps
        ]


def test_no_study_is_an_error_for_the_reader(tmp_path):
    with pytest.raises(ConfigError, match=r"study\.json: no such file"):
        load_collection(tmp_path)
