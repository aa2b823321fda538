package dev.guildhall.rpc;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import dev.guildhall.Tools;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The .proto files as buf sees them: in good form, and no surprise after the last release. */
class ProtoFilesTest {
  private static final Path ROOT = Path.of("..").toAbsolutePath().normalize();
  private static final String FILES = "proto/src/main/protobuf";
  private static final String CONFIGURATION = "proto/buf.yaml";

  @TempDir private Path folder;

  @BeforeEach
  void needsBuf() {
    Tools.need("buf");
  }

  private static String run(String... command) throws IOException {
    return Tools.run(ROOT, Map.of(), List.of(command));
  }

  /** Fails if files of before and those of now do not fit together. */
  private static void compare(Path before, Path now) throws IOException {
    run("buf", "breaking", now.toString(), "--against", before.toString());
  }

  @Test
  void areInGoodForm() throws Exception {
    run("buf", "lint", "proto");
  }

  @Test
  void doNotBreakClientsOfTheLastRelease() throws Exception {
    Tools.need("git");
    assumeFalse(
        run("git", "tag", "--list", "v*", "--merged", "HEAD").isBlank(),
        "there is no release to compare with");
    String release = run("git", "describe", "--tags", "--abbrev=0", "--match", "v*").strip();
    Path archive = folder.resolve("release.tar");
    run("git", "archive", "--output", archive.toString(), release, FILES);
    run("tar", "--extract", "--file", archive.toString(), "--directory", folder.toString());
    Path before = folder.resolve("proto");
    Files.copy(ROOT.resolve(CONFIGURATION), before.resolve("buf.yaml"));
    compare(before, ROOT.resolve("proto"));
  }

  @Test
  void aFieldThatGetsAnotherNumberIsFound() throws Exception {
    Path changed = folder.resolve("proto");
    Path service = changed.resolve("src/main/protobuf/guildhall/v1/moe_layer_service.proto");
    run("cp", "-r", "proto/src", "proto/buf.yaml", Files.createDirectory(changed).toString());
    Files.writeString(
        service, Files.readString(service).replace("Dtype dtype = 3;", "Dtype dtype = 13;"));
    IllegalStateException found =
        assertThrows(IllegalStateException.class, () -> compare(ROOT.resolve("proto"), changed));
    assertTrue(String.valueOf(found.getMessage()).contains("\"dtype\""), found.getMessage());
  }
}
