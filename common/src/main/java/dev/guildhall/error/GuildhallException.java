package dev.guildhall.error;

import static java.util.Objects.requireNonNull;

import org.jspecify.annotations.Nullable;

/** A failure that a user or a caller is told about: what was wrong, the value, what is allowed. */
public final class GuildhallException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final ErrorCode code;

  public GuildhallException(ErrorCode code, String message) {
    this(code, message, null);
  }

  public GuildhallException(ErrorCode code, String message, @Nullable Throwable cause) {
    super(requireNonNull(message, "message is null"), cause);
    this.code = requireNonNull(code, "code is null");
  }

  public static GuildhallException invalidArgument(String message) {
    return new GuildhallException(ErrorCode.INVALID_ARGUMENT, message);
  }

  @Override
  public String getMessage() {
    return requireNonNull(super.getMessage());
  }

  public ErrorCode code() {
    return code;
  }
}
