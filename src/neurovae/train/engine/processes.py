"""Several processes of one training, started by torchrun; with one process every function is the identity."""

import os

import torch
from torch import Tensor, distributed


def start(device: torch.device) -> tuple[int, int, torch.device]:
    """Rank, number of processes, and this process's device; joins the others where torchrun started several."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if world > 1 and not distributed.is_initialized():
        distributed.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    return (distributed.get_rank(), world, device) if world > 1 else (0, 1, device)


def rank() -> int:
    """This process's number among those that torchrun started, joined or not; 0 where there is only one."""
    return int(os.environ["RANK"]) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0


def total(tensors: list[Tensor]) -> None:
    """Replace each tensor by its sum over the processes, in one message; all lie on one device."""
    if distributed.is_initialized():
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))


def first(tensors: list[Tensor]) -> None:
    """Replace each tensor by that of process 0: another kind of machine may have found other last digits."""
    if distributed.is_initialized():
        for tensor in tensors:
            distributed.broadcast(tensor, 0)


def agree(number: int) -> bool:
    """Whether all processes have the same number."""
    sums = torch.tensor([number, number**2], dtype=torch.float64)
    total([sums])
    world = distributed.get_world_size() if distributed.is_initialized() else 1
    return bool(sums[0] == world * number and sums[1] == world * number**2)


def stop() -> None:
    """Leave the process group."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
