package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/** The guildhall command in a process of its own, started as the launcher does. */
public final class CommandProcess implements AutoCloseable {
  private static final long LIMIT_SECONDS = 60;

  private final Process process;
  private final Path err;
  private final CompletableFuture<String> readyLine = new CompletableFuture<>();
  private final CompletableFuture<String> out = new CompletableFuture<>();

  private CommandProcess(Process process, Path err) {
    this.process = process;
    this.err = err;
    Thread.ofVirtual().start(this::read);
  }

  /**
   * Starts a command.
   *
   * @param logs folder for what it writes to stderr
   */
  static CommandProcess start(Path logs, String... arguments) throws IOException {
    return start(
        logs, List.of(), List.of("-Xmx256m", "-XX:TieredStopAtLevel=1"), List.of(arguments));
  }

  /**
   * Starts a command.
   *
   * @param logs folder for what it writes to stderr
   * @param prefix what executes it, as {@code ip netns exec NAME}; empty for nothing
   * @param jvmFlags beside those of the launcher
   */
  public static CommandProcess start(
      Path logs, List<String> prefix, List<String> jvmFlags, List<String> arguments)
      throws IOException {
    List<String> command = new ArrayList<>(prefix);
    command.addAll(command(jvmFlags));
    command.addAll(arguments);
    Path err = Files.createTempFile(logs, arguments.getFirst() + "-", ".err");
    ProcessBuilder builder = new ProcessBuilder(command).redirectError(err.toFile());
    // Variables of whoever runs the tests must not set flags.
    builder.environment().keySet().removeIf(name -> name.startsWith("GUILDHALL_"));
    // A router has this port whether a test looks at it or not.
    builder.environment().put("GUILDHALL_HTTP_PORT", "0");
    return new CommandProcess(builder.start(), err);
  }

  /** What starts a command; its arguments follow. */
  static List<String> command(List<String> jvmFlags) {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(
        List.of(
            "--sun-misc-unsafe-memory-access=allow",
            "--enable-native-access=ALL-UNNAMED",
            "-Dguildhall.home="
                + Path.of(System.getProperty("guildhall.home", "..")).toAbsolutePath()));
    command.addAll(jvmFlags);
    command.addAll(List.of("-cp", classPath(), Guildhall.class.getName()));
    return command;
  }

  private void read() {
    StringBuilder text = new StringBuilder();
    try (BufferedReader lines = process.inputReader()) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        text.append(line).append('\n');
        if (line.startsWith("ready ")) {
          readyLine.complete(line);
        }
      }
    } catch (IOException e) {
      text.append(e);
    }
    out.complete(text.toString());
    readyLine.completeExceptionally(new IllegalStateException("it ended before it was ready"));
  }

  /** Waits for the line {@code ready} and gives a port that it names. */
  public int port(String name) throws InterruptedException {
    String line = awaitReady();
    Matcher port = Pattern.compile(name + "=(\\d+)").matcher(line);
    assertTrue(port.find(), line);
    return Integer.parseInt(port.group(1));
  }

  private String awaitReady() throws InterruptedException {
    try {
      return readyLine.get(LIMIT_SECONDS, TimeUnit.SECONDS);
    } catch (ExecutionException | TimeoutException e) {
      throw new AssertionError(err(), e);
    }
  }

  boolean isReady() {
    return readyLine.isDone();
  }

  /** Waits for the end. */
  public int exitCode() throws InterruptedException {
    if (!process.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS)) {
      fail("still running after %d s: %s".formatted(LIMIT_SECONDS, err()));
    }
    return process.exitValue();
  }

  /** All of stdout, once it has ended. */
  String out() throws Exception {
    return out.get(LIMIT_SECONDS, TimeUnit.SECONDS);
  }

  /** Stderr so far. */
  public String err() {
    try {
      return Files.readString(err);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** SIGTERM. */
  public void terminate() {
    process.destroy();
  }

  /** SIGKILL. */
  public void kill() throws InterruptedException {
    process.destroyForcibly().waitFor();
  }

  /** SIGSTOP: its connections stay open and nothing comes from it. */
  public void pause() throws Exception {
    signal("-STOP");
  }

  /** SIGCONT. */
  public void resume() throws Exception {
    signal("-CONT");
  }

  public long pid() {
    return process.pid();
  }

  public boolean isAlive() {
    return process.isAlive();
  }

  private void signal(String name) throws Exception {
    Process kill = new ProcessBuilder("kill", name, Long.toString(process.pid())).start();
    assertEquals(0, kill.waitFor());
  }

  @Override
  public void close() {
    process.destroyForcibly();
  }

  /** What the launcher's would be: without the tests, whose logging is set up in another way. */
  private static String classPath() {
    return Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
        .filter(entry -> !entry.endsWith("test-classes") && !entry.endsWith("-tests.jar"))
        .collect(Collectors.joining(File.pathSeparator));
  }
}
