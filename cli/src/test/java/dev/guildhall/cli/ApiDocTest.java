package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.Tools;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The examples of docs/api.md, as they stand there: what is bash, Java or Python runs against a
 * router, and prints what the next block says. "..." stands for anything.
 */
class ApiDocTest {
  private static final Set<String> LANGUAGES = Set.of("bash", "java", "python");

  private static final Path DOCUMENT =
      Path.of(System.getProperty("guildhall.home", ".."), "docs", "api.md");

  private static final Pattern BLOCK =
      Pattern.compile("^```(\\w*)\n(.*?)^```$", Pattern.MULTILINE | Pattern.DOTALL);

  /** An HTTP error fails, and progress is not printed. */
  private static final String PREAMBLE =
      "set -euo pipefail\ncurl() { command curl --silent --show-error --fail-with-body \"$@\"; }\n";

  @TempDir private Path folder;

  private static ServedSystem system;

  @BeforeAll
  static void start() throws Exception {
    system = ServedSystem.start(Digits.repository());
  }

  @AfterAll
  static void stop() {
    system.close();
  }

  private record Block(int line, String language, String text) {
    boolean runs() {
      return LANGUAGES.contains(language);
    }
  }

  /**
   * @param prints none: anything
   */
  record Example(Block block, Optional<Block> prints) {
    @Override
    public String toString() {
      return "%s at line %d".formatted(block.language(), block.line());
    }
  }

  static List<Example> examples() throws IOException {
    String document = Files.readString(DOCUMENT);
    List<Block> blocks = new ArrayList<>();
    Matcher found = BLOCK.matcher(document);
    while (found.find()) {
      int line = (int) document.substring(0, found.start()).lines().count() + 1;
      blocks.add(new Block(line, found.group(1), found.group(2)));
    }
    List<Example> examples = new ArrayList<>();
    for (int i = 0; i < blocks.size(); i++) {
      Block block = blocks.get(i);
      assertFalse(
          block.language().isEmpty(),
          "the block at line %d has no language".formatted(block.line()));
      if (block.runs()) {
        examples.add(
            new Example(
                block,
                blocks.stream().skip(i + 1L).limit(1).filter(next -> !next.runs()).findFirst()));
      }
    }
    return examples;
  }

  @Test
  void thereAreThisMany() throws Exception {
    assertEquals(8, examples().size());
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("examples")
  void printsWhatTheDocumentSays(Example example) throws Exception {
    String text =
        example
            .block()
            .text()
            .replace("8000", Integer.toString(system.httpPort()))
            .replace("8001", Integer.toString(system.port()));
    String printed =
        switch (example.block().language()) {
          case "java" -> runJava(text);
          case "python" -> PythonClient.generate().run(folder, Map.of(), "-c", text);
          default -> runBash(text);
        };
    if (example.prints().isPresent()) {
      Block expected = example.prints().get();
      assertTrue(
          pattern(expected.text()).matcher(bare(printed)).matches(),
          "line %d says:\n%s\nprinted is:\n%s"
              .formatted(expected.line(), expected.text(), printed));
    }
  }

  private String runBash(String text) throws IOException {
    Tools.need("bash");
    for (String program : List.of("curl", "buf")) {
      if (text.contains(program + " ")) {
        Tools.need(program);
      }
    }
    return Tools.run(folder, Map.of(), List.of("bash", "-c", PREAMBLE + text));
  }

  private String runJava(String text) throws IOException {
    Path source = Files.writeString(folder.resolve("Example.java"), text);
    return Tools.run(
        folder,
        Map.of(),
        List.of(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--sun-misc-unsafe-memory-access=allow",
            "--enable-native-access=ALL-UNNAMED",
            "--class-path",
            System.getProperty("java.class.path"),
            source.toString()));
  }

  private static Pattern pattern(String text) {
    return Pattern.compile(
        Arrays.stream(bare(text).split(Pattern.quote("..."), -1))
            .map(Pattern::quote)
            .collect(Collectors.joining(".*")));
  }

  private static String bare(String text) {
    return text.replaceAll("\\s", "");
  }
}
