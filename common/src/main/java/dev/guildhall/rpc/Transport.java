package dev.guildhall.rpc;

import com.sun.net.httpserver.HttpsConfigurator;
import dev.guildhall.error.GuildhallException;
import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.netty.channel.AdaptiveRecvByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.RecvByteBufAllocator;
import io.netty.channel.ServerChannel;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollServerDomainSocketChannel;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import io.netty.util.concurrent.DefaultThreadFactory;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/**
 * The event loops of a process, and servers and channels on them.
 *
 * <p>Everything shares one group of loops and a direct executor, so that a request that comes in on
 * a loop can go out on the same one without changing threads; handlers must not block.
 */
public final class Transport implements AutoCloseable {
  /** Large enough that one tensor of a batch does not wait for the other side's window. */
  private static final int FLOW_CONTROL_WINDOW_BYTES = 4 << 20;

  /**
   * A peer that is silent so long is asked for a sign of life, and given up after as long again.
   */
  private static final int KEEP_ALIVE_SECONDS = 10;

  /**
   * The most that one read takes from a socket. 64 KiB, netty's own, moved 1 MiB messages a sixth
   * slower; 512 KiB and more were no faster.
   */
  private static final int MAX_READ_BYTES = 256 << 10;

  // stat(2): S_IFMT and S_IFSOCK.
  private static final int FILE_TYPE = 0170000;
  private static final int SOCKET_TYPE = 0140000;

  private static final int FIRST_READ_BYTES = 2 << 10;
  private static final int MIN_ANSWER_BYTES = 16 << 20;

  private final EventLoopGroup loops;
  private final int maxMessageBytes;
  private final ServerBounds bounds;
  private final Optional<WatchedTls> serverTls;
  private final Optional<WatchedTls> clientTls;
  private final Optional<String> serverName;

  /**
   * A transport in plaintext.
   *
   * @param threads event loops
   * @param maxMessageBytes largest message that servers take
   */
  public Transport(int threads, int maxMessageBytes) {
    this(threads, maxMessageBytes, TransportTls.PLAINTEXT);
  }

  /**
   * A transport of all of a process's servers and channels.
   *
   * @param threads event loops
   * @param maxMessageBytes largest message that servers take
   * @param tls its files are watched until this is closed
   * @throws GuildhallException NOT_FOUND or INVALID_ARGUMENT for a file of certificates or keys
   *     that is missing or wrong
   */
  public Transport(int threads, int maxMessageBytes, TransportTls tls) {
    this(threads, maxMessageBytes, tls, ServerBounds.STANDARD);
  }

  Transport(int threads, int maxMessageBytes, TransportTls tls, ServerBounds bounds) {
    this.bounds = bounds;
    this.serverName = tls.client().flatMap(ClientTls::serverName);
    this.serverTls = tls.server().map(server -> new WatchedTls(server, tls.reloadInterval()));
    try {
      this.clientTls = tls.client().map(client -> new WatchedTls(client, tls.reloadInterval()));
    } catch (RuntimeException e) {
      serverTls.ifPresent(WatchedTls::close);
      throw e;
    }
    DefaultThreadFactory factory = new DefaultThreadFactory("guildhall-io", true);
    this.loops =
        new MultiThreadIoEventLoopGroup(
            threads,
            factory,
            Epoll.isAvailable() ? EpollIoHandler.newFactory() : NioIoHandler.newFactory());
    this.maxMessageBytes = maxMessageBytes;
  }

  /** For timers; tasks run on an event loop and must not block. */
  public ScheduledExecutorService timer() {
    return loops;
  }

  public int maxMessageBytes() {
    return maxMessageBytes;
  }

  /** A server for a port of every local address; port 0 picks a free one. */
  public NettyServerBuilder server(int port) {
    return server(new InetSocketAddress(port));
  }

  /** A server in plaintext, whatever the other ports speak. */
  public NettyServerBuilder plaintextServer(int port) {
    return plaintext(
        new InetSocketAddress(port),
        Epoll.isAvailable() ? EpollServerSocketChannel::new : NioServerSocketChannel::new);
  }

  /** A server for one local address. */
  public NettyServerBuilder server(InetSocketAddress address) {
    return server(
        address, Epoll.isAvailable() ? EpollServerSocketChannel::new : NioServerSocketChannel::new);
  }

  /**
   * A server for a Unix domain socket, whose clients use the target {@code unix://PATH}.
   *
   * @param socket an absolute path; what a server that is gone left there is replaced
   * @throws GuildhallException INVALID_ARGUMENT if the platform has no such sockets, or something
   *     else is at the path, a server that answers included
   */
  public NettyServerBuilder server(Path socket) throws IOException {
    if (!Epoll.isAvailable()) {
      throw GuildhallException.invalidArgument(
          "a Unix domain socket was asked for; allowed on Linux only");
    }
    if (Files.exists(socket, LinkOption.NOFOLLOW_LINKS)) {
      if (!isSocket(socket)) {
        throw GuildhallException.invalidArgument(
            "%s is not a socket; it is left alone".formatted(socket));
      }
      if (answers(socket)) {
        throw GuildhallException.invalidArgument(
            "a server answers at %s; it is left alone".formatted(socket));
      }
      Files.delete(socket);
    }
    return server(new DomainSocketAddress(socket.toFile()), EpollServerDomainSocketChannel::new);
  }

