"""The job that looks after a launch, with stand-ins for Slurm's commands."""

import copy
import json

import pytest
import slurm_stand_in
import yaml
from tiny_study import TINY

from pycls.errors import PyclsError
from pycls.launch import submit
from pycls.launch.follow_up import FollowUp
from pycls.launch.ledger import Ledger
from pycls.launch.status import find_status
from pycls.launch.status_table import table
from pycls.launch.submit import Launcher
from pycls.launch.work import study_work
from pycls.slurm.client import Slurm
from pycls.slurm.options import LaunchOptions
from pycls.study.file import load_study_file
from pycls.study.study import StudyFolder


@pytest.fixture
def launched(tmp_path, digits_dir, monkeypatch):
    """Return a study whose two runs were launched and lost, and the stand-ins' folder."""
    slurm = slurm_stand_in.install(tmp_path / "slurm", monkeypatch)
    # What is submitted, not how fast sbatch is tried again.
    monkeypatch.setattr("pycls.slurm.commands._PAUSE_S", 0.0)
    small = copy.deepcopy(TINY)
    for key in ("reference", "family", "targets", "repeats"):
        small.pop(key)
    small["datasets"] = {"digits": {}}
    small["population"]["size"] = 2
    small["launch"] = {"NUM_GPUS": 0, "TIME_LIMIT": 30, "PARTITION": "debug"}
    path = tmp_path / "base" / "tiny.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(small, sort_keys=False))
    folder = tmp_path / "studies" / "tiny"
    work = study_work(StudyFolder(load_study_file(path), folder, digits_dir))
    # A copy elsewhere has jobs, too.
    words = ("77", "0", "PENDING", "Priority", "", "", "tiny-0123abcd")
    (slurm / "queue").write_text("\x1e" + "\x1f".join(words) + "\n")
    asked = []
    jobs = Launcher(work, Slurm(), pause_s=0.0).launch(lambda text: asked.append(text) or True)
    assert jobs == 2
    (slurm / "queue").write_text("")
    assert "tiny: 2 runs in 2 jobs" in asked[0]
    assert f"  in {folder}\n" in asked[0]
    assert (
        "1 job of work of this name from another folder (77_0): is this a second copy?" in asked[0]
    )
    # Edited at once: more networks, and trained otherwise.
    small["population"]["size"] = 60
    small["config"]["OPTIM"]["MAX_EPOCH"] = 9
    path.write_text(yaml.safe_dump(small, sort_keys=False))
    return work, slurm


def follow_up(work, pauses_s=(0.0,) * 3):
    *_, last = Ledger(work.folder).submissions()
    assert last.kind == "follow-up"
    return FollowUp(last, pauses_s), last


def test_it_submits_the_study_as_launched_again_and_again_before_it_collects(launched, monkeypatch):
    work, slurm = launched
    at_once = {}
    real = submit.Launcher.launch

    def launch(self, *args, **given):
        at_once.setdefault("collected", (work.folder / "results.csv").exists())
        return real(self, *args, **given)

    monkeypatch.setattr(submit.Launcher, "launch", launch)
    monkeypatch.setattr("pycls.launch.follow_up.Slurm", lambda patience_s: Slurm(0.0))
    (slurm / "refusals").write_text("2\n")
    job, submission = follow_up(work)
    assert "waits" not in table(find_status(work, Slurm()))
    assert job.run() == 0
    assert at_once == {"collected": False}
    assert (work.folder / "results.csv").read_text().count("\n") == 1 + 2
    *_, again, successor = Ledger(work.folder).submissions()
    assert [run["id"] for chunk in again.chunks for run in chunk] == [
        "digits/000000", "digits/000001",
    ]  # fmt: skip
    assert (successor.kind, successor.job_id is None) == ("follow-up", False)
    state = submission.job_state(0)
    assert (state.state, state.reason) == ("ended", "submitted 2 jobs")
    reference = json.loads((work.folder / "launch" / "target.json").read_text())
    assert reference["file"].endswith("base/tiny.yaml")

    # What was launched from then on is as it was launched first, until somebody launches anew.
    (slurm / "refusals").write_text("1000\n")
    job, submission = follow_up(work)
    with pytest.raises(PyclsError, match="controller does not answer"):
        job.run()
    assert submission.job_state(0).state == "stopped"
    text = table(find_status(work, Slurm()))
    assert f"looks after the others: job {submission.job_id} gave up: Slurm's controller" in text


def test_told_to_stop_it_goes_back_to_the_queue_and_gives_up_in_the_end(launched, monkeypatch):
    from pycls.launch import follow_up as module
    from pycls.slurm import job_shell

    def stop(self):
        raise module._ToldToStop("SIGUSR2")

    monkeypatch.setattr(FollowUp, "_look_after", stop)
    codes = [follow_up(launched[0])[0].run() for _ in range(3)]
    assert codes == [job_shell.AGAIN, job_shell.AGAIN, job_shell.GAVE_UP]
    assert "FOLLOW_UP_TIME" in follow_up(launched[0])[1].job_state(0).reason


def test_its_own_keys_stand_above_those_of_the_launch():
    given = {"PARTITION": "gpu", "QOS": "long", "NUM_GPUS": 4, "TIME_LIMIT": 600}
    light = LaunchOptions.from_dict(given).of_follow_up
    assert (light.partition, light.qos, light.num_gpus) == ("gpu", "long", 0)
    assert (light.mem_of_node, light.time_limit) == (4, 60)
    own = {"PARTITION": "cpu", "QOS": "short", "MEM": 0.5, "TIME": 240}
    given |= {f"FOLLOW_UP_{key}": value for key, value in own.items()}
    light = LaunchOptions.from_dict(given).of_follow_up
    assert (light.partition, light.qos) == ("cpu", "short")
    assert (light.mem_of_node, light.time_limit) == (0.5, 240)
    assert light.where("LAUNCH", "PARTITION") == "LAUNCH.FOLLOW_UP_PARTITION"
