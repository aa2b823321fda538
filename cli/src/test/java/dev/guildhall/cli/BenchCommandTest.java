package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** That bench works and says what scripts read; how fast anything is stands in no test. */
class BenchCommandTest {
  private static final List<String> LAYER_FIGURES =
      List.of(
          "tokens_per_second",
          "compute_limit_tokens_per_second",
          "throughput_ratio",
          "p50_us",
          "p90_us",
          "p99_us",
          "p999_us",
          "compute_limit_p50_us",
          "p50_ratio",
          "rpc_floor_p50_us",
          "rpc_floor_ratio",
          "cpu_us_per_token",
          "allocated_per_byte_moved");

  @TempDir private Path folder;

  @Test
  void benchesARandomLayer() throws Exception {
    JsonObject result =
        json(
            "bench",
            "layer",
            "--hidden=64",
            "--ffn=128",
            "--experts=4",
            "--tokens=8",
            "--concurrency=2",
            "--dtype=bf16",
            "--wire-dtype=fp16",
            "--unix",
            "--seconds=3",
            "--warmup-seconds=1",
            "--json");
    for (String figure : LAYER_FIGURES) {
      assertTrue(result.get(figure).getAsDouble() > 0, figure + " in " + result);
    }
    assertEquals(64, result.get("hidden").getAsInt());
  }

  @Test
  void benchesARunningRouter() throws Exception {
    try (CommandProcess served =
        CommandProcess.start(
            folder, "serve", "--repository=" + Digits.REPOSITORY, "--port=0", "--metrics-port=0")) {
      JsonObject result =
          json(
              "bench",
              "layer",
              "--repository=" + Digits.REPOSITORY,
              "--layer=digits",
              "--target=localhost:" + served.port("grpc"),
              "--tokens=4",
              "--seconds=3",
              "--warmup-seconds=1",
              "--json");
      assertTrue(result.get("tokens_per_second").getAsDouble() > 0, result::toString);
    }
  }

  @Test
  void benchesTheExchangeBesideRawTcp() throws Exception {
    JsonObject result =
        json("bench", "exchange", "--bytes=65536", "--seconds=3", "--warmup-seconds=1", "--json");
    for (String figure : List.of("gigabytes_per_second", "raw_tcp_gigabytes_per_second", "ratio")) {
      assertTrue(result.get(figure).getAsDouble() > 0, figure + " in " + result);
    }
  }

  @Test
  void refusesNonsenseAsUsage() throws Exception {
    try (CommandProcess bench = CommandProcess.start(folder, "bench", "layer", "--tokens=0")) {
      assertEquals(2, bench.exitCode(), bench.err());
      assertTrue(bench.err().contains("--tokens is 0; allowed is from 1"), bench.err());
    }
  }

  private JsonObject json(String... arguments) throws Exception {
    try (CommandProcess bench = CommandProcess.start(folder, arguments)) {
      assertEquals(0, bench.exitCode(), bench.err());
      assertEquals(1, bench.out().lines().count(), bench.out());
      return JsonParser.parseString(bench.out()).getAsJsonObject();
    }
  }
}
