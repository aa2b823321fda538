package dev.guildhall.expert.exchange;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.guildhall.expert.batching.ComputePool;
import dev.guildhall.expert.batching.ExpertKey;
import dev.guildhall.expert.batching.ExpertQueue;
import dev.guildhall.expert.runtime.ExpertRuntime;
import dev.guildhall.proto.DType;
import dev.guildhall.proto.DescribeRequest;
import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import dev.guildhall.proto.HostedLayer;
import dev.guildhall.proto.WatchRequest;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.repository.Uses;
import dev.guildhall.rpc.RpcServer;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The exchange as a router with generated stubs sees it, over a socket. */
class ExchangeSessionTest {
  private static final int HIDDEN = 2;
  private static final String DIGEST = "0123456789abcdef";
  private static final int MAX_QUEUED_ROWS = 100;

  private final Transport transport = new Transport(1, 1 << 20);
  private final Gated gated = new Gated();
  private final ComputePool pool =
      ComputePool.builder().workers(1).maxQueuedRows(MAX_QUEUED_ROWS).start();
  private final Recorder<ExchangeResponse> answers = new Recorder<>();
  private final HostedExperts hosted = new HostedExperts("cpu");
  private final CompletableFuture<Void> ended = new CompletableFuture<>();
  private RpcServer server;
  private ManagedChannel channel;
  private StreamObserver<ExchangeRequest> requests;

  @BeforeEach
  void open() throws Exception {
    hosted.host(version(DIGEST, ended));
    server =
        RpcServer.start(
            transport.server(0), List.of(new ExpertEndpoint(hosted, pool)), Duration.ofSeconds(1));
    channel = transport.channel("localhost:" + server.port());
    requests = ExpertServiceGrpc.newStub(channel).exchange(answers);
  }

  private HostedVersion version(String digest, CompletableFuture<Void> end) {
    SortedMap<Integer, ExpertQueue> experts = new TreeMap<>();
    experts.put(0, pool.host(new ExpertKey("layer", 0), new Copying()));
    experts.put(2, pool.host(new ExpertKey("layer", 2), gated));
    return new HostedVersion(
        new LayerVersion("layer", digest), 3, experts, new Uses(() -> end.complete(null)));
  }

