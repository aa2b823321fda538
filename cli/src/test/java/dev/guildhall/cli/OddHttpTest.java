package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.metrics.MetricNames;
import dev.guildhall.repository.LayerRepository;
import java.io.IOException;
import java.net.Socket;
import java.net.http.HttpClient;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * HTTP as no decent client speaks it, byte by byte over sockets. Whatever comes, or does not, the
 * connection ends in time: well before a silent one would be closed.
 */
class OddHttpTest {
  private static final Duration TIMEOUT = Duration.ofSeconds(2);

  /** A silent connection may stay for 30 s. */
  private static final int WAIT_MILLIS = 15_000;

  private static final String INFER = "POST /v2/models/tight/infer HTTP/1.1";
  private static final String HEADERS = "\r\nHost: x\r\nConnection: close\r\n";
  private static final String TOKEN =
      "{\"inputs\": [{\"name\": \"hidden_states\", \"datatype\": \"FP32\", \"shape\": [1, 8],"
          + " \"data\": [0,0,0,0,0,0,0,0]}]}";

  @TempDir private static Path folder;

  private static LeakWatch leaks;
  private static ServedSystem system;

  @BeforeAll
  static void start() throws Exception {
    leaks = new LeakWatch();
    InferenceModels.write(folder);
    system = ServedSystem.start(LayerRepository.open(folder), TIMEOUT);
  }

  @AfterAll
  static void stop() {
    system.close();
    leaks.close();
  }

  /** Whatever came before. */
  @AfterEach
  void answersStill() throws Exception {
    try (HttpClient http = HttpClient.newHttpClient()) {
      Rest rest = new Rest(http, "http://localhost:" + system.httpPort());
      assertEquals(200, rest.post("/v2/models/tight/infer", TOKEN).statusCode());
    }
  }

  /** A connection that has sent something. */
  private static Socket send(String text) throws IOException {
    Socket socket = new Socket("localhost", system.httpPort());
    try {
      socket.setSoTimeout(WAIT_MILLIS);
      socket.getOutputStream().write(text.getBytes(StandardCharsets.ISO_8859_1));
      return socket;
    } catch (IOException e) {
      socket.close();
      throw e;
    }
  }

  /** What comes until the router ends the connection. */
  private static String answer(Socket socket) throws IOException {
    return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
  }

