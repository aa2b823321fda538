package dev.guildhall.cli;

import static java.util.Objects.requireNonNull;

import dev.guildhall.rpc.PemIdentity;
import dev.guildhall.rpc.ServerTls;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** The flags of TLS on a server's ports. */
final class ServerTlsFlags {
  @Spec(Spec.Target.MIXEE)
  private @Nullable CommandSpec spec;

  @Option(
      names = "--tls-cert",
      paramLabel = "FILE",
      description = "Certificate of all ports, PEM, the CA's below it left out. Default: no TLS.")
  private @Nullable Path certificate;

  @Option(names = "--tls-key", paramLabel = "FILE", description = "Its key, PEM, PKCS#8.")
  private @Nullable Path key;

  @Option(
      names = "--tls-client-ca",
      paramLabel = "FILE",
      description = "CA of clients' certificates, PEM; a client must show one then.")
  private @Nullable Path clientCa;

  Optional<ServerTls> tls() {
    CommandSpec command = requireNonNull(spec);
    Optional<PemIdentity> identity =
        PemFlags.identity(command, "--tls-cert", certificate, "--tls-key", key);
    PemFlags.needs(
        command, "--tls-client-ca", clientCa != null, "--tls-cert", identity.isPresent());
    return identity.map(shown -> new ServerTls(shown, Optional.ofNullable(clientCa)));
  }
}
