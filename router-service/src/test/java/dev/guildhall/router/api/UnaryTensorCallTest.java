package dev.guildhall.router.api;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorMethods;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerCall;
import io.grpc.Status;
import io.grpc.stub.ServerCalls;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class UnaryTensorCallTest {
  private final List<TensorMessage<ForwardRequest>> handed = new ArrayList<>();
  private final FakeCall call = new FakeCall();
  private final ServerCall.Listener<TensorMessage<ForwardRequest>> listener =
      new UnaryTensorCall<ForwardRequest, ForwardResponse>(
              ServerCalls.asyncUnaryCall((request, responses) -> handed.add(request)))
          .startCall(call, new Metadata());

  @Test
  void handsTheRequestOverAtTheEndOfTheCallersHalf() {
    TensorMessage<ForwardRequest> request = request();
    listener.onMessage(request);
    listener.onHalfClose();
    listener.onCancel();
    assertSame(request, handed.getFirst());
    assertEquals(1, request.payload().refCnt());
    request.close();
  }

  @Test
  void givesTheRequestBackWhenTheCallerGivesUpBefore() {
    TensorMessage<ForwardRequest> request = request();
    listener.onMessage(request);
    listener.onCancel();
    assertEquals(List.of(), handed);
    assertEquals(0, request.payload().refCnt());
  }

  @Test
  void refusesASecondRequestAndGivesBothBack() {
    TensorMessage<ForwardRequest> first = request();
    TensorMessage<ForwardRequest> second = request();
    listener.onMessage(first);
    listener.onMessage(second);
    listener.onHalfClose();
    assertEquals(Status.Code.INTERNAL, call.closed.getCode());
    assertEquals(List.of(), handed);
    assertEquals(0, first.payload().refCnt());
    assertEquals(0, second.payload().refCnt());
  }

  private static TensorMessage<ForwardRequest> request() {
    return new TensorMessage<>(ForwardRequest.getDefaultInstance(), Buffers.allocate(16));
  }

  private static final class FakeCall
      extends ServerCall<TensorMessage<ForwardRequest>, TensorMessage<ForwardResponse>> {
    private Status closed = Status.OK;

    @Override
    public void request(int count) {}

    @Override
    public void sendHeaders(Metadata headers) {}

    @Override
    public void sendMessage(TensorMessage<ForwardResponse> message) {}

    @Override
    public void close(Status status, Metadata trailers) {
      closed = status;
    }

    @Override
    public boolean isCancelled() {
      return false;
    }

    @Override
    public MethodDescriptor<TensorMessage<ForwardRequest>, TensorMessage<ForwardResponse>>
        getMethodDescriptor() {
      return TensorMethods.FORWARD;
    }
  }
}
