package dev.guildhall.rpc;

import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.X509Bundle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Optional;

/** A certificate authority that writes PEM files. */
public final class TestCa {
  private final X509Bundle authority;

  /**
   * @param name tells authorities apart
   */
  public TestCa(String name) throws Exception {
    authority =
        new CertificateBuilder()
            .ecp256()
            .subject("CN=" + name)
            .setIsCertificateAuthority(true)
            .buildSelfSigned();
  }

  X509Bundle authority() {
    return authority;
  }

  /** Writes the authority's own certificate, over what the file had. */
  public Path write(Path file) throws Exception {
    return Files.writeString(file, authority.getCertificatePEM());
  }

  /** Writes {@code NAME.pem} and {@code NAME.key}, over what they had: valid, for localhost. */
  public PemIdentity issue(Path folder, String name) throws Exception {
    return write(folder, name, certificate("localhost"));
  }

  PemIdentity issue(Path folder, String name, String host) throws Exception {
    return write(folder, name, certificate(host));
  }

  X509Bundle bundle(String host) throws Exception {
    return certificate(host).buildIssuedBy(authority);
  }

  PemIdentity issueExpired(Path folder, String name) throws Exception {
    Instant now = Instant.now();
    return write(
        folder,
        name,
        certificate("localhost")
            .notBefore(now.minus(2, ChronoUnit.DAYS))
            .notAfter(now.minus(1, ChronoUnit.DAYS)));
  }

  private static CertificateBuilder certificate(String host) {
    return new CertificateBuilder().ecp256().subject("CN=" + host).addSanDnsName(host);
  }

  private PemIdentity write(Path folder, String name, CertificateBuilder builder) throws Exception {
    X509Bundle bundle = builder.buildIssuedBy(authority);
    return new PemIdentity(
        Files.writeString(folder.resolve(name + ".pem"), bundle.getCertificatePEM()),
        Files.writeString(folder.resolve(name + ".key"), bundle.getPrivateKeyPEM()));
  }

  /** For a server that only clients of this authority may use. */
  ServerTls server(Path folder, PemIdentity identity) throws Exception {
    return new ServerTls(identity, Optional.of(write(folder.resolve("client-ca.pem"))));
  }
}
