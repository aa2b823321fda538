"""A router with experts on the digits example, started once: by ./guildhall, or by the command in GUILDHALL_COMMAND."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any, Callable

import grpc
import pytest
from digits import DIGITS, load

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def target() -> Iterator[str]:
    command = json.loads(os.environ.get("GUILDHALL_COMMAND", json.dumps([str(ROOT / "guildhall")])))
    serve = ["serve", f"--repository={DIGITS}", "--port=0", "--metrics-port=0"]
    with subprocess.Popen([*command, *serve], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = next((line for line in process.stdout if line.startswith("ready ")), "")
            port = re.search(r"grpc=(\d+)", ready)
            assert port is not None, f"the server ended: {process.poll()}"
            yield f"localhost:{port.group(1)}"
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def held_out() -> dict[str, Any]:
    return load(DIGITS / "heldout.safetensors")


@pytest.fixture()
def scripted() -> Iterator[Callable[..., str]]:
    """Starts a gRPC server whose Forward is the given function of request and context; gives its target."""
    servers = []

    def start(forward: Callable[[Any, grpc.ServicerContext], Any]) -> str:
        from guildhall.v1 import moe_layer_service_pb2 as api

        server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        method = grpc.unary_unary_rpc_method_handler(
            forward, api.ForwardRequest.FromString, api.ForwardResponse.SerializeToString
        )
        server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("guildhall.v1.MoeLayerService", {"Forward": method})]
        )
        port = server.add_insecure_port("localhost:0")
        server.start()
        servers.append(server)
        return f"localhost:{port}"

    yield start
    for server in servers:
        server.stop(None)
