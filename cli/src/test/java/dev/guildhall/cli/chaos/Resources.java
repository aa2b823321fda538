package dev.guildhall.cli.chaos;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** What a process holds at a moment. */
record Resources(long rssBytes, long heapBytes, long directBytes, long threads, long files) {
  private static final long COLLECTION_SECONDS = 60;

  /** Resident memory alone, which costs the process nothing to know. */
  static long rssBytes(Node node) throws IOException {
    return status(node, "VmRSS") << 10;
  }

  /** After a garbage collection. */
  static Resources of(Node node) throws IOException, InterruptedException {
    collectGarbage(node);
    MetricsPage page = node.metrics();
    try (Stream<Path> files = Files.list(proc(node).resolve("fd"))) {
      return new Resources(
          rssBytes(node),
          Math.round(page.sum("jvm_memory_used_bytes", "area=\"heap\"")),
          Math.round(page.sum("jvm_buffer_memory_used_bytes", "id=\"direct\"")),
          status(node, "Threads"),
          files.count());
    }
  }

  private static void collectGarbage(Node node) throws IOException, InterruptedException {
    Process collection =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "jcmd").toString(),
                Long.toString(node.process().pid()),
                "GC.run")
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start();
    if (!collection.waitFor(COLLECTION_SECONDS, TimeUnit.SECONDS)) {
      collection.destroyForcibly();
    }
  }

  private static long status(Node node, String field) throws IOException {
    String status = Files.readString(proc(node).resolve("status"));
    Matcher value = Pattern.compile(field + ":\\s+(\\d+)").matcher(status);
    if (!value.find()) {
      throw new IOException("no " + field + " in " + status);
    }
    return Long.parseLong(value.group(1));
  }

  private static Path proc(Node node) {
    return Path.of("/proc", Long.toString(node.process().pid()));
  }

  /** Whether nothing has grown by more than what comes and goes. */
  boolean within(Resources before, Resources slack) {
    return heapBytes <= before.heapBytes + slack.heapBytes
        && directBytes <= before.directBytes + slack.directBytes
        && threads <= before.threads + slack.threads
        && files <= before.files + slack.files;
  }

  @Override
  public String toString() {
    return "rss %d MiB, heap %d KiB, direct %d KiB, %d threads, %d files"
        .formatted(rssBytes >> 20, heapBytes >> 10, directBytes >> 10, threads, files);
  }
}
