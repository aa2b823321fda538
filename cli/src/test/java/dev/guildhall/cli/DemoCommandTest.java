package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DemoCommandTest {
  @TempDir private Path folder;

  @Test
  void printsOneJsonObjectForScripts() throws Exception {
    try (CommandProcess demo = CommandProcess.start(folder, "demo", "--json")) {
      assertEquals(0, demo.exitCode(), demo.err());
      assertEquals(1, demo.out().lines().count(), demo.out());
      JsonObject result = JsonParser.parseString(demo.out()).getAsJsonObject();
      assertEquals(589, result.get("correct").getAsInt());
      assertEquals(599, result.get("total").getAsInt());
      assertTrue(result.get("max_abs_diff").getAsDouble() <= 1e-4, demo.out());
      assertEquals(
          Tensors.floats(Digits.HELD_OUT, "l_aux")[0], result.get("l_aux").getAsFloat(), 1e-5);
      assertEquals(
          Arrays.stream(Tensors.longs(Digits.HELD_OUT, "exp_counts")).boxed().toList(),
          result.getAsJsonArray("exp_counts").asList().stream()
              .map(JsonElement::getAsLong)
              .toList());
    }
  }

  @Test
  void tellsPeopleTheAccuracyAndDrawsTheTokensOfEachExpert() throws Exception {
    try (CommandProcess demo = CommandProcess.start(folder, "demo")) {
      assertEquals(0, demo.exitCode(), demo.err());
      assertTrue(demo.out().contains("98.33 % (589/599 held-out pictures)"), demo.out());
      assertEquals(
          8,
          demo.out().lines().filter(line -> line.matches("expert +\\d +\\d+ #+")).count(),
          demo.out());
    }
  }
}
