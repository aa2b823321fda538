package dev.guildhall.router.api.http;

import dev.guildhall.rpc.HttpTls;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import org.eclipse.jetty.compression.gzip.GzipCompression;
import org.eclipse.jetty.compression.server.CompressionConfig;
import org.eclipse.jetty.compression.server.CompressionHandler;
import org.eclipse.jetty.http.UriCompliance;
import org.eclipse.jetty.server.ConnectionFactory;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.NetworkConnectionLimit;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.server.SslConnectionFactory;
import org.eclipse.jetty.server.handler.GracefulHandler;
import org.eclipse.jetty.util.VirtualThreads;
import org.eclipse.jetty.util.ssl.SslContextFactory;
import org.eclipse.jetty.util.thread.QueuedThreadPool;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A port that serves HTTP/1.1; handlers run on virtual threads and may block. */
public final class HttpPort implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(HttpPort.class);

  /** As gRPC's port takes. */
  private static final int MAX_CONNECTIONS = 10_000;

  /** A peer that sends or takes nothing so long is given up. */
  private static final Duration IDLE = Duration.ofSeconds(30);

  /** One accepts, one looks at the sockets, the others lead and follow them. */
  private static final int THREADS = 8;

  private static final int MAX_HEADER_BYTES = 8 << 10;
  private static final int READ_BYTES = 64 << 10;

  /** A layer's name may have a slash, which comes as %2F too. */
  private static final UriCompliance URIS =
      UriCompliance.DEFAULT.with("layers", UriCompliance.Violation.AMBIGUOUS_PATH_SEPARATOR);

  private final Server server;
  private final ServerConnector connector;

  private HttpPort(Server server, ServerConnector connector) {
    this.server = server;
    this.connector = connector;
  }

  /**
   * Starts to listen.
   *
   * @param handlers asked in their order; what all of them leave is answered with 404
   * @throws IOException if the port cannot be had
   */
  public static HttpPort start(HttpSettings settings, List<Handler> handlers) throws IOException {
    QueuedThreadPool threads = new QueuedThreadPool(THREADS);
    threads.setName("guildhall-http");
    threads.setDaemon(true);
    threads.setVirtualThreadsExecutor(VirtualThreads.getDefaultVirtualThreadsExecutor());
    Server server = new Server(threads);
    server.setStopTimeout(settings.grace().toMillis());
    server.setErrorHandler(new JsonErrors());
    ServerConnector connector = new ServerConnector(server, 1, 1, connections(settings.tls()));
    connector.setPort(settings.port());
    connector.setIdleTimeout(IDLE.toMillis());
    server.addConnector(connector);
    server.addBean(new NetworkConnectionLimit(MAX_CONNECTIONS, connector));
    server.setHandler(new GracefulHandler(compressed(new Handler.Sequence(handlers))));
    HttpPort port = new HttpPort(server, connector);
    try {
      server.start();
    } catch (Exception e) {
      port.close();
      throw e instanceof IOException known
          ? known
          : new IOException("HTTP on port %d: %s".formatted(settings.port(), e.getMessage()), e);
    }
    return port;
  }

  private static ConnectionFactory[] connections(Optional<HttpTls> tls) {
    HttpConfiguration http = new HttpConfiguration();
    http.setSendServerVersion(false);
    http.setRequestHeaderSize(MAX_HEADER_BYTES);
    http.setInputBufferSize(READ_BYTES);
    http.setUriCompliance(URIS);
    HttpConnectionFactory plain = new HttpConnectionFactory(http);
    if (tls.isEmpty()) {
      return new ConnectionFactory[] {plain};
    }
    SslContextFactory.Server ssl = new SslContextFactory.Server();
    ssl.setSslContext(tls.get().context());
    ssl.setIncludeProtocols(tls.get().protocol());
    ssl.setNeedClientAuth(tls.get().needsClients());
    return new ConnectionFactory[] {new SslConnectionFactory(ssl, plain.getProtocol()), plain};
  }

  /** Takes gzip whoever sends it, and gives it to whoever asks for it. */
  private static Handler compressed(Handler handler) {
    CompressionHandler compression = new CompressionHandler(handler);
    compression.putCompression(new GzipCompression());
    compression.putConfiguration(
        "/*",
        CompressionConfig.builder()
            .compressIncludeMethod("GET")
            .compressIncludeMethod("POST")
            // Events are to leave as they come.
            .compressExcludeMimeType(Exchange.EVENTS)
            .decompressIncludeMethod("POST")
            .build());
    return compression;
  }

  public int port() {
    return connector.getLocalPort();
  }

  /** Takes no new requests, lets those in progress finish within the grace period. */
  @Override
  public void close() {
    try {
      server.stop();
    } catch (Exception e) {
      log.warn("the HTTP port did not stop as it should: {}", e.toString());
    }
  }
}
