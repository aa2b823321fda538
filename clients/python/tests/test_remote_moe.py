from __future__ import annotations

import copy
import pickle
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import torch

from guildhall import GuildhallError, RemoteMoE
from guildhall.client import Connection
from guildhall.v1 import moe_layer_service_pb2 as api


@pytest.fixture(autouse=True)
def no_grad():
    with torch.no_grad():
        yield


@pytest.fixture()
def moe(target):
    module = RemoteMoE(target, "digits").eval()
    yield module
    module.close()


def test_answers_as_deepspeed_did(moe, held_out):
    output, l_aux, exp_counts = moe(held_out["hidden_states"])
    torch.testing.assert_close(output, held_out["moe_output"], atol=1e-4, rtol=0)
    torch.testing.assert_close(l_aux, held_out["l_aux"].reshape(()), atol=1e-4, rtol=0)
    assert exp_counts.tolist() == held_out["exp_counts"].tolist()


def test_any_leading_dimensions(moe, held_out):
    rows = held_out["hidden_states"][:12]
    flat = moe(rows).output
    assert torch.equal(moe(rows.reshape(2, 3, 2, 128)).output, flat.reshape(2, 3, 2, 128))
    assert moe(rows[0]).output.shape == (128,)
    assert moe(rows[:0]).output.shape == (0, 128)
    assert torch.equal(moe(rows.t().contiguous().t()).output, flat)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_dtypes_are_kept(moe, held_out, dtype):
    rows = held_out["hidden_states"].to(dtype)
    output, l_aux, exp_counts = moe(rows)
    assert (output.dtype, l_aux.dtype, exp_counts.dtype) == (dtype, torch.float32, torch.int64)
    # Computed in fp32 of what was sent, and rounded at the end.
    torch.testing.assert_close(output, moe(rows.float()).output.to(dtype))


def test_unused_tokens_are_not_routed(moe, held_out):
    rows = held_out["hidden_states"][:10]
    used = torch.tensor([1, 0] * 5)
    assert int(moe(rows, used).exp_counts.sum()) == 2 * 5
    assert torch.equal(moe(rows, used_token=used.bool()).output, moe(rows, used).output)


def test_training_mode_is_the_modules(scripted):
    seen = []

    def forward(request, context):
        seen.append((request.training, request.layer))
        return api.ForwardResponse(shape=request.shape, output=request.hidden_states)

    module = RemoteMoE(scripted(forward), "a/b")
    module(torch.zeros(1, 4))
    module.eval()(torch.zeros(1, 4))
    assert seen == [(True, "a/b"), (False, "a/b")]


def test_there_is_no_backward_pass(moe):
    with torch.enable_grad(), pytest.raises(RuntimeError, match="no backward pass"):
        moe(torch.zeros(1, 128))
    assert list(moe.parameters()) == []
    assert moe.state_dict() == {}


@pytest.mark.parametrize(
    ("hidden_states", "used_token", "error", "message"),
    [
        (torch.zeros(1, 128, dtype=torch.float64), None, TypeError, "hidden_states is torch.float64; allowed are"),
        (torch.tensor(1.0), None, ValueError, r"allowed is \[..., hidden_size\]"),
        (torch.zeros(2, 128), torch.ones(3), ValueError, "used_token has 3 elements; allowed are 2"),
    ],
)
def test_tensors_that_are_not_right(moe, hidden_states, used_token, error, message):
    with pytest.raises(error, match=message):
        moe(hidden_states, used_token)


def test_the_routers_errors(target, moe):
    with pytest.raises(GuildhallError, match="128") as refused:
        moe(torch.zeros(1, 127))
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(GuildhallError) as unknown:
        RemoteMoE(target, "nothing")(torch.zeros(1, 128))
    assert unknown.value.code == grpc.StatusCode.NOT_FOUND
    again = pickle.loads(pickle.dumps(unknown.value))
    assert (again.code, again.message) == (unknown.value.code, unknown.value.message)


def test_every_wait_has_a_bound():
    with socket.create_server(("localhost", 0)) as silent:
        module = RemoteMoE(f"localhost:{silent.getsockname()[1]}", "digits", timeout=0.2)
        with pytest.raises(GuildhallError) as late:
            module(torch.zeros(1, 128))
    assert late.value.code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)


