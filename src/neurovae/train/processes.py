"""Several processes of one training, started by torchrun; with one process every function is the identity."""

import os

import torch
from torch import Tensor, distributed


def start(device: torch.device) -> tuple[int, int, torch.device]:
    """Rank, number of processes, and this process's device; joins the others where torchrun started several."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    return (distributed.get_rank(), world, device) if world > 1 else (0, 1, device)


def rank() -> int:
    """This process's number, 0 where there is only one."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def total(tensors: list[Tensor]) -> None:
    """Replace each tensor by its sum over the processes, in one message."""
    if distributed.is_initialized():
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))


def stop() -> None:
    """Leave the other processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
