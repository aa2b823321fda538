"""An MoE layer that is served elsewhere, in the place of ``deepspeed.moe.layer.MoE``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch

from guildhall.client import Client, Connection
from guildhall.v1 import moe_layer_service_pb2 as api
from guildhall.v1 import tensor_pb2

_DTYPES = {
    torch.float32: tensor_pb2.DTYPE_FP32,
    torch.float16: tensor_pb2.DTYPE_FP16,
    torch.bfloat16: tensor_pb2.DTYPE_BF16,
}


class MoEOutput(NamedTuple):
    """What ``deepspeed.moe.layer.MoE.forward`` returns.

    Attributes:
        output: shape, dtype and device of the layer's hidden_states.
        l_aux: the load-balancing loss, a scalar, fp32, on that device.
        exp_counts: [num_experts], int64, on that device: routes that the gate chose, before any were dropped.
    """

    output: torch.Tensor
    l_aux: torch.Tensor
    exp_counts: torch.Tensor


class RemoteMoE(torch.nn.Module):
    """A layer of a Guildhall router, called as ``deepspeed.moe.layer.MoE`` is.

    Forward only: the experts' weights are the services', there are no parameters here, and no gradients come back.
    In training mode (``train()``) the router takes the capacity factor and the gate's noise of training, in ``eval()``
    those of evaluation. It may be copied and pickled; the copy connects anew. Any thread may call it.

    Args:
        target: the router, as gRPC names it: see ``guildhall.client.Connection``.
        layer: the layer's name there.
        timeout: seconds that a forward pass may take, its retries included.
        attempts: how often a request is sent at most, while routers are unavailable or full.
        token: shown to the router as the caller's.
        ca, certificate, key: PEM for TLS; plaintext without ``ca``.
    """

    def __init__(
        self,
        target: str,
        layer: str,
        *,
        timeout: float = 30.0,
        attempts: int = 4,
        token: str | None = None,
        ca: bytes | None = None,
        certificate: bytes | None = None,
        key: bytes | None = None,
    ) -> None:
        super().__init__()
        self.layer = layer
        self._target = target
        self._client = Client(Connection(target, timeout, attempts, token, ca, certificate, key))

    def forward(self, hidden_states: torch.Tensor, used_token: torch.Tensor | None = None) -> MoEOutput:
        """Runs the layer.

        Args:
            hidden_states: [..., H], fp32, fp16 or bf16, on any device.
            used_token: as many elements as there are tokens; 0 or False keeps a token out of the routing.

        Raises:
            guildhall.GuildhallError: if the router refuses the request, or cannot be reached in time.
            RuntimeError: if gradients are enabled.
            TypeError, ValueError: for tensors of other types or shapes.
        """
        return self._output(self._client.start(self._request(hidden_states, used_token)), hidden_states)

    def stream(self, batches: Iterable[torch.Tensor], in_flight: int = 8) -> Iterator[MoEOutput]:
        """Runs the layer on many batches; results come in their order.

        Up to ``in_flight`` requests are on their way at once, each with its own timeout and retries, spread over the
        routers of the target. The batches are taken from the iterator as there is room.
        """
        if in_flight < 1:
            raise ValueError(f"in_flight is {in_flight}; allowed is from 1")
        pending: deque[tuple[object, torch.Tensor]] = deque()
        try:
            for batch in batches:
                if len(pending) == in_flight:
                    yield self._output(*pending.popleft())
                pending.append((self._client.start(self._request(batch, None)), batch))
            while pending:
                yield self._output(*pending.popleft())
        finally:
            for call, _ in pending:
                call.cancel()  # type: ignore[attr-defined]

    def close(self) -> None:
        """Closes the connection; requests in flight are cancelled."""
        self._client.close()

    def extra_repr(self) -> str:
        return f"target={self._target!r}, layer={self.layer!r}"

    def _request(self, hidden_states: torch.Tensor, used_token: torch.Tensor | None) -> api.ForwardRequest:
        if torch.is_grad_enabled():
            raise RuntimeError("RemoteMoE has no backward pass: call it under torch.no_grad() or torch.inference_mode()")
        if hidden_states.dtype not in _DTYPES:
            raise TypeError(
                f"hidden_states is {hidden_states.dtype}; allowed are torch.float32, torch.float16 and torch.bfloat16"
            )
        if hidden_states.dim() == 0:
            raise ValueError("hidden_states has no dimension; allowed is [..., hidden_size]")
        request = api.ForwardRequest(
            layer=self.layer,
            dtype=_DTYPES[hidden_states.dtype],
            shape=hidden_states.shape,
            training=self.training,
            hidden_states=_bytes(hidden_states),
        )
        if used_token is not None:
            tokens = hidden_states.shape[:-1].numel()
            if used_token.numel() != tokens:
                raise ValueError(f"used_token has {used_token.numel()} elements; allowed are {tokens}, one a token")
            request.used_token.extend((used_token.flatten() != 0).tolist())
        return request

    @staticmethod
    def _output(call: object, hidden_states: torch.Tensor) -> MoEOutput:
        answer = Client.result(call)
        device = hidden_states.device
        output = torch.empty(0, dtype=hidden_states.dtype)
        if answer.output:
            # A copy: what is in a message cannot be written to, and tensors can.
            output = torch.frombuffer(bytearray(answer.output), dtype=hidden_states.dtype)
        return MoEOutput(
            output.reshape(tuple(answer.shape)).to(device),
            torch.tensor(answer.l_aux, dtype=torch.float32, device=device),
            torch.tensor(list(answer.exp_counts), dtype=torch.int64, device=device),
        )


def _bytes(tensor: torch.Tensor) -> bytes:
    """Its elements, row-major and little-endian, as every machine that PyTorch runs on has them."""
    flat = tensor.detach().cpu().contiguous().flatten()
    return flat.view(torch.uint8).numpy().tobytes()
