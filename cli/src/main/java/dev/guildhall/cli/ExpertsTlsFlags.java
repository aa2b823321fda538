package dev.guildhall.cli;

import static java.util.Objects.requireNonNull;

import dev.guildhall.rpc.ClientTls;
import dev.guildhall.rpc.PemIdentity;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** The flags of TLS between a router and its expert services. */
final class ExpertsTlsFlags {
  @Spec(Spec.Target.MIXEE)
  private @Nullable CommandSpec spec;

  @Option(
      names = "--experts-ca",
      paramLabel = "FILE",
      description = "CA of the expert services' certificates, PEM. Default: no TLS towards them.")
  private @Nullable Path ca;

  @Option(
      names = "--experts-cert",
      paramLabel = "FILE",
      description = "Certificate to show to expert services, PEM.")
  private @Nullable Path certificate;

  @Option(names = "--experts-key", paramLabel = "FILE", description = "Its key, PEM, PKCS#8.")
  private @Nullable Path key;

  @Option(
      names = "--experts-name",
      paramLabel = "HOST",
      description =
          "Host that the expert services' certificates are for, where targets have none: with"
              + " dns:///name:port it is the address that is connected to. Default: the target's.")
  private @Nullable String name;

  Optional<ClientTls> tls() {
    CommandSpec command = requireNonNull(spec);
    Optional<PemIdentity> identity =
        PemFlags.identity(command, "--experts-cert", certificate, "--experts-key", key);
    PemFlags.needs(command, "--experts-cert", identity.isPresent(), "--experts-ca", ca != null);
    PemFlags.needs(command, "--experts-name", name != null, "--experts-ca", ca != null);
    return Optional.ofNullable(ca)
        .map(trusted -> new ClientTls(trusted, identity, Optional.ofNullable(name)));
  }
}
