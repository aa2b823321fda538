"""The calls that a router takes, with retries and a bound on every wait."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any

import grpc

from guildhall.v1 import moe_layer_service_pb2 as api

_FORWARD = "/guildhall.v1.MoeLayerService/Forward"

# Retried by gRPC itself, which waits as long as the router asks for (grpc-retry-pushback-ms).
_RETRIED = ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]

# What gRPC keeps of a request at most, to send it again: as much as a router takes by default, and the headers. What
# is larger goes out, but once.
_RETRY_BYTES = (64 << 20) + (64 << 10)

# A silent router is asked after this, and given up after as long again.
_KEEP_ALIVE_MS = 10_000


class GuildhallError(RuntimeError):
    """What a router answered instead of a result, or why none could be reached.

    Attributes:
        code: the gRPC status code, for example ``grpc.StatusCode.NOT_FOUND``.
        message: what was wrong, the value, and what is allowed.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        return GuildhallError, (self.code, self.message)


@dataclass(frozen=True)
class Connection:
    """How a router is reached.

    Attributes:
        target: a gRPC name: ``host:port``, ``dns:///routers:8001`` (all addresses of the name share the calls),
            ``ipv4:10.0.0.1:8001,10.0.0.2:8001`` or ``unix:///path``.
        timeout: seconds that a request may take, its retries included.
        attempts: how often a request is sent at most, 1 to 5.
        token: shown to the router as ``authorization: Bearer TOKEN``.
        ca: PEM of the CA that signed the router's certificate; without one the connection is plaintext.
        certificate: PEM of a certificate to show to the router.
        key: PEM of its key.
    """

    target: str
    timeout: float = 30.0
    attempts: int = 4
    token: str | None = field(default=None, repr=False)
    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.timeout > 0:
            raise ValueError(f"timeout is {self.timeout}; allowed are seconds above 0")
        if not 1 <= self.attempts <= 5:
            raise ValueError(f"attempts is {self.attempts}; allowed is 1 to 5")
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key need each other")
        if self.certificate is not None and self.ca is None:
            raise ValueError("a certificate is shown over TLS only: give ca, too")

    def open(self) -> grpc.Channel:
        options = [
            ("grpc.service_config", json.dumps(self._service_config())),
            # A new channel does not wait for the backoff of an older one to the same address.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.per_rpc_retry_buffer_size", _RETRY_BYTES),
            ("grpc.keepalive_time_ms", _KEEP_ALIVE_MS),
            ("grpc.keepalive_timeout_ms", _KEEP_ALIVE_MS),
            # Else gRPC asks twice only while a call waits for its answer.
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
        ]
        if self.ca is None:
            return grpc.insecure_channel(self.target, options)
        credentials = grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)
        return grpc.secure_channel(self.target, credentials, options)

    def _service_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {"loadBalancingConfig": [{"round_robin": {}}]}
        if self.attempts > 1:
            retry = {
                "maxAttempts": self.attempts,
                "initialBackoff": "0.05s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": _RETRIED,
            }
            config["methodConfig"] = [{"name": [{}], "retryPolicy": retry}]
        return config


class Client:
    """One router, or several behind one name. Opens its channel with the first call; any thread may call."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None

    def start(self, request: api.ForwardRequest) -> grpc.Future:
        """Sends a request; ``result`` has its answer."""
        metadata = []
        if self._connection.token is not None:
            metadata.append(("authorization", f"Bearer {self._connection.token}"))
        call = self._open().unary_unary(
            _FORWARD,
            request_serializer=api.ForwardRequest.SerializeToString,
            response_deserializer=api.ForwardResponse.FromString,
        )
        return call.future(request, timeout=self._connection.timeout, metadata=metadata)

    @staticmethod
    def result(call: grpc.Future) -> api.ForwardResponse:
        """Waits for an answer, no longer than the connection's timeout.

        Raises:
            GuildhallError: if the request failed.
        """
        try:
            return call.result()
        except grpc.FutureCancelledError as e:
            raise GuildhallError(grpc.StatusCode.CANCELLED, "the client was closed") from e
        except grpc.RpcError as e:
            raise GuildhallError(e.code(), e.details()) from e

    def _open(self) -> grpc.Channel:
        with self._lock:
            if self._channel is None:
                self._channel = self._connection.open()
            return self._channel

    def close(self) -> None:
        """Cancels what is in flight. A later call opens a new channel."""
        with self._lock:
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def __getstate__(self) -> Connection:
        return self._connection

    def __setstate__(self, connection: Connection) -> None:
        self.__init__(connection)  # type: ignore[misc]
