package dev.guildhall.cli.chaos;

import java.io.IOException;
import java.net.Socket;
import java.util.ArrayList;
import java.util.List;

/**
 * Connections that take a server's room and bring nothing: a third say nothing at all, a third send
 * a byte of their greeting now and then, a third begin a call and leave it.
 */
final class IdleConnections implements AutoCloseable {
  private final List<Socket> silent = new ArrayList<>();
  private final List<Socket> slow = new ArrayList<>();
  private final List<Socket> halfOpen = new ArrayList<>();
  private int sentOfGreeting;

  private IdleConnections() {}

  /**
   * Opens them.
   *
   * @param path of the method that is called
   */
  static IdleConnections open(int port, int count, String path) throws IOException {
    IdleConnections connections = new IdleConnections();
    byte[] call = Malformed.begunCall(path);
    for (int i = 0; i < count; i++) {
      Socket socket = Malformed.connect(port);
      switch (i % 3) {
        case 0 -> connections.silent.add(socket);
        case 1 -> connections.slow.add(socket);
        default -> {
          connections.halfOpen.add(socket);
          socket.getOutputStream().write(call);
        }
      }
    }
    return connections;
  }

  /** Sends a byte more on the slow ones. */
  void trickle() throws IOException {
    byte[] greeting = Malformed.greeting();
    int next = sentOfGreeting++;
    if (next < greeting.length) {
      for (Socket socket : List.copyOf(slow)) {
        try {
          socket.getOutputStream().write(greeting[next]);
        } catch (IOException e) {
          slow.remove(socket); // The server has lost patience, which is its right.
          socket.close();
        }
      }
    }
  }

  @Override
  public void close() throws IOException {
    for (List<Socket> sockets : List.of(silent, slow, halfOpen)) {
      for (Socket socket : sockets) {
        socket.close();
      }
    }
  }
}
