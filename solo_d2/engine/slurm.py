"""Tasks that srun starts: their places in the job, read from SLURM's variables."""

import os
import re
from collections.abc import Mapping

from solo_d2.utils.errors import InputError

# srun sets it for each task it starts. A batch script has none, whatever it reserved.
_NUM_TASKS = "SLURM_STEP_NUM_TASKS"
_FIRST_PORT = 20000
_NUM_PORTS = 20000


def under_srun(environment: Mapping[str, str] = os.environ) -> bool:
    """Returns whether srun has started several tasks, of which this process is one."""
    return int(environment.get(_NUM_TASKS, "1")) > 1 and "SLURM_PROCID" in environment


def torchrun_variables(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Returns what torchrun would set for this task.

    ``MASTER_ADDR`` and ``MASTER_PORT`` are kept where they are set.

    Raises:
        InputError: The nodes have different numbers of tasks.
    """
    per_node = environment.get("SLURM_STEP_TASKS_PER_NODE", environment[_NUM_TASKS])
    uniform = re.fullmatch(r"(\d+)(\(x\d+\))?", per_node)
    if not uniform:
        raise InputError(
            f"srun started {per_node} tasks per node: give all nodes the same with --ntasks-per-node"
        )
    job = int(environment.get("SLURM_JOB_ID", "0")) + int(environment.get("SLURM_STEP_ID", "0"))
    return {
        "RANK": environment["SLURM_PROCID"],
        "WORLD_SIZE": environment[_NUM_TASKS],
        "LOCAL_RANK": environment.get("SLURM_LOCALID", "0"),
        "LOCAL_WORLD_SIZE": uniform[1],
        "MASTER_ADDR": environment.get("MASTER_ADDR")
        or first_host(environment.get("SLURM_STEP_NODELIST", "localhost")),
        "MASTER_PORT": environment.get("MASTER_PORT") or str(_FIRST_PORT + job % _NUM_PORTS),
    }


def first_host(nodes: str) -> str:
    """Returns the first of SLURM's list of nodes, such as "gpu[07-09,12],login"."""
    found = re.match(r"([^,\[]+)(?:\[([^\],-]+)[^\]]*\])?([^,\[]*)", nodes)
    return "".join(part or "" for part in found.groups()) if found else "localhost"
