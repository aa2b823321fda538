package dev.guildhall.rpc;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsParameters;
import dev.guildhall.files.WatchedFiles;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.util.AdvancedTlsX509KeyManager;
import io.grpc.util.AdvancedTlsX509TrustManager;
import io.netty.handler.ssl.ClientAuth;
import io.netty.handler.ssl.JdkSslContext;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import java.io.IOException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;

/**
 * One side's TLS, whose certificates follow their files: a connection takes those of its first
 * moment and keeps them.
 */
final class WatchedTls implements AutoCloseable {
  /** All that speak HTTP/2 today have it, and it has nothing to set wrong. */
  private static final String PROTOCOL = "TLSv1.3";

  /**
   * Longer than the seven days that a ticket may be valid, so that the JDK neither gives nor keeps
   * any: a resumed connection would be taken without a look at the certificates of now.
   */
  private static final long SESSION_SECONDS = Duration.ofDays(8).toSeconds();

  private final Duration interval;
  private final Deque<WatchedFiles> watches = new ArrayDeque<>();
  private final SslContext context;
  private final boolean needsClients;

  /**
   * @throws dev.guildhall.error.GuildhallException NOT_FOUND or INVALID_ARGUMENT naming the file
   */
  WatchedTls(ServerTls tls, Duration interval) {
    this.interval = interval;
    this.needsClients = tls.clientCa().isPresent();
    this.context =
        open(() -> {
          SslContextBuilder builder = SslContextBuilder.forServer(keys(tls.identity()));
          if (needsClients) {
            builder.trustManager(trust(tls.clientCa().get())).clientAuth(ClientAuth.REQUIRE);
          }
          return builder;
        });
  }

  /**
   * @throws dev.guildhall.error.GuildhallException NOT_FOUND or INVALID_ARGUMENT naming the file
   */
  WatchedTls(ClientTls tls, Duration interval) {
    this.interval = interval;
    this.needsClients = false;
    this.context =
        open(() -> {
          SslContextBuilder builder = SslContextBuilder.forClient().trustManager(trust(tls.ca()));
          tls.identity().ifPresent(identity -> builder.keyManager(keys(identity)));
          return builder;
        });
  }

  private interface Opening {
    SslContextBuilder builder() throws CertificateException;
  }

  private SslContext open(Opening opening) {
    try {
      return GrpcSslContexts.configure(opening.builder(), SslProvider.JDK)
          .protocols(PROTOCOL)
          .sessionTimeout(SESSION_SECONDS)
          .build();
    } catch (SSLException | CertificateException e) {
      close();
      throw new IllegalStateException("the JDK has no " + PROTOCOL, e);
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  private AdvancedTlsX509KeyManager keys(PemIdentity identity) {
    AdvancedTlsX509KeyManager keys = new AdvancedTlsX509KeyManager();
    watch(
        List.of(identity.certificate(), identity.key()),
        contents -> {
          X509Certificate[] chain = Pem.certificates(identity.certificate(), contents.getFirst());
          PrivateKey key = Pem.key(identity.key(), contents.getLast());
          Pem.checkPair(identity, chain[0], key);
          keys.updateIdentityCredentials(chain, key);
        });
    return keys;
  }

  private AdvancedTlsX509TrustManager trust(Path ca) throws CertificateException {
    // Checks host names unless told otherwise.
    AdvancedTlsX509TrustManager trust = AdvancedTlsX509TrustManager.newBuilder().build();
    watch(
        List.of(ca),
        contents -> {
          X509Certificate[] certificates = Pem.certificates(ca, contents.getFirst());
          try {
            trust.updateTrustCredentials(certificates);
          } catch (IOException | GeneralSecurityException e) {
            throw invalidArgument("%s cannot be trusted: %s".formatted(ca, e.getMessage()));
          }
        });
    return trust;
  }

  private void watch(List<Path> files, WatchedFiles.Taker taker) {
    watches.push(WatchedFiles.open(files, interval, taker));
  }

  SslContext context() {
    return context;
  }

  /** The same for a port of another HTTP server. */
  HttpTls http() {
    return new HttpTls(((JdkSslContext) context).context(), PROTOCOL, needsClients);
  }

  /** The same for a port of the JDK's HTTP server. */
  HttpsConfigurator https() {
    return new HttpsConfigurator(((JdkSslContext) context).context()) {
      @Override
      public void configure(HttpsParameters connection) {
        SSLParameters parameters = getSSLContext().getDefaultSSLParameters();
        parameters.setProtocols(new String[] {PROTOCOL});
        parameters.setNeedClientAuth(needsClients);
        connection.setSSLParameters(parameters);
      }
    };
  }

  @Override
  public void close() {
    watches.forEach(WatchedFiles::close);
  }
}
