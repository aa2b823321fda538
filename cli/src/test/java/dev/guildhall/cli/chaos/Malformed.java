package dev.guildhall.cli.chaos;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.charset.StandardCharsets;
import java.util.SplittableRandom;

/**
 * Connections to a gRPC server that bring HTTP/2 frames of random type, flags, stream and content;
 * on every third of them calls of a method whose messages are random bytes.
 */
final class Malformed {
  private static final byte[] PREFACE =
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".getBytes(StandardCharsets.US_ASCII);

  private static final int SETTINGS = 4;
  private static final int HEADERS = 1;
  private static final int DATA = 0;
  private static final int END_HEADERS = 4;
  private static final int TYPES = 12;
  private static final int FRAMES_PER_CONNECTION = 20;
  private static final int MOST_BYTES = 200;
  private static final int TIMEOUT_MILLIS = 10_000;

  private Malformed() {}

  /**
   * Sends so many frames, on as many connections as the server makes it.
   *
   * @param path of a method of the server
   * @return connections used
   */
  static int send(int port, String path, int frames, long seed) throws IOException {
    SplittableRandom random = new SplittableRandom(seed);
    int connections = 0;
    for (int sent = 0; sent < frames; connections++) {
      int most = Math.min(FRAMES_PER_CONNECTION, frames - sent);
      sent +=
          connections % 3 == 0
              ? sendUntilClosed(port, most, random, new RandomCalls(path, random))
              : sendUntilClosed(port, most, random, new RandomFrames(random));
    }
    return connections;
  }

  private interface Frames {
    byte[] first() throws IOException;

    byte[] next(int number) throws IOException;
  }

  private record RandomFrames(SplittableRandom random) implements Frames {
    /** One in ten does not even begin as HTTP/2. */
    @Override
    public byte[] first() throws IOException {
      return random.nextInt(10) == 0 ? new byte[0] : greeting();
    }

    /** Some lie about their length. */
    @Override
    public byte[] next(int number) throws IOException {
      byte[] frame =
          frame(random.nextInt(TYPES), random.nextInt(256), random.nextInt(8), content(random));
      if (random.nextInt(5) == 0) {
        frame[random.nextInt(3)] = (byte) random.nextInt(256);
      }
      return frame;
    }
  }

  private record RandomCalls(String path, SplittableRandom random) implements Frames {
    @Override
    public byte[] first() throws IOException {
      return greeting();
    }

    /** Each a call of one message. */
    @Override
    public byte[] next(int number) throws IOException {
      int stream = 2 * number + 1;
      byte[] content = content(random);
      ByteArrayOutputStream message = new ByteArrayOutputStream();
      message.write(0);
      message.write(new byte[] {0, 0, 0, (byte) content.length});
      message.write(content);
      ByteArrayOutputStream call = new ByteArrayOutputStream();
      call.write(frame(HEADERS, END_HEADERS, stream, headers(path)));
      call.write(frame(DATA, random.nextInt(2), stream, message.toByteArray()));
      return call.toByteArray();
    }
  }

  private static byte[] content(SplittableRandom random) {
    byte[] content = new byte[random.nextInt(MOST_BYTES)];
    random.nextBytes(content);
    return content;
  }

  /** At least one, whatever becomes of it. */
  private static int sendUntilClosed(int port, int most, SplittableRandom random, Frames frames)
      throws IOException {
    int sent = 0;
    try (Socket socket = connect(port)) {
      OutputStream out = socket.getOutputStream();
      out.write(frames.first());
      for (; sent < most; sent++) {
        out.write(frames.next(sent));
      }
      // Half are closed well, half just go away.
      if (random.nextInt(2) == 0) {
        socket.shutdownOutput();
        socket.getInputStream().skip(Long.MAX_VALUE);
      }
    } catch (SocketTimeoutException e) {
      throw new IOException("port %d does not close what has ended".formatted(port), e);
    } catch (IOException e) {
      // The server has closed the connection, as it should.
    }
    return Math.max(1, sent);
  }

  static Socket connect(int port) throws IOException {
    Socket socket = new Socket();
    socket.connect(new InetSocketAddress("localhost", port), TIMEOUT_MILLIS);
    socket.setSoTimeout(TIMEOUT_MILLIS);
    return socket;
  }

  /** What a client sends first. */
  static byte[] greeting() throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    bytes.write(PREFACE);
    bytes.write(frame(SETTINGS, 0, 0, new byte[0]));
    return bytes.toByteArray();
  }

  /** A greeting and a call that is begun: a message of which a part is sent. */
  static byte[] begunCall(String path) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    bytes.write(greeting());
    bytes.write(frame(HEADERS, END_HEADERS, 1, headers(path)));
    // 100,000 bytes are announced, ten come.
    bytes.write(frame(DATA, 0, 1, new byte[] {0, 0, 1, (byte) 0x86, (byte) 0xA0, 1, 2, 3, 4, 5}));
    return bytes.toByteArray();
  }

  /** Of a gRPC call, in HPACK without indexing. */
  private static byte[] headers(String path) throws IOException {
    ByteArrayOutputStream headers = new ByteArrayOutputStream();
    header(headers, ":method", "POST");
    header(headers, ":scheme", "http");
    header(headers, ":path", path);
    header(headers, ":authority", "localhost");
    header(headers, "content-type", "application/grpc");
    header(headers, "te", "trailers");
    return headers.toByteArray();
  }

  private static void header(ByteArrayOutputStream out, String name, String value)
      throws IOException {
    out.write(0);
    out.write(name.length());
    out.write(name.getBytes(StandardCharsets.US_ASCII));
    out.write(value.length());
    out.write(value.getBytes(StandardCharsets.US_ASCII));
  }

  private static byte[] frame(int type, int flags, int stream, byte[] content) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (DataOutputStream out = new DataOutputStream(bytes)) {
      out.writeByte(content.length >> 16);
      out.writeShort(content.length);
      out.writeByte(type);
      out.writeByte(flags);
      out.writeInt(stream);
      out.write(content);
    }
    return bytes.toByteArray();
  }
}