  @AfterEach
  void close() {
    gated.permits.release(1_000);
    channel.shutdownNow();
    server.close();
    pool.close();
    transport.close();
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

  private static final class Recorder<T> implements StreamObserver<T> {
    private final BlockingQueue<T> received = new LinkedBlockingQueue<>();
    private final CompletableFuture<Void> end = new CompletableFuture<>();

    @Override
    public void onNext(T response) {
      received.add(response);
    }

    @Override
    public void onError(Throwable failure) {
      end.completeExceptionally(failure);
    }

    @Override
    public void onCompleted() {
      end.complete(null);
    }

    T next() throws InterruptedException {
      T response = received.poll(30, TimeUnit.SECONDS);
      if (response == null) {
        throw new AssertionError("no answer within 30 s");
      }
      return response;
    }
  }

  private static ExchangeRequest.Builder batch(long id, int expert, int rows) {
    return ExchangeRequest.newBuilder()
        .setBatchId(id)
        .setLayer("layer")
        .setDtype(DType.DTYPE_FP32)
        .setTimeoutUs(30_000_000)
        .addExperts(expert)
        .addRowCounts(rows)
        .setRows(rows(rows));
  }

  private static ByteString rows(int rows) {
    ByteBuffer bytes =
        ByteBuffer.allocate(rows * HIDDEN * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < rows * HIDDEN; i++) {
      bytes.putFloat(i);
    }
    return ByteString.copyFrom(bytes.flip());
  }

  static Stream<Arguments> badBatches() {
    return Stream.of(
        bad(
            "unknown layer",
            batch(7, 0, 1).setLayer("pear"),
            Status.Code.NOT_FOUND,
            "layer \"pear\" is not hosted here; hosted are: layer@0123456789ab"),
        bad(
            "another version",
            batch(7, 0, 1).setDigest("cafe"),
            Status.Code.NOT_FOUND,
            "layer \"layer@cafe\" is not hosted here"),
        bad(
            "expert of another rank",
            batch(7, 1, 1),
            Status.Code.NOT_FOUND,
            "expert 1 of layer layer@0123456789ab is not hosted here; hosted are: [0, 2]"),
        bad("negative expert", batch(7, -1, 1), Status.Code.NOT_FOUND, "expert -1"),
        bad(
            "fewer bytes",
            batch(7, 0, 2).setRows(rows(1)),
            Status.Code.INVALID_ARGUMENT,
            "rows has 8 bytes; allowed is 16, for 2 rows of hidden_size 2"),
        bad(
            "more bytes",
            batch(7, 0, 1).setRows(rows(2)),
            Status.Code.INVALID_ARGUMENT,
            "rows has 16 bytes; allowed is 8"),
        bad(
            "no bytes",
            batch(7, 0, 1).clearRows(),
            Status.Code.INVALID_ARGUMENT,
            "rows has 0 bytes"),
        bad(
            "more experts than counts",
            batch(7, 0, 1).addExperts(2),
            Status.Code.INVALID_ARGUMENT,
            "2 experts and 1 row_counts"),
        bad(
            "more counts than experts",
            batch(7, 0, 1).addRowCounts(2),
            Status.Code.INVALID_ARGUMENT,
            "1 experts and 2 row_counts"),
        bad(
            "no experts",
            batch(7, 0, 1).clearExperts().clearRowCounts().clearRows(),
            Status.Code.INVALID_ARGUMENT,
            "0 experts and 0 row_counts"),
        bad("no rows", batch(7, 0, 0), Status.Code.INVALID_ARGUMENT, "0 rows"),
        bad(
            "negative rows",
            batch(7, 0, 2).clearRowCounts().addRowCounts(-2),
            Status.Code.INVALID_ARGUMENT,
            "-2 rows"),
        bad(
            "as many rows as wrap to right ones",
            batch(7, 0, 1)
                .clearRowCounts()
                .clearExperts()
                .addExperts(0)
                .addExperts(0)
                .addExperts(0)
                .addRowCounts(Integer.MAX_VALUE)
                .addRowCounts(Integer.MAX_VALUE)
                .addRowCounts(3),
            Status.Code.INVALID_ARGUMENT,
            "rows has 8 bytes"),
        bad(
            "no timeout",
            batch(7, 0, 1).clearTimeoutUs(),
            Status.Code.INVALID_ARGUMENT,
            "timeout_us is 0; allowed is from 1"),
        bad(
            "no dtype",
            batch(7, 0, 1).clearDtype(),
            Status.Code.INVALID_ARGUMENT,
            "dtype is DTYPE_UNSPECIFIED; allowed is DTYPE_FP32"),
        bad(
            "a dtype of another size",
            batch(7, 0, 1).setDtype(DType.DTYPE_FP16),
            Status.Code.INVALID_ARGUMENT,
            "rows has"),
        bad(
            "unknown dtype",
            batch(7, 0, 1).setDtypeValue(99),
            Status.Code.INVALID_ARGUMENT,
            "dtype is UNRECOGNIZED"),
        bad(
            "more rows than the queue takes",
            batch(7, 0, MAX_QUEUED_ROWS + 1),
            Status.Code.INVALID_ARGUMENT,
            "batch of 101 rows"));
  }

  private static Arguments bad(
      String name, ExchangeRequest.Builder batch, Status.Code code, String message) {
    return Arguments.of(name, batch.build(), code, message);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("badBatches")
  void aBadBatchAnswersAnErrorAndTheStreamGoesOn(
      String name, ExchangeRequest batch, Status.Code code, String message) throws Exception {
    requests.onNext(batch);
    assertError(answers.next(), 7, code, message);
    requests.onNext(batch(7, 0, 1).build());
    ExchangeResponse good = answers.next();
    assertFalse(good.hasError(), name + ": " + good);
    assertEquals(rows(1), good.getRows());
  }

  @Test
  void rowsOfSeveralExpertsComeBackInTheirOrder() throws Exception {
    gated.permits.release();
    requests.onNext(batch(1, 2, 3).addExperts(0).addRowCounts(2).setRows(rows(5)).build());
    ExchangeResponse response = answers.next();
    assertEquals(1, response.getBatchId());
    assertEquals(DType.DTYPE_FP32, response.getDtype());
    assertEquals(rows(5), response.getRows());
  }

  @Test
  void batchesAreAnsweredAsTheyFinish() throws Exception {
    Map<Long, ExchangeResponse> byId = new HashMap<>();
    for (int id = 0; id < 50; id++) {
      requests.onNext(batch(id, 0, 1 + id % 2).build());
    }
    requests.onCompleted();
    for (int i = 0; i < 50; i++) {
      ExchangeResponse response = answers.next();
      byId.put(response.getBatchId(), response);
    }
    answers.end.get(30, TimeUnit.SECONDS);
    assertEquals(50, byId.size());
    byId.forEach((id, response) -> assertEquals(rows((int) (1 + id % 2)), response.getRows()));
  }

  @Test
  void anIdInFlightIsRefusedAndItsBatchGoesOn() throws Exception {
    requests.onNext(batch(7, 2, 1).build());
    assertTrue(gated.entered.await(30, TimeUnit.SECONDS));
    requests.onNext(batch(7, 0, 1).build());
    assertError(answers.next(), 7, Status.Code.INVALID_ARGUMENT, "batch_id 7 is in flight already");
    gated.permits.release();
    assertEquals(rows(1), answers.next().getRows());
  }

  @Test
  void aFullQueueIsResourceExhausted() throws Exception {
    requests.onNext(batch(1, 2, 1).build());
    assertTrue(gated.entered.await(30, TimeUnit.SECONDS));
    requests.onNext(batch(2, 0, 60).build());
    requests.onNext(batch(3, 0, 60).build());
    assertError(
        answers.next(), 3, Status.Code.RESOURCE_EXHAUSTED, "60 rows are queued and 60 more");
    gated.permits.release();
    assertEquals(1, answers.next().getBatchId());
    assertEquals(2, answers.next().getBatchId());
  }

  @Test
  void aCancelledBatchIsNotComputed() throws Exception {
    requests.onNext(batch(1, 2, 1).build());
    assertTrue(gated.entered.await(30, TimeUnit.SECONDS));
    requests.onNext(batch(2, 2, 1).build());
    requests.onNext(ExchangeRequest.newBuilder().setBatchId(2).setCancel(true).build());
    requests.onNext(ExchangeRequest.newBuilder().setBatchId(99).setCancel(true).build());
    // Answered at once, so that the cancellations before it have been read.
    requests.onNext(batch(3, 1, 1).build());
    assertError(answers.next(), 3, Status.Code.NOT_FOUND, "expert 1");
    gated.permits.release();
    assertEquals(1, answers.next().getBatchId());
    assertError(answers.next(), 2, Status.Code.CANCELLED, "cancelled");
    assertEquals(0, gated.permits.availablePermits());
  }

  @Test
  void aBatchPastItsTimeoutIsNotComputed() throws Exception {
    requests.onNext(batch(1, 2, 1).build());
    assertTrue(gated.entered.await(30, TimeUnit.SECONDS));
    requests.onNext(batch(2, 2, 1).setTimeoutUs(1).build());
    requests.onNext(batch(3, 1, 1).build());
    assertError(answers.next(), 3, Status.Code.NOT_FOUND, "expert 1");
    gated.permits.release();
    assertEquals(1, answers.next().getBatchId());
    assertError(answers.next(), 2, Status.Code.DEADLINE_EXCEEDED, "deadline");
  }

  @Test
  void aTimeoutOfCenturiesIsTaken() throws Exception {
    for (long timeout : new long[] {Long.MAX_VALUE, -1}) {
      requests.onNext(batch(1, 0, 1).setTimeoutUs(timeout).build());
      assertFalse(answers.next().hasError(), "timeout_us " + Long.toUnsignedString(timeout));
    }
  }

  @Test
  void describesWhatItHosts() {
    assertEquals(
        "cpu",
        ExpertServiceGrpc.newBlockingStub(channel)
            .describe(DescribeRequest.getDefaultInstance())
            .getDevice());
  }

  @Test
  void aVersionThatIsReplacedEndsWithItsLastBatch() throws Exception {
    requests.onNext(batch(1, 2, 1).setDigest(DIGEST).build());
    assertTrue(gated.entered.await(30, TimeUnit.SECONDS));
    hosted.retire("layer");
    requests.onNext(batch(2, 0, 1).setDigest(DIGEST).build());
    assertError(answers.next(), 2, Status.Code.NOT_FOUND, "hosted are: ");
    assertFalse(ended.isDone());
    gated.permits.release();
    assertFalse(answers.next().hasError());
    ended.get(30, TimeUnit.SECONDS);
  }

  @Test
  void aVersionStaysAsLongAsARouterUsesIt() throws Exception {
    Recorder<DescribeResponse> descriptions = new Recorder<>();
    StreamObserver<WatchRequest> watch = ExpertServiceGrpc.newStub(channel).watch(descriptions);
    assertEquals(List.of(DIGEST), digests(descriptions.next()));
    watch.onNext(inUse(DIGEST));
    // The next is handled after it, on the same connection.
    requests.onNext(batch(1, 0, 1).build());
    answers.next();
    hosted.host(version("fedcba9876543210", new CompletableFuture<>()));
    assertEquals(List.of(DIGEST, "fedcba9876543210"), digests(descriptions.next()));
    requests.onNext(batch(2, 0, 1).setDigest(DIGEST).build());
    assertFalse(answers.next().hasError());
    assertFalse(ended.isDone());
    watch.onNext(inUse("fedcba9876543210"));
    assertEquals(List.of("fedcba9876543210"), digests(descriptions.next()));
    ended.get(30, TimeUnit.SECONDS);
  }

  @Test
  void aRouterThatGoesAwayUsesNothingAnyMore() throws Exception {
    Recorder<DescribeResponse> descriptions = new Recorder<>();
    StreamObserver<WatchRequest> watch = ExpertServiceGrpc.newStub(channel).watch(descriptions);
    descriptions.next();
    watch.onNext(inUse(DIGEST));
    requests.onNext(batch(1, 0, 1).build());
    answers.next();
    hosted.retire("layer");
    assertEquals(List.of(DIGEST), digests(descriptions.next()));
    watch.onError(Status.CANCELLED.asRuntimeException());
    ended.get(30, TimeUnit.SECONDS);
  }

  private static WatchRequest inUse(String digest) {
    return WatchRequest.newBuilder()
        .addInUse(dev.guildhall.proto.LayerVersion.newBuilder().setName("layer").setDigest(digest))
        .build();
  }

  private static List<String> digests(DescribeResponse description) {
    return description.getLayersList().stream().map(HostedLayer::getDigest).toList();
  }

  private static void assertError(
      ExchangeResponse response, long id, Status.Code code, String message) {
    assertEquals(id, response.getBatchId());
    assertEquals(code.value(), response.getError().getCode(), response.toString());
    assertTrue(response.getError().getMessage().contains(message), response.toString());
    assertEquals(ByteString.EMPTY, response.getRows());
  }
}
