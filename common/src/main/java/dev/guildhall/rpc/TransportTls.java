package dev.guildhall.rpc;

import java.time.Duration;
import java.util.Optional;

/**
 * The TLS of a process, in plaintext where it has none.
 *
 * @param server of its ports
 * @param client of the connections that it opens
 * @param reloadInterval between two looks whether the files have changed
 */
public record TransportTls(
    Optional<ServerTls> server, Optional<ClientTls> client, Duration reloadInterval) {
  private static final Duration RELOAD_INTERVAL = Duration.ofSeconds(10);

  /** Neither way. */
  public static final TransportTls PLAINTEXT = of(Optional.empty(), Optional.empty());

  /** Changed files are in use after 10 s at most. */
  public static TransportTls of(Optional<ServerTls> server, Optional<ClientTls> client) {
    return new TransportTls(server, client, RELOAD_INTERVAL);
  }
}
