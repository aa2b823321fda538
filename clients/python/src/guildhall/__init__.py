"""Mixture-of-Experts layers served by Guildhall, as PyTorch modules."""

from guildhall.client import GuildhallError
from guildhall.remote_moe import MoEOutput, RemoteMoE

__all__ = ["GuildhallError", "MoEOutput", "RemoteMoE"]
