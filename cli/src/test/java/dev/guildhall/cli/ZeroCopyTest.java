package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.protobuf.ByteString;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.repository.ExpertParallel;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.router.RouterServer;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.TensorMethods;
import dev.guildhall.rpc.Transport;
import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.stub.ClientCalls;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.netty.buffer.ByteBuf;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The zero-copy path gives the bits that generated stubs and plain protobuf give. */
class ZeroCopyTest {
  private static final String LAYER = "layer";
  private static final int HIDDEN = 64;

  @TempDir private Path folder;

  private final Transport transport = new Transport(1, ServedSystem.MAX_MESSAGE_BYTES);
  private LayerRepository repository;
  private ExpertFleet experts;

  @BeforeEach
  void startExperts() throws Exception {
    LayerFiles.mlp(
        folder,
        LAYER,
        "{\"hidden_size\": 64, \"num_experts\": 4, \"k\": 2, \"drop_tokens\": false,"
            + " \"top2_2nd_expert_sampling\": false}");
    repository = LayerRepository.open(folder);
    experts =
        ExpertFleet.start(
            repository, List.of(ExpertParallel.WHOLE), transport, new SimpleMeterRegistry());
  }

  @AfterEach
  void close() {
    experts.close();
    transport.close();
  }

  /** Rows from below to beyond the size from which payloads are lent to gRPC's framer. */
  @ParameterizedTest
  @ValueSource(ints = {1, 10, 100, 1500})
  void exchangeGivesTheBitsOfGeneratedStubs(int tokens) throws Exception {
    ForwardRequest request = Requests.random(LAYER, tokens, HIDDEN, tokens).build();
    ForwardResponse zeroCopy = forward(experts.targets().getFirst(), request);
    try (GeneratedExperts generated = new GeneratedExperts(experts.targets().getFirst())) {
      assertEquals(forward(generated.target(), request), zeroCopy);
    }
    assertEquals(tokens * HIDDEN * Float.BYTES, zeroCopy.getOutput().size());
  }

  @Test
  void forwardGivesTheBitsOfGeneratedStubs() throws Exception {
    int tokens = 1000;
    float[] hiddenStates = Tensors.random(1, tokens * HIDDEN);
    ForwardRequest request = Requests.of(LAYER, hiddenStates, tokens, HIDDEN).build();
    try (RouterServer router = router(experts.targets().getFirst())) {
      ManagedChannel channel = transport.channel("localhost:" + router.port());
      ByteBuf payload = Buffers.allocate(hiddenStates.length * Float.BYTES);
      Buffers.segment(payload).copyFrom(MemorySegment.ofArray(hiddenStates));
      ForwardRequest header = request.toBuilder().clearHiddenStates().build();
      try (TensorMessage<ForwardRequest> message = new TensorMessage<>(header, payload);
          TensorMessage<ForwardResponse> zeroCopy =
              ClientCalls.blockingUnaryCall(
                  channel,
                  TensorMethods.FORWARD,
                  CallOptions.DEFAULT.withDeadlineAfter(30, TimeUnit.SECONDS),
                  message)) {
        ByteString output = ByteString.copyFrom(zeroCopy.payload().nioBuffer());
        assertEquals(
            forward(channel, request), zeroCopy.header().toBuilder().setOutput(output).build());
      } finally {
        channel.shutdownNow();
      }
    }
  }

  private ForwardResponse forward(String expertService, ForwardRequest request) throws Exception {
    try (RouterServer router = router(expertService)) {
      ManagedChannel channel = transport.channel("localhost:" + router.port());
      try {
        return forward(channel, request);
      } finally {
        channel.shutdownNow();
      }
    }
  }

  private static ForwardResponse forward(ManagedChannel channel, ForwardRequest request) {
    return MoeLayerServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(30, TimeUnit.SECONDS)
        .forward(request);
  }

  private RouterServer router(String expertService) throws Exception {
    RouterServer router =
        RouterServer.start(
            ServedSystem.options(List.of(expertService)),
            repository,
            transport,
            transport::channel,
            new SimpleMeterRegistry());
    router.ready().get(30, TimeUnit.SECONDS);
    return router;
  }
}
