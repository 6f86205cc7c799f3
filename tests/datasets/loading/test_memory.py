import os

import pytest

from pycls.datasets.loading import memory
from pycls.datasets.loading.memory import memory_limit


def test_it_is_at_most_what_the_machine_has():
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert 0 < memory_limit() <= total


@pytest.mark.parametrize(
    ("line", "files", "limits"),
    [
        ("0::/", {"memory.max": "300"}, [300]),
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "500", "memory.max": "900"},
         [500, 900]),
        ("0::/elsewhere/c", {"memory.max": "700"}, [700]),
        ("4:cpu,memory:/job", {"memory/job/memory.limit_in_bytes": "400",
                               "memory/memory.limit_in_bytes": "9999"}, [400, 9999]),
        ("3:cpu:/job", {"memory/job/memory.limit_in_bytes": "400"}, []),
    ],
)  # fmt: skip
def test_limits_of_all_groups_above_count(tmp_path, line, files, limits):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    membership = tmp_path / "cgroup"
    membership.write_text(line + "\n")
    assert list(memory._group_limits(tmp_path, membership)) == limits
    assert list(memory._group_limits(tmp_path, tmp_path / "nothing")) == []
