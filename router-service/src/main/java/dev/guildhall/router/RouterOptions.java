package dev.guildhall.router;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.router.forward.ExchangeSettings;
import dev.guildhall.tensor.DType;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * How a router is set up.
 *
 * @param experts targets of expert services: {@code host:port}, {@code dns:///name:port} or {@code
 *     unix:///path}
 * @param port gRPC; 0 picks a free one
 * @param maxTokensInFlight beyond them requests are refused
 * @param exchange how rows travel to the expert services
 * @param defaultTimeout of a request that brings no deadline
 * @param maxConnectionAge after which clients are asked to connect anew, so that routers that come
 *     later get their share
 * @param lookupInterval between look-ups of {@code dns:///} names, and looks at the callers' file
 * @param callers file that says who may call, with which tokens; none: anyone
 * @param httpPort HTTP; 0 picks a free one; none: no HTTP
 */
public record RouterOptions(
    List<String> experts,
    int port,
    long maxTokensInFlight,
    ExchangeSettings exchange,
    Duration defaultTimeout,
    Duration maxConnectionAge,
    Duration lookupInterval,
    Optional<Path> callers,
    OptionalInt httpPort) {

  public static final int DEFAULT_PORT = 8001;

  public RouterOptions {
    experts = List.copyOf(experts);
    if (!maxConnectionAge.isPositive()) {
      throw GuildhallException.invalidArgument(
          "max_connection_age is %s; allowed is from 1 second".formatted(maxConnectionAge));
    }
  }

  /** Without HTTP. */
  public RouterOptions(
      List<String> experts,
      int port,
      long maxTokensInFlight,
      ExchangeSettings exchange,
      Duration defaultTimeout,
      Duration maxConnectionAge,
      Duration lookupInterval,
      Optional<Path> callers) {
    this(
        experts,
        port,
        maxTokensInFlight,
        exchange,
        defaultTimeout,
        maxConnectionAge,
        lookupInterval,
        callers,
        OptionalInt.empty());
  }

  /** The same with HTTP on a port; 0 picks a free one. */
  public RouterOptions withHttp(int onPort) {
    return new RouterOptions(
        experts,
        port,
        maxTokensInFlight,
        exchange,
        defaultTimeout,
        maxConnectionAge,
        lookupInterval,
        callers,
        OptionalInt.of(onPort));
  }

  /** The defaults, for some targets and a port. */
  public static RouterOptions of(List<String> experts, int port) {
    return new RouterOptions(
        experts,
        port,
        1 << 20,
        new ExchangeSettings(1 << 20, DType.FP32),
        Duration.ofSeconds(30),
        Duration.ofMinutes(30),
        Duration.ofSeconds(5),
        Optional.empty());
  }
}
