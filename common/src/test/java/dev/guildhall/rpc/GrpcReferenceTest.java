package dev.guildhall.rpc;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class GrpcReferenceTest {
  /** If not: copy the one over the other. */
  @Test
  void isWhatTheProtoFilesSay() throws IOException {
    Path generated = Path.of("../proto/target/reference/grpc.md");
    assumeTrue(Files.exists(generated), "it is generated on Linux x86-64 only");
    assertEquals(Files.readString(generated), Files.readString(Path.of("../docs/grpc.md")));
  }
}
