package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.proto.Dtype;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.MoeLayerServiceGrpc;
import dev.guildhall.rpc.Transport;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Routers and expert services as processes of their own, on the loopback. */
class SeparateProcessesTest {
  private static final double TOLERANCE = 1e-4;

  @TempDir private Path folder;

  @Test
  void twoExpertsAndARouterAnswerAsDeepSpeedAndSurviveTheLossOfAnExpert() throws Exception {
    try (CommandProcess first = expert(0, 0);
        CommandProcess second = expert(1, 0)) {
      int secondPort = second.port("grpc");
      try (CommandProcess router = router(first.port("grpc"), secondPort)) {
        int port = router.port("grpc");
        inferReproducesDeepSpeed(port);
        try (Transport transport = new Transport(1, 1 << 20)) {
          ManagedChannel channel = transport.channel("localhost:" + port);
          try {
            second.kill();
            requestsFailNamingTheExpertsOf(channel);
            try (CommandProcess again = expert(1, secondPort)) {
              again.port("grpc");
              Await.until("healthy again", () -> health(channel) == ServingStatus.SERVING);
              assertAnswersAsDeepSpeed(channel);
              endsWell(router);
              endsWell(again);
            }
          } finally {
            channel.shutdownNow();
          }
        }
      }
      endsWell(first);
    }
  }

  @Test
  void aRouterIsNotReadyBeforeEveryExpertHasAHost() throws Exception {
    try (CommandProcess first = expert(0, 0);
        CommandProcess router = router(first.port("grpc"))) {
      String missing = "layer digits: no replica hosts expert 4, expert 5, expert 6, expert 7";
      Await.until("the router names the experts", () -> router.err().contains(missing));
      assertFalse(router.isReady());
      endsWell(router);
      assertEquals("", router.out());
      endsWell(first);
    }
  }

  @Test
  void wrongFlagsEndWithExitCode2() throws Exception {
    try (CommandProcess noRepository = CommandProcess.start(folder, "expert");
        CommandProcess unknown =
            CommandProcess.start(
                folder, "router", "--repository=.", "--experts=a:1", "--no-such-flag");
        CommandProcess noNumber =
            CommandProcess.start(folder, "expert", "--repository", ".", "--port", "many")) {
      assertEquals(2, noRepository.exitCode());
      assertTrue(noRepository.err().contains("--repository"), noRepository.err());
      assertEquals(2, unknown.exitCode());
      assertTrue(unknown.err().contains("--no-such-flag"), unknown.err());
      assertEquals(2, noNumber.exitCode());
      assertTrue(noNumber.err().contains("many"), noNumber.err());
    }
  }

  @Test
  void failuresEndWithExitCode1AndOneLine() throws Exception {
    String digits = Digits.REPOSITORY.toString();
    try (CommandProcess noFolder =
            CommandProcess.start(folder, "layers", "--repository", "no-such-folder");
        CommandProcess wrongCut =
            CommandProcess.start(
                folder, "expert", "--repository", digits, "--ep-rank", "0", "--ep-size", "3");
        CommandProcess wrongTarget =
            CommandProcess.start(
                folder,
                "router",
                "--repository",
                digits,
                "--port",
                "0",
                "--metrics-port",
                "0",
                "--experts",
                "http://somewhere")) {
      assertFailsWith(noFolder, "no-such-folder");
      assertFailsWith(wrongCut, "ep_size is 3; allowed is a divisor of layer digits's");
      assertFailsWith(wrongTarget, "target is \"http://somewhere\"; allowed is host:port");
    }
  }

  private static void assertFailsWith(CommandProcess process, String message) throws Exception {
    assertEquals(1, process.exitCode(), process.err());
    assertEquals("", process.out());
    assertEquals(1, process.err().lines().count(), process.err());
    assertTrue(process.err().startsWith("guildhall: "), process.err());
    assertTrue(process.err().contains(message), process.err());
  }

  private CommandProcess expert(int rank, int port) throws Exception {
    return CommandProcess.start(
        folder,
        "expert",
        "--repository=" + Digits.REPOSITORY,
        "--ep-rank=" + rank,
        "--ep-size=2",
        "--port=" + port,
        "--metrics-port=0");
  }

  private CommandProcess router(int... expertPorts) throws Exception {
    String experts =
        String.join(",", Arrays.stream(expertPorts).mapToObj(port -> "localhost:" + port).toList());
    return CommandProcess.start(
        folder,
        "router",
        "--repository=" + Digits.REPOSITORY,
        "--experts=" + experts,
        "--port=0",
        "--metrics-port=0");
  }

  private void inferReproducesDeepSpeed(int port) throws Exception {
    Path output = folder.resolve("output.safetensors");
    try (CommandProcess infer =
        CommandProcess.start(
            folder,
            "infer",
            "--target=localhost:" + port,
            "--layer=digits",
            "--input=" + Digits.HELD_OUT,
            "--output=" + output)) {
      assertEquals(0, infer.exitCode(), infer.err());
    }
    Tensors.assertClose(
        Tensors.floats(Digits.HELD_OUT, "moe_output"), Tensors.floats(output, "output"), TOLERANCE);
    Tensors.assertClose(
        Tensors.floats(Digits.HELD_OUT, "l_aux"), Tensors.floats(output, "l_aux"), TOLERANCE);
    assertArrayEquals(
        Tensors.longs(Digits.HELD_OUT, "exp_counts"), Tensors.longs(output, "exp_counts"));
  }

  private static void requestsFailNamingTheExpertsOf(ManagedChannel channel) {
    Await.until("not healthy", () -> health(channel) == ServingStatus.NOT_SERVING);
    StatusRuntimeException e =
        assertThrows(StatusRuntimeException.class, () -> forwardHeldOut(channel));
    assertEquals(Status.Code.UNAVAILABLE, e.getStatus().getCode());
    assertEquals(
        "layer digits: no replica hosts expert 4, expert 5, expert 6, expert 7",
        e.getStatus().getDescription());
  }

  private static void assertAnswersAsDeepSpeed(ManagedChannel channel) {
    Tensors.assertClose(
        Tensors.floats(Digits.HELD_OUT, "moe_output"),
        Tensors.floats(forwardHeldOut(channel).getOutput()),
        TOLERANCE);
  }

  /** DeepSpeed's answer to this is in the same file. */
  static ForwardResponse forwardHeldOut(ManagedChannel channel) {
    float[] hiddenStates = Tensors.floats(Digits.HELD_OUT, "hidden_states");
    return MoeLayerServiceGrpc.newBlockingStub(channel)
        .withDeadlineAfter(30, TimeUnit.SECONDS)
        .forward(
            ForwardRequest.newBuilder()
                .setLayer(Digits.LAYER)
                .setDtype(Dtype.DTYPE_FP32)
                .addShape(hiddenStates.length / Digits.HIDDEN_SIZE)
                .addShape(Digits.HIDDEN_SIZE)
                .setHiddenStates(Tensors.bytes(hiddenStates))
                .build());
  }

  private static ServingStatus health(ManagedChannel channel) {
    return HealthGrpc.newBlockingStub(channel)
        .withDeadlineAfter(10, TimeUnit.SECONDS)
        .check(HealthCheckRequest.getDefaultInstance())
        .getStatus();
  }

  private static void endsWell(CommandProcess server) throws InterruptedException {
    server.terminate();
    assertEquals(0, server.exitCode(), server.err());
  }
}
