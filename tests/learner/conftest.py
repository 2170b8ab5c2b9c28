"""One thread for the tiny networks of these tests: several would wait for each other on a busy machine."""

import torch

torch.set_num_threads(1)
