package dev.guildhall.rpc;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import dev.guildhall.proto.inference.GrpcPredictV2;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Clients have stubs from the published definition of the protocol: ours must stay the same. */
class InferProtocolTest {
  @Test
  void everyFieldHasItsPublishedNumberAndType() throws Exception {
    List<String> ours =
        GrpcPredictV2.getDescriptor().getMessageTypes().stream()
            .flatMap(message -> fields("", message))
            .sorted()
            .toList();
    assertEquals("inference", GrpcPredictV2.getDescriptor().getPackage());
    assertEquals(published(), ours);
  }

  private static List<String> published() throws Exception {
    try (InputStream in =
        requireNonNull(InferProtocolTest.class.getResourceAsStream("/inference/fields.txt"))) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8)
          .lines()
          .filter(line -> !line.startsWith("#"))
          .sorted()
          .toList();
    }
  }

  private static Stream<String> fields(String prefix, Descriptor message) {
    if (message.getOptions().getMapEntry()) {
      return Stream.of();
    }
    String name = prefix + message.getName() + ".";
    return Stream.concat(
        message.getFields().stream().map(field -> name + text(field)),
        message.getNestedTypes().stream().flatMap(nested -> fields(name, nested)));
  }

  private static String text(FieldDescriptor field) {
    return "%s %d %s%s"
        .formatted(
            field.getName(),
            field.getNumber(),
            field.getType().name().toLowerCase(Locale.ROOT),
            field.isRepeated() ? " r" : "");
  }
}
