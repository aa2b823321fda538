package dev.guildhall.rpc;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.Error;
import io.grpc.Status;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The one place where our errors become gRPC statuses and back. */
public final class Statuses {
  private static final Logger log = LoggerFactory.getLogger(Statuses.class);

  private static final int MAX_DESCRIPTION = 1024;

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
          case INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE -> ErrorCode.INVALID_ARGUMENT;
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
