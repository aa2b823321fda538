package dev.guildhall.router.api.http;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import com.google.gson.JsonElement;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.router.api.live.LiveViewer;
import dev.guildhall.router.api.oip.InferAnswer;
import dev.guildhall.router.api.oip.InferTensor;
import io.grpc.Status;
import io.netty.buffer.ByteBuf;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.SocketAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Predicate;
import org.eclipse.jetty.http.HttpException;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.http.HttpStatus;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.io.EndPoint;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.util.Callback;

/** One request and its answer, which is given once. Blocks; used by one thread, but for the end. */
final class Exchange {
  /** Of the JSON object, where binary data follows it. */
  private static final String JSON_BYTES = "Inference-Header-Content-Length";

  /** Of a body that is read only in order to be rid of it. */
  private static final int MAX_UNREAD_BYTES = 1 << 20;

  private static final Duration UNREAD_TIME = Duration.ofSeconds(1);

  /** Server-sent events. */
  static final String EVENTS = "text/event-stream";

  /** A page asks nobody but the router for anything, and nobody puts it into a frame. */
  private static final String CONTENT_POLICY =
      "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

  private static final String BINARY = "application/octet-stream";

  private final Request request;
  private final Response response;
  private final Callback callback;
  private final HttpSettings settings;

  Exchange(Request request, Response response, Callback callback, HttpSettings settings) {
    this.request = request;
    this.response = response;
    this.callback = callback;
    this.settings = settings;
  }

  /** What may answer, or fail. */
  interface Action {
    void run() throws IOException;
  }

  /** Runs what answers; its failure is the answer otherwise. */
  void attempt(Action action) {
    try {
      action.run();
    } catch (IOException e) {
      fail(e);
    } catch (RuntimeException | OutOfMemoryError e) {
      error(e);
    }
  }

  /**
   * Answers with a failure.
   *
   * @return the status
   */
  int error(Throwable failure) {
    if (failure instanceof HttpException.RuntimeException known) {
      error(known.getCode(), String.valueOf(known.getReason()));
      return known.getCode();
    }
    Status status = HttpErrors.status(failure);
    int code = HttpErrors.code(status);
    error(code, String.valueOf(status.getDescription()));
    return code;
  }

  Optional<String> header(String name) {
    return Optional.ofNullable(request.getHeaders().get(name));
  }

  /** The length of the body's JSON object, if the request says it. */
  OptionalInt jsonBytes() {
    Optional<String> length = header(JSON_BYTES);
    if (length.isEmpty()) {
      return OptionalInt.empty();
    }
    try {
      int bytes = Integer.parseInt(length.get());
      if (bytes > 0) {
        return OptionalInt.of(bytes);
      }
    } catch (NumberFormatException e) {
      // Told below, as any other that is wrong.
    }
    throw invalidArgument(
        "%s is \"%s\"; allowed is the number of bytes of the JSON object"
            .formatted(JSON_BYTES, length.get()));
  }

  SocketAddress peer() {
    return request.getConnectionMetaData().getRemoteSocketAddress();
  }

  /**
   * The body, unpacked.
   *
   * @throws HttpException.RuntimeException 415 if it is packed in a way that we do not know
   */
  RequestBody body(int most) {
    // Whatever was unpacked does not say so any more.
    header(HttpHeader.CONTENT_ENCODING.asString())
        .filter(encoding -> !encoding.equalsIgnoreCase("identity"))
        .ifPresent(encoding -> {
          response.getHeaders().put(HttpHeader.ACCEPT_ENCODING, "gzip");
          throw new HttpException.RuntimeException(
              HttpStatus.UNSUPPORTED_MEDIA_TYPE_415,
              "Content-Encoding is \"%s\"; allowed is gzip".formatted(encoding));
        });
    return new RequestBody(request, most, settings.timeout());
  }

  /** HEAD is what GET would be, without the body. */
  void checkMethod(String allowed) {
    String method = request.getMethod();
    if (!method.equals(allowed) && !(method.equals("HEAD") && allowed.equals("GET"))) {
      response.getHeaders().put(HttpHeader.ALLOW, allowed);
      throw new HttpException.RuntimeException(
          HttpStatus.METHOD_NOT_ALLOWED_405,
          "the method is %s; allowed is %s".formatted(method, allowed));
    }
  }

  /** Runs when the client is found to be gone, as far as that can be seen before the answer. */
  void onGone(Runnable action) {
    request.addFailureListener(failure -> action.run());
    // The answer may take longer than a connection may be silent.
    request.addIdleTimeoutListener(silence -> false);
  }

  void json(int status, JsonElement object) {
    write(status, HttpErrors.JSON, object.toString().getBytes(StandardCharsets.UTF_8));
  }

  void empty() {
    response.setStatus(HttpStatus.OK_200);
    response.write(true, null, callback);
  }

  /**
   * Gives a file of the program, unless the client has it.
   *
   * @param tag changes with the content
   */
  void asset(String type, byte[] content, String tag) {
    // An answer that is packed has the same tag with a suffix.
    boolean known = header(HttpHeader.IF_NONE_MATCH.asString()).orElse("").contains(tag);
    response
        .getHeaders()
        .put(HttpHeader.ETAG, "\"" + tag + "\"")
        .put(HttpHeader.CACHE_CONTROL, "no-cache")
        .put("Content-Security-Policy", CONTENT_POLICY)
        .put("X-Content-Type-Options", "nosniff")
        .put("Referrer-Policy", "no-referrer");
    if (known) {
      response.setStatus(HttpStatus.NOT_MODIFIED_304);
      response.write(true, null, callback);
    } else {
      write(HttpStatus.OK_200, type, content);
    }
  }

