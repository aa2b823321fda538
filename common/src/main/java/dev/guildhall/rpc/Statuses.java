package dev.guildhall.rpc;

import static java.util.Objects.requireNonNull;

import com.google.protobuf.Any;
import com.google.protobuf.util.Durations;
import com.google.rpc.RetryInfo;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.Error;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.concurrent.ThreadLocalRandom;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The one place where our errors become gRPC statuses and back. */
public final class Statuses {
  private static final Logger log = LoggerFactory.getLogger(Statuses.class);

  private static final int MAX_DESCRIPTION = 1024;

  /** Queues are about so long; spread out, so that the refused do not come back together. */
  private static final int LEAST_RETRY_MILLIS = 100;

  private static final int MOST_RETRY_MILLIS = 300;

  /** What a gRPC client's own retry policy heeds. */
  private static final Metadata.Key<String> RETRY_PUSHBACK =
      Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER);

  private Statuses() {}

  /** The status that a caller sees. An unexpected failure is logged here and told as INTERNAL. */
  public static Status toStatus(Throwable failure) {
    if (failure instanceof GuildhallException known) {
      return Status.fromCode(Status.Code.valueOf(known.code().name()))
          .withDescription(shortened(known.getMessage()));
    }
    if (failure instanceof OutOfMemoryError) {
      return Status.RESOURCE_EXHAUSTED.withDescription(
          "no memory for the message now: " + failure.getMessage());
    }
    Status status = Status.fromThrowable(failure);
    if (status.getCode() != Status.Code.UNKNOWN) {
      return status;
    }
    log.error("unexpected failure", failure);
    return Status.INTERNAL.withDescription("unexpected failure: " + failure);
  }

  /**
   * What ends a call: the status and, where a bound was reached, when to try again, as {@code
   * google.rpc.RetryInfo} and in the form that gRPC's own retry heeds.
   */
  public static StatusRuntimeException toCallFailure(Throwable failure) {
    Status status = toStatus(failure);
    if (status.getCode() != Status.Code.RESOURCE_EXHAUSTED) {
      return status.asRuntimeException();
    }
    int millis = retryMillis();
    RetryInfo retry = RetryInfo.newBuilder().setRetryDelay(Durations.fromMillis(millis)).build();
    StatusRuntimeException detailed =
        StatusProto.toStatusRuntimeException(
            com.google.rpc.Status.newBuilder()
                .setCode(status.getCode().value())
                .setMessage(String.valueOf(status.getDescription()))
                .addDetails(Any.pack(retry))
                .build());
    Metadata trailers = requireNonNull(detailed.getTrailers());
    trailers.put(RETRY_PUSHBACK, Integer.toString(millis));
    return status.asRuntimeException(trailers);
  }

  private static int retryMillis() {
    return ThreadLocalRandom.current().nextInt(LEAST_RETRY_MILLIS, MOST_RETRY_MILLIS);
  }

  /** A status travels in headers, which peers limit to 8 KiB; a message may quote its input. */
  private static String shortened(String message) {
    return message.length() <= MAX_DESCRIPTION
        ? message
        : message.substring(0, MAX_DESCRIPTION) + " ...";
  }

  /** The same for a single request or batch of a stream. */
  public static Error toError(Throwable failure) {
    Status status = toStatus(failure);
    String message = status.getDescription();
    return Error.newBuilder()
        .setCode(status.getCode().value())
        .setMessage(message == null ? "" : message)
        .setRetryAfterMs(status.getCode() == Status.Code.RESOURCE_EXHAUSTED ? retryMillis() : 0)
        .build();
  }

  public static GuildhallException toException(Error error) {
    return toException(Status.fromCodeValue(error.getCode()).withDescription(error.getMessage()));
  }

  /** Our form of a peer's status; a code that we do not use counts as INTERNAL. */
  public static GuildhallException toException(Status status) {
    String description = status.getDescription();
    return new GuildhallException(
        switch (status.getCode()) {
          case INVALID_ARGUMENT, OUT_OF_RANGE -> ErrorCode.INVALID_ARGUMENT;
          case FAILED_PRECONDITION -> ErrorCode.FAILED_PRECONDITION;
          case NOT_FOUND -> ErrorCode.NOT_FOUND;
          case RESOURCE_EXHAUSTED -> ErrorCode.RESOURCE_EXHAUSTED;
          case UNAVAILABLE -> ErrorCode.UNAVAILABLE;
          case DEADLINE_EXCEEDED -> ErrorCode.DEADLINE_EXCEEDED;
          case CANCELLED -> ErrorCode.CANCELLED;
          case UNAUTHENTICATED, PERMISSION_DENIED -> ErrorCode.UNAUTHENTICATED;
          default -> ErrorCode.INTERNAL;
        },
        description == null ? status.getCode().name() : description,
        status.getCause());
  }
}
