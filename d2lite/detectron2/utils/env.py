"""Seeds of the random number generators that training uses."""

import logging
import os
import random
from datetime import datetime

import numpy as np
import torch


def seed_all_rng(seed: int | None = None) -> None:
    """Seeds Python, numpy and torch.

    Args:
        seed: The seed; None draws one from the clock and the system, and logs it.
    """
    if seed is None:
        clock = int(datetime.now().strftime("%S%f"))
        seed = os.getpid() + clock + int.from_bytes(os.urandom(2), "big")
        logging.getLogger(__name__).info("Using a generated random seed %d", seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    random.seed(seed)
    os.environ["PYTHONHASHSEED"] = str(seed)
