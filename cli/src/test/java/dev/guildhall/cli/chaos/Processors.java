package dev.guildhall.cli.chaos;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/**
 * Divides this machine's processors between the servers and the clients, so that clients that offer
 * more take nothing from the servers, as if they were another machine. Needs taskset of util-linux
 * and Linux.
 */
final class Processors implements AutoCloseable {
  private static final long LIMIT_SECONDS = 20;

  private final List<String> all;

  private Processors(List<String> all) {
    this.all = all;
  }

  /**
   * Moves this JVM to the first half of its processors; processes that it starts now stay there.
   *
   * @throws IOException where processors cannot be divided; the message says why
   */
  static Processors forServers() throws IOException {
    Processors processors = new Processors(allowed());
    if (processors.all.size() < 2) {
      throw new IOException("there is one processor; servers and clients need one each");
    }
    move(processors.all.subList(0, processors.half()));
    return processors;
  }

  /** Moves this JVM to the other half. */
  void forClients() throws IOException {
    move(all.subList(half(), all.size()));
  }

  private int half() {
    return all.size() / 2;
  }

  @Override
  public void close() throws IOException {
    move(all);
  }

  /** The processors of {@code Cpus_allowed_list}, for example {@code 0-1,4}. */
  private static List<String> allowed() throws IOException {
    String key = "Cpus_allowed_list:";
    String ranges =
        Files.readAllLines(Path.of("/proc/self/status")).stream()
            .filter(line -> line.startsWith(key))
            .map(line -> line.substring(key.length()).strip())
            .collect(Collectors.joining());
    List<String> processors = new ArrayList<>();
    for (String range : ranges.split(",", -1)) {
      String[] ends = range.split("-", 2);
      for (int i = Integer.parseInt(ends[0]); i <= Integer.parseInt(ends[ends.length - 1]); i++) {
        processors.add(Integer.toString(i));
      }
    }
    return processors;
  }

  private static void move(List<String> processors) throws IOException {
    String pid = Long.toString(ProcessHandle.current().pid());
    Process taskset =
        new ProcessBuilder("taskset", "-acp", String.join(",", processors), pid)
            .redirectErrorStream(true)
            .start();
    String said =
        new String(taskset.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
    try {
      if (!taskset.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS) || taskset.exitValue() != 0) {
        throw new IOException("taskset: " + said);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
  }
}
