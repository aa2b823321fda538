package dev.guildhall.expert.exchange;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.guildhall.expert.batching.ComputePool;
import dev.guildhall.expert.batching.ExpertKey;
import dev.guildhall.expert.batching.ExpertQueue;
import dev.guildhall.expert.runtime.ExpertRuntime;
import dev.guildhall.proto.Dtype;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.repository.Uses;
import dev.guildhall.rpc.RpcServer;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * An expert service of one layer with experts 0, which copies, and 2, which waits to be let go; a
 * router with generated stubs speaks to it over a socket.
 */
final class ServedExperts implements AutoCloseable {
  static final int HIDDEN = 2;
  static final String DIGEST = "0123456789abcdef";
  static final int MAX_QUEUED_ROWS = 100;

  private final Transport transport = new Transport(1, 1 << 20);
  private final Gated gated = new Gated();
  private final ComputePool pool =
      ComputePool.builder().workers(1).maxQueuedRows(MAX_QUEUED_ROWS).start();
  private final HostedExperts hosted = new HostedExperts("cpu");
  private final CompletableFuture<Void> ended = new CompletableFuture<>();
  private final Recorder<ExchangeResponse> answers = new Recorder<>();
  private final RpcServer server;
  private final ManagedChannel channel;
  private final StreamObserver<ExchangeRequest> requests;

  ServedExperts() throws IOException {
    hosted.host(version(DIGEST, ended));
    server =
        RpcServer.start(
            transport.server(0), List.of(new ExpertEndpoint(hosted, pool)), Duration.ofSeconds(1));
    channel = transport.channel("localhost:" + server.port());
    requests = ExpertServiceGrpc.newStub(channel).exchange(answers);
  }

  /** The layer's version that is served from the start, and others. */
  HostedVersion version(String digest, CompletableFuture<Void> end) {
    SortedMap<Integer, ExpertQueue> experts = new TreeMap<>();
    experts.put(0, pool.host(new ExpertKey("layer", 0), new Copying()));
    experts.put(2, pool.host(new ExpertKey("layer", 2), gated));
    return new HostedVersion(
        new LayerVersion("layer", digest), 3, experts, new Uses(() -> end.complete(null)));
  }

  HostedExperts hosted() {
    return hosted;
  }

  /** When {@link #DIGEST} is used no more. */
  CompletableFuture<Void> ended() {
    return ended;
  }

  ManagedChannel channel() {
    return channel;
  }

  StreamObserver<ExchangeRequest> requests() {
    return requests;
  }

  void send(ExchangeRequest.Builder batch) {
    requests.onNext(batch.build());
  }

  ExchangeResponse answer() throws InterruptedException {
    return answers.next();
  }

  /** Waits until the service has closed the exchange. */
  void awaitEnd() throws Exception {
    answers.awaitEnd();
  }

  /** Waits until a worker is held by expert 2. */
  void awaitHeld() throws InterruptedException {
    assertTrue(gated.entered.await(30, TimeUnit.SECONDS));
  }

  /** Lets one run of expert 2 go. */
  void letGo() {
    gated.permits.release();
  }

  @Override
  public void close() {
    gated.permits.release(1_000);
    channel.shutdownNow();
    server.close();
    pool.close();
    transport.close();
  }

  static ExchangeRequest.Builder batch(long id, int expert, int rows) {
    return ExchangeRequest.newBuilder()
        .setBatchId(id)
        .setLayer("layer")
        .setDtype(Dtype.DTYPE_FP32)
        .setTimeoutUs(30_000_000)
        .addExperts(expert)
        .addRowCounts(rows)
        .setRows(rows(rows));
  }

  static ByteString rows(int rows) {
    ByteBuffer bytes =
        ByteBuffer.allocate(rows * HIDDEN * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < rows * HIDDEN; i++) {
      bytes.putFloat(i);
    }
    return ByteString.copyFrom(bytes.flip());
  }

  static void assertError(ExchangeResponse response, long id, Status.Code code, String message) {
    assertEquals(id, response.getBatchId());
    assertEquals(code.value(), response.getError().getCode(), response.toString());
    assertTrue(response.getError().getMessage().contains(message), response.toString());
    assertEquals(ByteString.EMPTY, response.getRows());
  }

  /** Gives the rows back. */
  private static class Copying implements ExpertRuntime {
    @Override
    public int hiddenSize() {
      return HIDDEN;
    }

    @Override
    public void run(MemorySegment in, int rows, MemorySegment out) {
      out.copyFrom(in);
    }

    @Override
    public void close() {
      // Holds nothing.
    }
  }

  /** Waits for a permit before each run. */
  private static final class Gated extends Copying {
    private final CountDownLatch entered = new CountDownLatch(1);
    private final Semaphore permits = new Semaphore(0);

    @Override
    public void run(MemorySegment in, int rows, MemorySegment out) {
      entered.countDown();
      permits.acquireUninterruptibly();
      super.run(in, rows, out);
    }
  }
}
