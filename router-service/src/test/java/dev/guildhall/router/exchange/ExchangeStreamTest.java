package dev.guildhall.router.exchange;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.Dtype;
import dev.guildhall.proto.Error;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.netty.buffer.ByteBuf;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The router's end of an exchange stream, against a peer with generated stubs. */
class ExchangeStreamTest {
  private final Transport transport = new Transport(1, 1 << 20);
  private final CompletableFuture<ExchangeStream> opened = new CompletableFuture<>();
  private final CompletableFuture<Status> closed = new CompletableFuture<>();
  private FakeReplica replica;
  private ManagedChannel channel;
  private ExchangeStream stream;

  @BeforeEach
  void open() throws Exception {
    replica = new FakeReplica(transport);
    channel = transport.channel(replica.target());
    ExchangeStream.open(
        channel,
        "replica-1",
        new ExchangeStream.Listener() {
          @Override
          public void opened(ExchangeStream newStream) {
            opened.complete(newStream);
          }

          @Override
          public void closed(Status status) {
            closed.complete(status);
          }
        });
    stream = await(opened);
  }

  @AfterEach
  void close() {
    channel.shutdownNow();
    replica.close();
    transport.close();
  }

  /** A batch's end: its rows as bytes, or its failure. */
  private static final class Reply extends CompletableFuture<ByteString> implements BatchReply {
    @Override
    public void succeeded(ByteBuf rows, ReplicaTimes times) {
      byte[] bytes = new byte[rows.readableBytes()];
      rows.readBytes(bytes);
      rows.release();
      complete(ByteString.copyFrom(bytes));
    }

    @Override
    public void failed(GuildhallException failure) {
      completeExceptionally(failure);
    }
  }

  @Test
  void batchesGoOutWithTheirRowsAndAnswersComeBackById() throws Exception {
    Reply first = new Reply();
    Reply second = new Reply();
    long firstId = send(first, 1, 2);
    long secondId = send(second, 3, 4, 5);
    ExchangeRequest request = replica.next();
    assertEquals(firstId, request.getBatchId());
    assertEquals("layer", request.getLayer());
    assertEquals(ByteString.copyFrom(new byte[] {1, 2}), request.getRows());
    assertEquals(secondId, replica.next().getBatchId());
    assertEquals(5, stream.outstandingRows());
    replica.answer(answer(secondId, 6, 7, 8));
    assertEquals(ByteString.copyFrom(new byte[] {6, 7, 8}), await(second));
    assertEquals(2, stream.outstandingRows());
    replica.answer(answer(firstId, 9, 9));
    assertEquals(ByteString.copyFrom(new byte[] {9, 9}), await(first));
    assertEquals(0, stream.outstandingRows());
  }

  @Test
  void anErrorFailsItsBatchAndTheStreamGoesOn() throws Exception {
    Reply bad = new Reply();
    Reply good = new Reply();
    long badId = send(bad, 1);
    long goodId = send(good, 2);
    replica.answer(
        ExchangeResponse.newBuilder()
            .setBatchId(badId)
            .setError(
                Error.newBuilder()
                    .setCode(Status.Code.RESOURCE_EXHAUSTED.value())
                    .setMessage("queue is full"))
            .build());
    assertFails(bad, ErrorCode.RESOURCE_EXHAUSTED, "queue is full");
    replica.answer(answer(goodId, 3));
    await(good);
    assertFalse(closed.isDone());
  }

  @Test
  void anAnswerOfAnotherSizeIsADefectOfTheReplica() throws Exception {
    Reply reply = new Reply();
    long id = send(reply, 1, 2);
    replica.answer(answer(id, 1));
    assertFails(reply, ErrorCode.INTERNAL, "replica replica-1 answered 1 bytes where 2 were due");
  }

  @Test
  void anAnswerToNobodyEndsTheStream() throws Exception {
    Reply inFlight = new Reply();
    send(inFlight, 1);
    replica.answer(answer(77, 1, 2, 3));
    assertFails(inFlight, ErrorCode.UNAVAILABLE, "which is not in flight");
  }

  @Test
  void aSecondAnswerEndsTheStream() throws Exception {
    Reply answered = new Reply();
    long id = send(answered, 1);
    replica.answer(answer(id, 5));
    await(answered);
    Reply inFlight = new Reply();
    send(inFlight, 1);
    replica.answer(answer(id, 6));
    assertFails(inFlight, ErrorCode.UNAVAILABLE, "which is not in flight");
  }