  static Stream<Arguments> refused() {
    return Stream.of(
        Arguments.of(400, "GET /v2/models/%zz HTTP/1.1" + HEADERS + "\r\n"),
        Arguments.of(400, "GET /v2/models/a%25b HTTP/1.1" + HEADERS + "\r\n"),
        Arguments.of(400, "GET /v2/models/%2e%2e/x HTTP/1.1" + HEADERS + "\r\n"),
        Arguments.of(400, "GET /v2/../../x HTTP/1.1" + HEADERS + "\r\n"),
        Arguments.of(505, "what is this\r\n\r\n"),
        Arguments.of(400, "\u0016\u0003\u0001\u0002\u0000\u0001"), // The beginning of TLS.
        Arguments.of(426, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        // Methods
        Arguments.of(404, "OPTIONS * HTTP/1.1" + HEADERS + "\r\n"),
        Arguments.of(400, "CONNECT x:1 HTTP/1.1" + HEADERS + "\r\n"),
        Arguments.of(404, "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\nConnection: close\r\n\r\n"),
        Arguments.of(404, "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\nwhatever goes through tunnels"),
        Arguments.of(404, "CONNECT x:1 HTTP/1.0\r\n\r\n"),
        Arguments.of(405, "TRACE /v2 HTTP/1.1" + HEADERS + "\r\n"),
        Arguments.of(405, "BREW /v2 HTTP/1.1" + HEADERS + "\r\n"),
        Arguments.of(404, "HEAD /v3 HTTP/1.1" + HEADERS + "\r\n"),
        // A body that nobody reads, and that does not come.
        Arguments.of(405, "PUT /v2 HTTP/1.1" + HEADERS + "Content-Length: 50000\r\n\r\nabc"),
        Arguments.of(404, "PUT /v3 HTTP/1.1" + HEADERS + "Content-Length: 50000\r\n\r\nabc"),
        // Lengths and encodings
        Arguments.of(400, INFER + HEADERS + "Content-Length: x\r\n\r\n"),
        Arguments.of(400, INFER + HEADERS + "Content-Length: -1\r\n\r\n"),
        Arguments.of(400, INFER + HEADERS + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
        Arguments.of(400, INFER + HEADERS + "Content-Length: 1\r\n\r\n" + TOKEN),
        Arguments.of(400, INFER + HEADERS + "\r\n" + TOKEN),
        Arguments.of(400, INFER + HEADERS + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        Arguments.of(
            400, INFER + HEADERS + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"),
        Arguments.of(400, INFER + HEADERS + "Transfer-Encoding: gzip\r\n\r\n{}"),
        Arguments.of(
            400,
            INFER + HEADERS + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        Arguments.of(415, INFER + HEADERS + "Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}"),
        Arguments.of(
            400,
            INFER + HEADERS + "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\u001f\u008b"),
        Arguments.of(417, INFER + HEADERS + "Expect: more\r\nContent-Length: 2\r\n\r\n{}"),
        Arguments.of(
            405,
            "PUT /v2 HTTP/1.1" + HEADERS + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
  }

  @ParameterizedTest(name = "{0}: {1}")
  @MethodSource("refused")
  void isRefusedAndTheConnectionEnds(int status, String request) throws Exception {
    try (Socket socket = send(request)) {
      String answer = answer(socket);
      assertTrue(answer.startsWith("HTTP/1.1 " + status + " "), answer);
    }
  }

  @Test
  void bodiesThatDoNotComeAreNotWaitedForAndThatIsSaid() throws Exception {
    List<String> requests =
        List.of(
            INFER + HEADERS + "Content-Length: 100\r\n\r\n{",
            INFER + HEADERS + "Content-Length: 99999999999\r\n\r\n{",
            INFER + HEADERS + "Transfer-Encoding: chunked\r\n\r\n",
            INFER + HEADERS + "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"inp",
            INFER + HEADERS + "Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n\u001f\u008b",
            INFER + HEADERS + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n",
            "POST /v2/repository/index HTTP/1.1" + HEADERS + "Content-Length: 100\r\n\r\n{");
    List<Socket> sockets = new ArrayList<>();
    try {
      for (String request : requests) {
        sockets.add(send(request));
      }
      for (int i = 0; i < requests.size(); i++) {
        String answer = answer(sockets.get(i));
        assertTrue(answer.contains("HTTP/1.1 408 "), requests.get(i) + " -> " + answer);
        assertTrue(answer.endsWith("{\"error\":\"the body did not come within 2000 ms\"}"), answer);
      }
    } finally {
      for (Socket socket : sockets) {
        socket.close();
      }
    }
  }

  @Test
  void bodiesThatEndTooEarlyAreRefused() throws Exception {
    for (String request :
        List.of(
            INFER + HEADERS + "Content-Length: 100\r\n\r\n{",
            INFER + HEADERS + "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"inp",
            "POST /v2/repository/index HTTP/1.1" + HEADERS + "Content-Length: 100\r\n\r\n{")) {
      try (Socket socket = send(request)) {
        socket.shutdownOutput();
        String answer = answer(socket);
        assertTrue(answer.startsWith("HTTP/1.1 400 "), request + " -> " + answer);
        assertTrue(answer.contains("{\"error\":\"the body cannot be read: "), answer);
      }
    }
  }

  @Test
  void requestsThatComeInOneWriteAreAnsweredInTheirOrder() throws Exception {
    String infer =
        INFER + "\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s".formatted(TOKEN.length(), TOKEN);
    try (Socket socket =
        send(
            infer
                + "HEAD /v2 HTTP/1.1\r\nHost: x\r\n\r\n"
                + infer
                + "GET /v3 HTTP/1.1"
                + HEADERS
                + "\r\n")) {
      List<String> statuses =
          answer(socket).lines().filter(line -> line.contains("HTTP/1.1 ")).toList();
      assertEquals(4, statuses.size(), statuses.toString());
      assertTrue(statuses.subList(0, 3).stream().allMatch(line -> line.contains(" 200 ")));
      assertTrue(statuses.getLast().contains(" 404 "));
    }
  }

  @Test
  void bodiesThatWaitForAWordGetIt() throws Exception {
    try (Socket socket =
        send(
            INFER
                + HEADERS
                + "Expect: 100-continue\r\nContent-Length: %d\r\n\r\n".formatted(TOKEN.length()))) {
      byte[] word = "HTTP/1.1 100 Continue\r\n\r\n".getBytes(StandardCharsets.US_ASCII);
      assertEquals(
          new String(word, StandardCharsets.US_ASCII),
          new String(socket.getInputStream().readNBytes(word.length), StandardCharsets.US_ASCII));
      socket.getOutputStream().write(TOKEN.getBytes(StandardCharsets.US_ASCII));
      assertTrue(answer(socket).startsWith("HTTP/1.1 200 "));
    }
  }

  @Test
  void clientsThatVanishLeaveNothingInFlight() throws Exception {
    String whole =
        INFER + HEADERS + "Content-Length: %d\r\n\r\n%s".formatted(TOKEN.length(), TOKEN);
    for (int i = 0; i < 100; i++) {
      // Ever later in the request, from its first byte to its last.
      int end = 1 + i * (whole.length() - 1) / 99;
      try (Socket socket = send(whole.substring(0, end))) {
        socket.setSoLinger(true, 0); // Reset rather than closed.
      }
    }
    Await.until(
        "nothing is in flight",
        () -> {
          try {
            return system
                .metrics()
                .lines()
                .anyMatch(line ->
                    line.matches(
                        MetricNames.TOKENS_IN_FLIGHT.replace('.', '_') + "(\\{.*})? 0(\\.0)?"));
          } catch (IOException | InterruptedException e) {
            throw new AssertionError(e);
          }
        });
  }
}
