package dev.guildhall.cli.chaos;

import dev.guildhall.cli.Await;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;

/** Expert services and routers over one repository; closing it ends every process. */
final class Fleet implements AutoCloseable {
  private static final String LOOPBACK = "localhost";

  private final Path repository;
  private final Path logs;
  private final List<String> flags;
  private final List<Node> nodes = new ArrayList<>();

  /**
   * @param folder for the repository and for what the processes log
   */
  Fleet(Path folder) throws IOException {
    this(folder, List.of());
  }

  /**
   * @param flags for every server
   */
  Fleet(Path folder, List<String> flags) throws IOException {
    this.flags = flags;
    repository = folder.resolve("repository");
    logs = Files.createDirectories(folder.resolve("logs"));
    ChaosRepository.write(repository);
  }

  /** So many replicas that host everything. */
  List<Node> replicas(int count) throws Exception {
    List<Node> replicas = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      replicas.add(expert(0, 1));
    }
    for (Node replica : replicas) {
      replica.awaitReady();
    }
    return replicas;
  }

  /** Starts an expert service; {@link Node#awaitReady} must follow. */
  Node expert(int rank, int size) throws IOException {
    return add(
        Node.start(
            logs,
            List.of(),
            LOOPBACK,
            with(
                "expert", "--repository=" + repository, "--ep-rank=" + rank, "--ep-size=" + size)));
  }

  /** A ready router of some targets. */
  Node router(List<String> experts) throws Exception {
    return router(List.of(), LOOPBACK, experts);
  }

  /**
   * The same, elsewhere.
   *
   * @param prefix what executes the process
   * @param host where it can be reached then
   */
  Node router(List<String> prefix, String host, List<String> experts) throws Exception {
    return add(Node.start(
            logs,
            prefix,
            host,
            with("router", "--repository=" + repository, "--experts=" + String.join(",", experts))))
        .awaitReady();
  }

  private List<String> with(String... arguments) {
    return Stream.concat(Stream.of(arguments), flags.stream()).toList();
  }

  Path repository() {
    return repository;
  }

  static List<String> targets(List<Node> replicas) {
    return replicas.stream().map(Node::target).toList();
  }

  /** Waits until a router is connected to so many replicas. */
  static void awaitReplicas(Node router, int count) {
    Await.until(
        count + " replicas",
        Durations.PATIENCE,
        () -> router.metric("guildhall_replicas") == count);
  }

  private Node add(Node node) {
    nodes.add(node);
    return node;
  }

  @Override
  public void close() {
    nodes.forEach(Node::close);
  }
}
