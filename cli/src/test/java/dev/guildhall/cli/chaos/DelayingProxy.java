package dev.guildhall.cli.chaos;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.time.Duration;
import java.util.Arrays;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;

/**
 * Passes TCP connections on to a port of the loopback, with what goes to it delayed: as much may be
 * on its way as the senders send.
 */
final class DelayingProxy implements AutoCloseable {
  private static final int CHUNK_BYTES = 64 << 10;
  private static final byte[] END = new byte[0];

  private record Chunk(long dueNanos, byte[] bytes) {}

  private final int upstreamPort;
  private final ServerSocket server;
  private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();
  private volatile Duration delay = Duration.ZERO;

  /** Listens on a free port of every local address. */
  DelayingProxy(int upstreamPort) throws IOException {
    this.upstreamPort = upstreamPort;
    this.server = new ServerSocket();
    server.bind(new InetSocketAddress(0));
    Thread.ofVirtual().start(this::accept);
  }

  int port() {
    return server.getLocalPort();
  }

  /** From now on. */
  void delay(Duration time) {
    delay = time;
  }

  private void accept() {
    while (!server.isClosed()) {
      try {
        Socket client = server.accept();
        sockets.add(client);
        Socket upstream = new Socket(InetAddress.getLoopbackAddress(), upstreamPort);
        sockets.add(upstream);
        client.setTcpNoDelay(true);
        upstream.setTcpNoDelay(true);
        BlockingQueue<Chunk> underWay = new LinkedBlockingQueue<>();
        Thread.ofVirtual().start(() -> read(client, underWay));
        Thread.ofVirtual().start(() -> write(upstream, underWay));
        Thread.ofVirtual().start(() -> answer(upstream, client));
      } catch (IOException e) {
        // Closed, or there is nobody behind it now: the client notices.
      }
    }
  }

  private void read(Socket client, BlockingQueue<Chunk> underWay) {
    byte[] buffer = new byte[CHUNK_BYTES];
    try {
      InputStream in = client.getInputStream();
      for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
        underWay.add(new Chunk(due(), Arrays.copyOf(buffer, read)));
      }
    } catch (IOException e) {
      // It is over.
    }
    underWay.add(new Chunk(due(), END));
  }

  private long due() {
    return System.nanoTime() + delay.toNanos();
  }

  private void write(Socket upstream, BlockingQueue<Chunk> underWay) {
    try {
      OutputStream out = upstream.getOutputStream();
      for (Chunk chunk = underWay.take(); chunk.bytes.length > 0; chunk = underWay.take()) {
        long left = chunk.dueNanos - System.nanoTime();
        if (left > 0) {
          // The delay that this proxy is for.
          Thread.sleep(Duration.ofNanos(left));
        }
        out.write(chunk.bytes);
      }
    } catch (IOException e) {
      // It is over.
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    closeQuietly(upstream);
  }

  private void answer(Socket upstream, Socket client) {
    try {
      upstream.getInputStream().transferTo(client.getOutputStream());
    } catch (IOException e) {
      // It is over.
    }
    closeQuietly(client);
    closeQuietly(upstream);
  }

  private void closeQuietly(Socket socket) {
    sockets.remove(socket);
    try {
      socket.close();
    } catch (IOException e) {
      // It was not to be had any more anyway.
    }
  }

  @Override
  public void close() throws IOException {
    server.close();
    sockets.forEach(this::closeQuietly);
  }
}