  /** Writes what a viewer is shown, until it ends, or the client has gone. */
  void events(LiveViewer viewer, Duration mostTime) throws IOException {
    EndPoint connection = request.getConnectionMetaData().getConnection().getEndPoint();
    viewer.onDropped(
        () -> connection.close(new TimeoutException("the events were not taken in time")));
    response.setStatus(HttpStatus.OK_200);
    response
        .getHeaders()
        .put(HttpHeader.CONTENT_TYPE, EVENTS)
        .put(HttpHeader.CACHE_CONTROL, "no-store")
        .put("X-Accel-Buffering", "no"); // Proxies pass it on as it comes.
    if (!request.getMethod().equals("HEAD")) {
      long end = System.nanoTime() + mostTime.toNanos();
      Optional<byte[]> message = next(viewer, end);
      while (message.isPresent()) {
        Content.Sink.write(response, false, ByteBuffer.wrap(message.get()));
        message = next(viewer, end);
      }
    }
    response.write(true, null, callback);
  }

  private static Optional<byte[]> next(LiveViewer viewer, long endNanos) throws IOException {
    try {
      return viewer.next(Duration.ofNanos(Math.max(0, endNanos - System.nanoTime())));
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException("interrupted", e);
    }
  }

  void notFound() {
    error(
        HttpStatus.NOT_FOUND_404,
        "there is no %s here".formatted(request.getHttpURI().getCanonicalPath()));
  }

  void error(int status, String message) {
    if (response.isCommitted()) {
      fail(new IOException(message));
      return;
    }
    HttpErrors.headers(request, status, response.getHeaders());
    if (!drain()) {
      response.getHeaders().put(HttpHeader.CONNECTION, "close");
    }
    write(status, HttpErrors.JSON, HttpErrors.body(message));
  }

  /**
   * Reads what is left of a small body. A connection that is closed with something unread is reset,
   * and its client may lose the answer.
   *
   * @return whether that was all
   */
  private boolean drain() {
    if (header(HttpHeader.EXPECT.asString()).isPresent()) {
      return false; // It waits for a word before it sends any.
    }
    try (RequestBody rest = new RequestBody(request, MAX_UNREAD_BYTES, UNREAD_TIME)) {
      rest.transferTo(OutputStream.nullOutputStream());
      return true;
    } catch (IOException | GuildhallException | HttpException.RuntimeException e) {
      return false;
    }
  }

  /** Ends the connection: too late for an answer. */
  void fail(Exception failure) {
    callback.failed(failure);
  }

  private void write(int status, String contentType, byte[] content) {
    response.setStatus(status);
    response.getHeaders().put(HttpHeader.CONTENT_TYPE, contentType);
    response.getHeaders().put(HttpHeader.CONTENT_LENGTH, content.length);
    response.write(true, ByteBuffer.wrap(content), callback);
  }

  /**
   * Writes an answer; ownership is taken. The client has as long to take it as to send a request.
   */
  void answer(InferAnswer answer, Predicate<String> isBinary) throws IOException {
    EndPoint connection = request.getConnectionMetaData().getConnection().getEndPoint();
    ScheduledFuture<?> late =
        settings
            .timer()
            .schedule(
                () -> connection.close(new TimeoutException("the answer was not taken in time")),
                settings.timeout().toMillis(),
                TimeUnit.MILLISECONDS);
    try (answer) {
      RestAnswer rest = new RestAnswer(answer, isBinary);
      rest.check();
      List<InferTensor> behind = rest.binary();
      response.setStatus(HttpStatus.OK_200);
      if (behind.isEmpty()) {
        response.getHeaders().put(HttpHeader.CONTENT_TYPE, HttpErrors.JSON);
        // Closed only when it is whole: the end would make a part of it look right.
        OutputStream out = Response.asBufferedOutputStream(request, response);
        rest.writeJson(out);
        out.close();
      } else {
        writeBinary(rest, behind);
      }
    } finally {
      late.cancel(false);
    }
    callback.succeeded();
  }

  private void writeBinary(RestAnswer rest, List<InferTensor> behind) throws IOException {
    ByteArrayOutputStream json = new ByteArrayOutputStream();
    rest.writeJson(json);
    long bytes =
        json.size() + behind.stream().mapToLong(output -> output.data().readableBytes()).sum();
    response.getHeaders().put(HttpHeader.CONTENT_TYPE, BINARY);
    response.getHeaders().put(JSON_BYTES, json.size());
    response.getHeaders().put(HttpHeader.CONTENT_LENGTH, bytes);
    Content.Sink.write(response, false, ByteBuffer.wrap(json.toByteArray()));
    for (int i = 0; i < behind.size(); i++) {
      ByteBuf data = behind.get(i).data();
      Content.Sink.write(response, i == behind.size() - 1, data.nioBuffer());
    }
  }
}
