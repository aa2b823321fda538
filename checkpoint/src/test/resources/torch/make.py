"""Writes the .pt files of this folder with PyTorch (1.13 wrote those that are here)."""
import collections
import torch

linear = torch.nn.Linear(3, 2)
with torch.no_grad():
    linear.weight.copy_(torch.arange(6.0).reshape(2, 3))
    linear.bias.copy_(torch.tensor([0.5, -0.5]))
# An OrderedDict with the attribute _metadata, as every Module.state_dict() is.
torch.save(linear.state_dict(), "state_dict.pt")
# Parameters, dtypes as values, a device, a Size, a set, None, numbers of every size, nested lists.
matrix = torch.arange(12.0).reshape(3, 4)
torch.save(
    {
        "parameter": torch.nn.Parameter(torch.tensor([1.0, 2.0])),
        "transposed": matrix.t(),
        "column": matrix[:, 1],
        "rows": matrix[1:],
        "expanded": torch.tensor([[7.0], [8.0]]).expand(2, 3),
        "scalar": torch.tensor(3, dtype=torch.int64),
        "empty": torch.empty(0, 5),
        "dtypes": {
            "fp64": torch.tensor([1.5, -2.0], dtype=torch.float64),
            "fp16": torch.tensor([1.5, -2.0], dtype=torch.float16),
            "bf16": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
            "int64": torch.tensor([1, -2], dtype=torch.int64),
            "int32": torch.tensor([1, -2], dtype=torch.int32),
            "int16": torch.tensor([1, -2], dtype=torch.int16),
            "int8": torch.tensor([1, -2], dtype=torch.int8),
            "uint8": torch.tensor([1, 254], dtype=torch.uint8),
            "bool": torch.tensor([True, False]),
        },
        "values": {
            "yes": True,
            "small": 7,
            "large": 2**40,
            "beyond": 2**70,
            "pi": 3.5,
            "text": "täxt",
            "none": None,
            "dtype": torch.bfloat16,
            "device": torch.device("cuda", 1),
            "size": torch.Size([2, 3]),
            "list": [1, "two", (3.0,)],
            "set": {"a"},
            5: "number as key",
            ("a", 1): "a key that no name can show",
        },
    },
    "mixed.pt",
)
torch.save(linear.state_dict(), "protocol4.pt", pickle_protocol=4)
torch.save(linear.state_dict(), "legacy.pt", _use_new_zipfile_serialization=False)