  @Test
  void aCancelledBatchIsToldToTheReplicaAndItsLateAnswerIgnored() throws Exception {
    Reply cancelled = new Reply();
    long id = send(cancelled, 1, 2);
    assertEquals(id, replica.next().getBatchId());
    stream.cancel(id);
    ExchangeRequest cancel = replica.next();
    assertTrue(cancel.getCancel());
    assertEquals(id, cancel.getBatchId());
    assertEquals(0, stream.outstandingRows());
    replica.answer(answer(id, 1, 2));
    Reply next = new Reply();
    replica.answer(answer(send(next, 1), 7));
    await(next);
    assertFalse(cancelled.isDone());
    stream.cancel(id);
  }

  @Test
  void theLossOfTheStreamFailsEverythingInFlight() throws Exception {
    Reply first = new Reply();
    Reply second = new Reply();
    send(first, 1);
    send(second, 2);
    replica.end(Status.INTERNAL.withDescription("the replica is ill"));
    assertFails(first, ErrorCode.UNAVAILABLE, "replica replica-1 was lost: the replica is ill");
    assertFails(second, ErrorCode.UNAVAILABLE, "replica replica-1 was lost");
    assertEquals(Status.Code.INTERNAL, await(closed).getCode());
    assertEquals(0, stream.outstandingRows());
  }

  @Test
  void aReplicaThatEndsTheStreamWellIsLostToo() throws Exception {
    Reply reply = new Reply();
    send(reply, 1);
    replica.end(Status.OK);
    assertFails(reply, ErrorCode.UNAVAILABLE, "the replica ended the stream");
  }

  @Test
  void aBatchSentOnALostStreamFailsAtOnce() throws Exception {
    replica.close();
    await(closed);
    Reply reply = new Reply();
    send(reply, 1);
    assertFails(reply, ErrorCode.UNAVAILABLE, "replica replica-1 was lost");
    assertEquals(0, stream.outstandingRows());
  }

  @Test
  void whatComesTooLateDoesNotDisturbAStreamThatDrains() throws Exception {
    Reply inFlight = new Reply();
    long id = send(inFlight, 1);
    assertEquals(id, replica.next().getBatchId());
    stream.complete();
    Reply late = new Reply();
    send(late, 1);
    assertFails(late, ErrorCode.UNAVAILABLE, "it is shutting down");
    replica.answer(answer(id, 5));
    assertEquals(ByteString.copyFrom(new byte[] {5}), await(inFlight));
  }

  @Test
  void anAbortFailsWhatIsInFlight() throws Exception {
    Reply reply = new Reply();
    send(reply, 1);
    stream.abort();
    assertFails(reply, ErrorCode.UNAVAILABLE, "the router ends the stream");
  }

  /** A row a byte. */
  private long send(Reply reply, int... rows) {
    ByteBuf payload = Buffers.allocate(rows.length).clear();
    for (int row : rows) {
      payload.writeByte(row);
    }
    ExchangeRequest.Builder header =
        ExchangeRequest.newBuilder().setLayer("layer").setDtype(Dtype.DTYPE_FP32);
    return stream.send(header, payload, rows.length, reply);
  }

  private static ExchangeResponse answer(long id, int... rows) {
    byte[] bytes = new byte[rows.length];
    for (int i = 0; i < rows.length; i++) {
      bytes[i] = (byte) rows[i];
    }
    return ExchangeResponse.newBuilder()
        .setBatchId(id)
        .setDtype(Dtype.DTYPE_FP32)
        .setRows(ByteString.copyFrom(bytes))
        .build();
  }

  private static <T> T await(CompletableFuture<T> future) throws Exception {
    return future.get(30, TimeUnit.SECONDS);
  }

  private static void assertFails(Reply reply, ErrorCode code, String message) {
    ExecutionException e = assertThrows(ExecutionException.class, () -> await(reply));
    GuildhallException failure =
        assertInstanceOf(GuildhallException.class, e.getCause(), e.toString());
    assertEquals(code, failure.code());
    assertTrue(failure.getMessage().contains(message), failure.getMessage());
  }
}
