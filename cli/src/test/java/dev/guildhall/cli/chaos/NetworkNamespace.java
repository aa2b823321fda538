package dev.guildhall.cli.chaos;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A network namespace joined to this machine's by a pair of virtual interfaces, whose packets to
 * and from a port can be lost, refused or dropped. Needs root, iproute2 and iptables.
 */
final class NetworkNamespace implements AutoCloseable {
  private static final long LIMIT_SECONDS = 20;

  /** Never the same twice: the kernel takes a namespace down some time after it is deleted. */
  private static final AtomicLong NEXT = new AtomicLong(ProcessHandle.current().pid());

  private final String name;
  private final String outside;
  private final String inside;

  private NetworkNamespace(long number) {
    this.name = "guildhall-" + number;
    // Of the range for tests of networks (RFC 2544), so that nothing real is hidden.
    String network = "198.18.0.";
    int first = (int) (number % 63) * 4;
    this.outside = network + (first + 1);
    this.inside = network + (first + 2);
  }

  /** Why there cannot be one here; empty if there can. */
  static Optional<String> missing() {
    NetworkNamespace trial = new NetworkNamespace(NEXT.getAndIncrement());
    try (trial) {
      trial.open();
      trial.lose(1, 0.05);
      return Optional.empty();
    } catch (IOException e) {
      return Optional.of(String.valueOf(e.getMessage()));
    }
  }

  static NetworkNamespace create() throws IOException {
    NetworkNamespace namespace = new NetworkNamespace(NEXT.getAndIncrement());
    try {
      namespace.open();
      return namespace;
    } catch (IOException e) {
      namespace.close();
      throw e;
    }
  }

  private void open() throws IOException {
    String link = "gh" + name.substring(name.indexOf('-') + 1);
    run("ip", "netns", "add", name);
    run("ip", "link", "add", link + "o", "type", "veth", "peer", "name", link + "i");
    run("ip", "link", "set", link + "i", "netns", name);
    run("ip", "addr", "add", outside + "/30", "dev", link + "o");
    run("ip", "link", "set", link + "o", "up");
    runInside("ip", "addr", "add", inside + "/30", "dev", link + "i");
    runInside("ip", "link", "set", link + "i", "up");
    runInside("ip", "link", "set", "lo", "up");
  }

  /** What executes a command in it. */
  List<String> prefix() {
    return List.of("ip", "netns", "exec", name);
  }

  /** Where this machine is, seen from inside. */
  String outside() {
    return outside;
  }

  /** Where the namespace is, seen from this machine. */
  String inside() {
    return inside;
  }

  /** Loses packets to and from a port outside. */
  void lose(int port, double share) throws IOException {
    String probability = Double.toString(share);
    rule(port, "-m", "statistic", "--mode", "random", "--probability", probability, "-j", "DROP");
  }

  /** Drops all packets to and from a port outside. */
  void partition(int port) throws IOException {
    rule(port, "-j", "DROP");
  }

  /** Answers packets to a port outside with a reset. */
  void reset(int port) throws IOException {
    iptables(
        "-A",
        "OUTPUT",
        "-p",
        "tcp",
        "--dport",
        Integer.toString(port),
        "-j",
        "REJECT",
        "--reject-with",
        "tcp-reset");
  }

  /** Lets everything through again. */
  void heal() throws IOException {
    iptables("-F");
  }

  private void rule(int port, String... rest) throws IOException {
    List<String> to = new ArrayList<>(List.of("-A", "OUTPUT", "-p", "tcp", "--dport"));
    List<String> from = new ArrayList<>(List.of("-A", "INPUT", "-p", "tcp", "--sport"));
    for (List<String> rule : List.of(to, from)) {
      rule.add(Integer.toString(port));
      rule.addAll(List.of(rest));
      iptables(rule.toArray(String[]::new));
    }
  }

  private void iptables(String... arguments) throws IOException {
    List<String> command = new ArrayList<>(List.of("iptables"));
    command.addAll(List.of(arguments));
    runInside(command.toArray(String[]::new));
  }

  private void runInside(String... command) throws IOException {
    List<String> all = new ArrayList<>(prefix());
    all.addAll(List.of(command));
    run(all.toArray(String[]::new));
  }

  private static void run(String... command) throws IOException {
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    try {
      String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      if (!process.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS) || process.exitValue() != 0) {
        throw new IOException("%s: %s".formatted(String.join(" ", command), output.strip()));
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException(e);
    } finally {
      process.destroyForcibly();
    }
  }

  /** The interfaces go with it. */
  @Override
  public void close() {
    try {
      run("ip", "netns", "del", name);
    } catch (IOException e) {
      // It was not made.
    }
  }
}