def test_requests_are_repeated_while_routers_are_full(scripted):
    calls = []

    def forward(request, context):
        calls.append(request)
        if len(calls) < 3:
            context.set_trailing_metadata([("grpc-retry-pushback-ms", "1")])
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        return api.ForwardResponse(shape=request.shape, output=request.hidden_states)

    target = scripted(forward)
    ones = torch.ones(1, 4)
    assert torch.equal(RemoteMoE(target, "digits")(ones).output, ones)
    assert len(calls) == 3
    calls.clear()
    with pytest.raises(GuildhallError, match="RESOURCE_EXHAUSTED: full"):
        RemoteMoE(target, "digits", attempts=2)(ones)
    assert len(calls) == 2


def test_large_requests_are_repeated_too(scripted):
    calls = []

    def forward(request, context):
        calls.append(len(request.hidden_states))
        if len(calls) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        return api.ForwardResponse(shape=[0, 4])

    RemoteMoE(scripted(forward), "digits")(torch.zeros(3, 1 << 18))
    assert calls == [3 << 20] * 2


def test_silent_routers_are_noticed(monkeypatch):
    opened = {}
    monkeypatch.setattr(grpc, "insecure_channel", lambda target, options: opened.update(options))
    Connection("localhost:1").open()
    assert (opened["grpc.keepalive_time_ms"], opened["grpc.keepalive_timeout_ms"]) == (10_000, 10_000)
    assert opened["grpc.http2.max_pings_without_data"] == 0


def test_secrets_are_not_printed():
    connection = Connection("localhost:1", token="s3cret", ca=b"a CA", certificate=b"a certificate", key=b"a key")
    assert "localhost:1" in repr(connection)
    assert "s3cret" not in repr(connection)
    assert "a key" not in repr(connection)


def test_the_token_is_shown(scripted):
    tokens = []

    def forward(request, context):
        tokens.append(dict(context.invocation_metadata()).get("authorization"))
        return api.ForwardResponse(shape=request.shape, output=request.hidden_states)

    RemoteMoE(scripted(forward), "digits", token="s3cret")(torch.zeros(1, 4))
    assert tokens == ["Bearer s3cret"]


def test_streams_keep_their_order(moe, held_out):
    batches = list(held_out["hidden_states"][:60].split(7))
    outputs = [answer.output for answer in moe.stream(iter(batches), in_flight=3)]
    assert len(outputs) == len(batches)
    for batch, output in zip(batches, outputs):
        assert torch.equal(output, moe(batch).output)


def test_streams_have_no_more_in_flight_than_they_may(scripted):
    in_flight, most = set(), []
    both = threading.Barrier(2, timeout=10)
    lock = threading.Lock()

    def forward(request, context):
        with lock:
            in_flight.add(id(request))
            most.append(len(in_flight))
        both.wait()  # Passes if two are on their way together.
        with lock:
            in_flight.remove(id(request))
        return api.ForwardResponse(shape=request.shape, output=request.hidden_states)

    module = RemoteMoE(scripted(forward), "digits", attempts=1)
    assert len(list(module.stream((torch.zeros(1, 4) for _ in range(6)), in_flight=2))) == 6
    assert max(most) == 2


def test_a_stream_that_is_left_cancels_the_rest(moe, held_out):
    stream = moe.stream(iter([held_out["hidden_states"]] * 20))
    next(stream)
    stream.close()
    moe(held_out["hidden_states"][:1])


def test_copies_connect_anew(moe, held_out):
    rows = held_out["hidden_states"][:3]
    expected = moe(rows).output
    for other in (copy.deepcopy(moe), pickle.loads(pickle.dumps(moe))):
        assert torch.equal(other(rows).output, expected)
        other.close()
    moe.close()
    assert torch.equal(moe(rows).output, expected)


def test_threads_share_a_module(moe, held_out):
    def answer(token):
        with torch.no_grad():
            return moe(held_out["hidden_states"][token : token + 1]).output

    with ThreadPoolExecutor(8) as threads:
        outputs = list(threads.map(answer, range(64)))
    for token, output in enumerate(outputs):
        torch.testing.assert_close(output[0], answer(token)[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"timeout": 0}, "timeout is 0"),
        ({"attempts": 6}, "attempts is 6"),
        ({"certificate": b""}, "need each other"),
        ({"certificate": b"", "key": b""}, "give ca"),
    ],
)
def test_arguments_that_are_not_right(arguments, message):
    with pytest.raises(ValueError, match=message):
        RemoteMoE("localhost:1", "digits", **arguments)
