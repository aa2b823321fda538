"""Swaps the MoE layer of a trained classifier of digits for one that Guildhall serves.

    ./guildhall serve --repository examples/digits &
    python3 clients/python/examples/digits.py --target localhost:8001

prints the accuracy on the held-out pictures: 98.33 %, as with DeepSpeed's own layer.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from guildhall import RemoteMoE

DIGITS = Path(__file__).resolve().parents[3] / "examples" / "digits"
_DTYPES = {"F32": torch.float32, "I64": torch.int64}


def load(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file."""
    data = bytearray(path.read_bytes())
    begin = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:begin])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        values = torch.frombuffer(data[begin + first : begin + last], dtype=_DTYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors


class Classifier(torch.nn.Module):
    """The model as it was trained, with any module in the place of ``deepspeed.moe.layer.MoE``."""

    def __init__(self, moe: torch.nn.Module) -> None:
        super().__init__()
        self.embed = torch.nn.Linear(64, 128)
        self.moe = moe
        self.head = torch.nn.Linear(128, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        hidden_states = torch.relu(self.embed(pixels))
        output, _, _ = self.moe(hidden_states)
        return self.head(output + hidden_states)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="localhost:8001", help="the router (default: %(default)s)")
    arguments = parser.parse_args()

    model = Classifier(RemoteMoE(arguments.target, "digits")).eval()
    weights = load(DIGITS / "digits" / "model.safetensors")
    # The MoE layer's own weights stay with the services.
    model.load_state_dict({name: tensor for name, tensor in weights.items() if not name.startswith("moe.")})

    held_out = load(DIGITS / "heldout.safetensors")
    with torch.no_grad():
        chosen = model(held_out["pixels"]).argmax(dim=1)
    right = int((chosen == held_out["labels"]).sum())
    total = len(chosen)
    print(f"accuracy {100 * right / total:.2f} % ({right}/{total} held-out pictures)")


if __name__ == "__main__":
    main()
