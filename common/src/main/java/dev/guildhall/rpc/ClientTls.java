package dev.guildhall.rpc;

import java.nio.file.Path;
import java.util.Optional;

/**
 * TLS of the connections that a process opens.
 *
 * @param ca PEM: who signs servers' certificates
 * @param identity what is shown to servers that want to know their clients
 * @param serverName the host that servers' certificates must be for; none: the one in the target
 */
public record ClientTls(Path ca, Optional<PemIdentity> identity, Optional<String> serverName) {
  /** Certificates must be for the host in the target. */
  public ClientTls(Path ca, Optional<PemIdentity> identity) {
    this(ca, identity, Optional.empty());
  }
}
