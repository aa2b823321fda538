package dev.guildhall.expert.exchange;

import static dev.guildhall.expert.exchange.ServedExperts.DIGEST;
import static dev.guildhall.expert.exchange.ServedExperts.assertError;
import static dev.guildhall.expert.exchange.ServedExperts.batch;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import dev.guildhall.proto.HostedLayer;
import dev.guildhall.proto.WatchRequest;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Which versions of a layer an expert service keeps for the routers that watch it. */
class WatchSessionTest {
  private ServedExperts experts;

  @BeforeEach
  void open() throws Exception {
    experts = new ServedExperts();
  }

  @AfterEach
  void close() {
    experts.close();
  }

  @Test
  void aVersionThatIsReplacedEndsWithItsLastBatch() throws Exception {
    experts.send(batch(1, 2, 1).setDigest(DIGEST));
    experts.awaitHeld();
    experts.hosted().retire("layer");
    experts.send(batch(2, 0, 1).setDigest(DIGEST));
    assertError(experts.answer(), 2, Status.Code.NOT_FOUND, "hosted are: ");
    assertFalse(experts.ended().isDone());
    experts.letGo();
    assertFalse(experts.answer().hasError());
    experts.ended().get(30, TimeUnit.SECONDS);
  }

  @Test
  void aVersionStaysAsLongAsARouterUsesIt() throws Exception {
    Recorder<DescribeResponse> descriptions = new Recorder<>();
    StreamObserver<WatchRequest> watch =
        ExpertServiceGrpc.newStub(experts.channel()).watch(descriptions);
    assertEquals(List.of(DIGEST), digests(descriptions.next()));
    watch.onNext(inUse(DIGEST));
    // The next is handled after it, on the same connection.
    experts.send(batch(1, 0, 1));
    experts.answer();
    experts.hosted().host(experts.version("fedcba9876543210", new CompletableFuture<>()));
    assertEquals(List.of(DIGEST, "fedcba9876543210"), digests(descriptions.next()));
    experts.send(batch(2, 0, 1).setDigest(DIGEST));
    assertFalse(experts.answer().hasError());
    assertFalse(experts.ended().isDone());
    watch.onNext(inUse("fedcba9876543210"));
    assertEquals(List.of("fedcba9876543210"), digests(descriptions.next()));
    experts.ended().get(30, TimeUnit.SECONDS);
  }

  @Test
  void aRouterThatGoesAwayUsesNothingAnyMore() throws Exception {
    Recorder<DescribeResponse> descriptions = new Recorder<>();
    StreamObserver<WatchRequest> watch =
        ExpertServiceGrpc.newStub(experts.channel()).watch(descriptions);
    descriptions.next();
    watch.onNext(inUse(DIGEST));
    experts.send(batch(1, 0, 1));
    experts.answer();
    experts.hosted().retire("layer");
    assertEquals(List.of(DIGEST), digests(descriptions.next()));
    watch.onError(Status.CANCELLED.asRuntimeException());
    experts.ended().get(30, TimeUnit.SECONDS);
  }

  private static WatchRequest inUse(String digest) {
    return WatchRequest.newBuilder()
        .addInUse(dev.guildhall.proto.LayerVersion.newBuilder().setName("layer").setDigest(digest))
        .build();
  }

  private static List<String> digests(DescribeResponse description) {
    return description.getLayersList().stream().map(HostedLayer::getDigest).toList();
  }
}