  private static boolean isSocket(Path path) throws IOException {
    int mode = (int) Files.getAttribute(path, "unix:mode", LinkOption.NOFOLLOW_LINKS);
    return (mode & FILE_TYPE) == SOCKET_TYPE;
  }

  private static boolean answers(Path socket) {
    try (SocketChannel connection = SocketChannel.open(UnixDomainSocketAddress.of(socket))) {
      return connection.isConnected();
    } catch (IOException e) {
      return false;
    }
  }

  private NettyServerBuilder server(SocketAddress address, Supplier<ServerChannel> channels) {
    NettyServerBuilder builder = plaintext(address, channels);
    serverTls.ifPresent(tls -> builder.sslContext(tls.context()));
    return builder;
  }

  private NettyServerBuilder plaintext(SocketAddress address, Supplier<ServerChannel> channels) {
    return NettyServerBuilder.forAddress(address)
        .bossEventLoopGroup(loops)
        .workerEventLoopGroup(loops)
        .channelFactory(() -> limited(channels.get()))
        .withChildOption(ChannelOption.ALLOCATOR, LendingAllocator.INSTANCE)
        .withChildOption(ChannelOption.RECVBUF_ALLOCATOR, readSize())
        .directExecutor()
        .flowControlWindow(FLOW_CONTROL_WINDOW_BYTES)
        .permitKeepAliveTime(KEEP_ALIVE_SECONDS / 2, TimeUnit.SECONDS)
        .permitKeepAliveWithoutCalls(true)
        .maxInboundMessageSize(maxMessageBytes)
        .maxInboundMetadataSize(bounds.metadataBytes())
        .maxConcurrentCallsPerConnection(bounds.callsPerConnection())
        .handshakeTimeout(bounds.handshake().toMillis(), TimeUnit.MILLISECONDS)
        .keepAliveTime(bounds.keepAlive().toMillis(), TimeUnit.MILLISECONDS)
        .keepAliveTimeout(bounds.keepAliveAnswer().toMillis(), TimeUnit.MILLISECONDS);
  }

  private ServerChannel limited(ServerChannel listening) {
    listening.pipeline().addFirst(new ConnectionLimit(bounds.connections()));
    return listening;
  }

  /** TLS for a port of the JDK's HTTP server, with the certificates of gRPC's ports. */
  public Optional<HttpsConfigurator> https() {
    return serverTls.map(WatchedTls::https);
  }

  /** TLS for a port of another HTTP server. */
  public Optional<HttpTls> httpTls() {
    return serverTls.map(WatchedTls::http);
  }

  /**
   * A channel to one server.
   *
   * @param target {@code host:port} or {@code unix:///path}
   */
  public ManagedChannel channel(String target) {
    boolean domainSocket = target.startsWith("unix:");
    NettyChannelBuilder builder = NettyChannelBuilder.forTarget(target);
    if (clientTls.isPresent()) {
      builder.sslContext(clientTls.get().context());
      // A path is no name that a certificate could be for.
      serverName
          .or(() -> domainSocket ? Optional.of("localhost") : Optional.empty())
          .ifPresent(builder::overrideAuthority);
    } else {
      builder.usePlaintext();
    }
    return builder
        .eventLoopGroup(loops)
        .channelType(
            channelType(domainSocket),
            domainSocket ? DomainSocketAddress.class : InetSocketAddress.class)
        .withOption(ChannelOption.ALLOCATOR, LendingAllocator.INSTANCE)
        .withOption(ChannelOption.RECVBUF_ALLOCATOR, readSize())
        .directExecutor()
        .flowControlWindow(FLOW_CONTROL_WINDOW_BYTES)
        .keepAliveTime(KEEP_ALIVE_SECONDS, TimeUnit.SECONDS)
        .keepAliveTimeout(KEEP_ALIVE_SECONDS, TimeUnit.SECONDS)
        // Answers follow from what was asked, whatever is taken from strangers.
        .maxInboundMessageSize(Math.max(maxMessageBytes, MIN_ANSWER_BYTES))
        // gRPC's retry keeps messages it has sent; ours borrow pooled memory.
        .disableRetry()
        .build();
  }

  private static Class<? extends Channel> channelType(boolean domainSocket) {
    if (domainSocket) {
      return EpollDomainSocketChannel.class;
    }
    return Epoll.isAvailable() ? EpollSocketChannel.class : NioSocketChannel.class;
  }

  /** Grows and shrinks with what a connection brings. */
  private static RecvByteBufAllocator readSize() {
    return new AdaptiveRecvByteBufAllocator(
        AdaptiveRecvByteBufAllocator.DEFAULT_MINIMUM, FIRST_READ_BYTES, MAX_READ_BYTES);
  }

  @Override
  public void close() {
    serverTls.ifPresent(WatchedTls::close);
    clientTls.ifPresent(WatchedTls::close);
    loops.shutdownGracefully(0, 2, TimeUnit.SECONDS).awaitUninterruptibly(3, TimeUnit.SECONDS);
  }
}
