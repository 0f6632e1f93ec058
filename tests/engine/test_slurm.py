import pytest

from solo_d2.engine.slurm import first_host, torchrun_variables, under_srun
from solo_d2.utils.errors import InputError

# What srun sets for the second task of the second of two nodes.
TASK = {
    "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_JOB_ID": "1234567", "SLURM_STEP_ID": "0",
}  # fmt: skip


def test_place_of_a_task():
    assert torchrun_variables(TASK) == {
        "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "gpu07", "MASTER_PORT": "34567",
    }  # fmt: skip
    given = {"MASTER_ADDR": "head", "MASTER_PORT": "29500"}
    assert given.items() <= torchrun_variables({**TASK, **given}).items()


def test_nodes_must_be_alike():
    with pytest.raises(InputError, match="srun started 2,1 tasks per node"):
        torchrun_variables({**TASK, "SLURM_STEP_TASKS_PER_NODE": "2,1"})


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (TASK, True),
        ({}, False),
        ({**TASK, "SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, False),  # a batch script, which has reserved tasks
    ],
)
def test_tasks_are_recognized(environment, expected):
    assert under_srun(environment) == expected


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("one", "one"), ("a,b", "a"), ("gpu[07-09,12],login", "gpu07"), ("gpu[3,5]", "gpu3"),
        ("rack[1-2]-gpu.example.org", "rack1-gpu.example.org"), ("", "localhost"),
    ],
)  # fmt: skip
def test_first_host(nodes, host):
    assert first_host(nodes) == host
