package dev.guildhall.error;

/** What kind of failure it is; each maps to the gRPC status of the same name. */
public enum ErrorCode {
  /** The input is wrong and will be wrong again. */
  INVALID_ARGUMENT,
  /** The named thing does not exist. */
  NOT_FOUND,
  /** The service is set up in a way that forbids it. */
  FAILED_PRECONDITION,
  /** A bound is reached; the same request may succeed later. */
  RESOURCE_EXHAUSTED,
  /** No replica can do the work now. */
  UNAVAILABLE,
  /** The time given is over. */
  DEADLINE_EXCEEDED,
  /** The caller no longer wants the answer. */
  CANCELLED,
  /** The caller has not shown who it is. */
  UNAUTHENTICATED,
  /** A defect on our side. */
  INTERNAL;

  /** Whether the service has failed, and not its caller. */
  public boolean isServersFault() {
    return this == UNAVAILABLE || this == DEADLINE_EXCEEDED || this == INTERNAL;
  }

  /** What a failure counts as. */
  public static ErrorCode of(Throwable failure) {
    return switch (failure) {
      case GuildhallException known -> known.code();
      case OutOfMemoryError noMemory -> RESOURCE_EXHAUSTED;
      default -> INTERNAL;
    };
  }
}
