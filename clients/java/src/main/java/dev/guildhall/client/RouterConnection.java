package dev.guildhall.client;

import static java.util.Objects.requireNonNull;

import dev.guildhall.proto.MoeLayerServiceGrpc;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.stub.MetadataUtils;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * How routers are reached.
 *
 * @param target a gRPC name: {@code host:port}, or {@code dns:///routers:8001}, of which all
 *     addresses share the calls
 * @param credentials {@link InsecureChannelCredentials} for plaintext, or TLS as {@link
 *     io.grpc.TlsChannelCredentials} has it
 * @param token shown to the router as {@code authorization: Bearer TOKEN}, if it asks for one
 * @param attempts how often a call is sent at most while routers are unavailable or full, 1 to 5;
 *     {@link RouterClient} takes it for its streams
 * @param maxAnswerBytes the largest answer that is taken
 */
public record RouterConnection(
    String target,
    ChannelCredentials credentials,
    Optional<String> token,
    int attempts,
    int maxAnswerBytes) {
  private static final int KEEP_ALIVE_SECONDS = 10;
  static final int USUAL_ATTEMPTS = 4;
  private static final int USUAL_ANSWER_BYTES = 256 << 20;

  /**
   * What gRPC keeps of a request at most, to send it again: as much as a router takes by default,
   * and the message's frame. What is larger goes out, but once.
   */
  private static final long RETRY_BYTES = (64 << 20) + 1024;

  /** Of all calls of a channel together; they are the callers' own messages, and not copies. */
  private static final long ALL_RETRY_BYTES = 16 * RETRY_BYTES;

  /** What gRPC itself allows. */
  private static final int MOST_ATTEMPTS = 5;

  public RouterConnection {
    requireAttempts(attempts);
    if (maxAnswerBytes < 1) {
      throw new IllegalArgumentException(
          "maxAnswerBytes is %d; allowed is from 1".formatted(maxAnswerBytes));
    }
  }

  static void requireAttempts(int attempts) {
    if (attempts < 1 || attempts > MOST_ATTEMPTS) {
      throw new IllegalArgumentException(
          "attempts is %d; allowed is 1 to %d".formatted(attempts, MOST_ATTEMPTS));
    }
  }

  /** In plaintext and without a token. */
  public static RouterConnection to(String target) {
    return new RouterConnection(
        target,
        InsecureChannelCredentials.create(),
        Optional.empty(),
        USUAL_ATTEMPTS,
        USUAL_ANSWER_BYTES);
  }

  public RouterConnection withCredentials(ChannelCredentials other) {
    return new RouterConnection(target, other, token, attempts, maxAnswerBytes);
  }

  public RouterConnection withToken(String shown) {
    return new RouterConnection(target, credentials, Optional.of(shown), attempts, maxAnswerBytes);
  }

  public RouterConnection withAttempts(int most) {
    return new RouterConnection(target, credentials, token, most, maxAnswerBytes);
  }

  /** A channel that connects with the first call; the caller shuts it down. */
  public ManagedChannel open() {
    return Grpc.newChannelBuilder(target, credentials)
        .defaultLoadBalancingPolicy("round_robin")
        .defaultServiceConfig(serviceConfig())
        .enableRetry()
        .perRpcBufferLimit(RETRY_BYTES)
        .retryBufferSize(ALL_RETRY_BYTES)
        .maxInboundMessageSize(maxAnswerBytes)
        .keepAliveTime(KEEP_ALIVE_SECONDS, TimeUnit.SECONDS)
        .keepAliveTimeout(KEEP_ALIVE_SECONDS, TimeUnit.SECONDS)
        .intercept(token.map(RouterConnection::showing).stream().toList())
        .build();
  }

  /** Without what is secret. */
  @Override
  public String toString() {
    return "RouterConnection[target=%s, credentials=%s, token=%s, attempts=%d, maxAnswerBytes=%d]"
        .formatted(
            target,
            credentials.getClass().getSimpleName(),
            token.map(shown -> "***"),
            attempts,
            maxAnswerBytes);
  }

  private static ClientInterceptor showing(String token) {
    Metadata headers = new Metadata();
    headers.put(
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
    return MetadataUtils.newAttachHeadersInterceptor(headers);
  }

  /** gRPC itself repeats calls, and waits as long as the router asks it to. */
  private Map<String, ?> serviceConfig() {
    if (attempts == 1) {
      return Map.of();
    }
    Map<String, ?> retry =
        Map.of(
            "maxAttempts",
            (double) attempts,
            "initialBackoff",
            "0.05s",
            "maxBackoff",
            "1s",
            "backoffMultiplier",
            2.0,
            "retryableStatusCodes",
            List.of("UNAVAILABLE", "RESOURCE_EXHAUSTED"));
    // Streams repeat what they lose by themselves.
    List<Map<String, String>> calls =
        MoeLayerServiceGrpc.getServiceDescriptor().getMethods().stream()
            .filter(method -> method.getType() == MethodDescriptor.MethodType.UNARY)
            .map(method ->
                Map.of(
                    "service",
                    MoeLayerServiceGrpc.SERVICE_NAME,
                    "method",
                    requireNonNull(method.getBareMethodName())))
            .toList();
    return Map.of("methodConfig", List.of(Map.of("name", calls, "retryPolicy", retry)));
  }
}
