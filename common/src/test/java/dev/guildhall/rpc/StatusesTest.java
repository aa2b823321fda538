package dev.guildhall.rpc;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.Error;
import io.grpc.Status;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class StatusesTest {
  @ParameterizedTest
  @EnumSource(ErrorCode.class)
  void everyCodeSurvivesTheWire(ErrorCode code) {
    GuildhallException failure = new GuildhallException(code, "k is 9; allowed 1 to 8");
    Status status = Statuses.toStatus(failure);
    assertEquals(code.name(), status.getCode().name());
    assertEquals("k is 9; allowed 1 to 8", status.getDescription());

    GuildhallException back = Statuses.toException(Statuses.toError(failure));
    assertEquals(code, back.code());
    assertEquals(failure.getMessage(), back.getMessage());
  }

  @ParameterizedTest
  @EnumSource(Status.Code.class)
  void everyStatusOfAPeerHasACode(Status.Code code) {
    GuildhallException exception = Statuses.toException(Status.fromCode(code));
    assertEquals(code.name(), exception.getMessage());
  }

  @Test
  void tellsAnUnexpectedFailureAsInternal() {
    Status status = Statuses.toStatus(new IllegalStateException("no such slot"));
    assertEquals(Status.Code.INTERNAL, status.getCode());
    assertEquals(
        "unexpected failure: java.lang.IllegalStateException: no such slot",
        status.getDescription());
  }

  @Test
  void tellsThatThereIsNoMemoryAsSomethingToTryAgain() {
    Status status = Statuses.toStatus(new OutOfMemoryError("direct buffers"));
    assertEquals(Status.Code.RESOURCE_EXHAUSTED, status.getCode());
    assertEquals("no memory for the message now: direct buffers", status.getDescription());
  }

  @Test
  void keepsTheStatusThatGrpcGave() {
    Throwable failure =
        Status.UNAVAILABLE.withDescription("connection refused").asRuntimeException();
    Error error = Statuses.toError(failure);
    assertEquals(Status.Code.UNAVAILABLE.value(), error.getCode());
    assertEquals("connection refused", error.getMessage());
  }

  @Test
  void takesACodeThatGrpcDoesNotHaveAsInternal() {
    Error error = Error.newBuilder().setCode(4711).setMessage("odd").build();
    assertEquals(ErrorCode.INTERNAL, Statuses.toException(error).code());
  }
}
