package dev.guildhall.deploy;

import com.github.dockerjava.api.DockerClient;
import com.github.dockerjava.api.command.InspectContainerResponse;
import java.io.IOException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.testcontainers.DockerClientFactory;

/**
 * docker-compose.yml, brought up by the command that the documents give, from images of this tree.
 * Testcontainers' own compose support cannot scale what runs, so it finds the engine and reaches
 * single containers, no more.
 */
final class ComposedStack implements AutoCloseable {
  private static final Duration PATIENCE = Duration.ofMinutes(3);

  /** As in docker-compose.yml. */
  private static final int STOP_SECONDS = 30;

  private final String project = "guildhall-test-" + ProcessHandle.current().pid();
  private final DockerClient docker = DockerClientFactory.instance().client();

  /** Builds the images and starts everything; ready when this returns. */
  static ComposedStack up() throws Exception {
    Commands.run(Map.of(), List.of("deploy/layout", "target/image"));
    ComposedStack stack = new ComposedStack();
    try {
      stack.compose("build", "--quiet");
      stack.compose("up", "--detach", "--wait");
      return stack;
    } catch (Exception e) {
      stack.close();
      throw e;
    }
  }

  /**
   * As {@code docker compose up -d --scale SERVICE=REPLICAS} does; returns when all are healthy.
   */
  void scale(String service, int replicas) throws Exception {
    compose("up", "--detach", "--wait", "--scale", service + "=" + replicas);
  }

  /** Stops a container as a rolling update does, and removes it. */
  void remove(String container) {
    docker.stopContainerCmd(container).withTimeout(STOP_SECONDS).exec();
    docker.removeContainerCmd(container).exec();
  }

  /** A service's containers. */
  List<String> containers(String service) throws Exception {
    return compose("ps", "--all", "--quiet", service).lines().toList();
  }

  /** The port of this machine that a service's port is published on. */
  int port(String service, int port) throws Exception {
    String address = compose("port", service, Integer.toString(port)).strip();
    return Integer.parseInt(address.substring(address.lastIndexOf(':') + 1));
  }

  DockerClient docker() {
    return docker;
  }

  InspectContainerResponse inspect(String container) {
    return docker.inspectContainerCmd(container).exec();
  }

  void awaitHealthy(String container) throws Exception {
    await("container " + container + " is healthy", () -> health(container).equals("healthy"));
  }

  private String health(String container) {
    return inspect(container).getState().getHealth().getStatus();
  }

  private String compose(String... arguments) throws IOException {
    List<String> command =
        new ArrayList<>(
            List.of(
                "docker",
                "compose",
                "--project-name",
                project,
                "--file",
                "docker-compose.yml",
                "--file",
                "deploy/packaged.yml"));
    command.addAll(List.of(arguments));
    // Any free ports.
    return Commands.run(
        Map.of(
            "GUILDHALL_ROUTER_HTTP_PORT", "0",
            "GUILDHALL_ROUTER_PORT", "0",
            "GUILDHALL_ROUTER_METRICS_PORT", "0"),
        command);
  }

  /** Something that becomes true. */
  interface Condition {
    boolean holds() throws Exception;
  }

  static void await(String what, Condition condition) throws Exception {
    await(what, PATIENCE, condition);
  }

  static void await(String what, Duration limit, Condition condition) throws Exception {
    Instant end = Instant.now().plus(limit);
    while (!condition.holds()) {
      if (Instant.now().isAfter(end)) {
        throw new AssertionError("after %s: not %s".formatted(limit, what));
      }
      Thread.sleep(100);
    }
  }

  @Override
  public void close() throws IOException {
    compose("down", "--volumes", "--timeout", "5");
  }
}
