package dev.guildhall.rpc;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.util.Durations;
import com.google.rpc.RetryInfo;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.Error;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
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
  void saysWhenToTryAgainWhereABoundIsReached() throws Exception {
    GuildhallException full = new GuildhallException(ErrorCode.RESOURCE_EXHAUSTED, "full");
    StatusRuntimeException failure = Statuses.toCallFailure(full);
    assertEquals(Status.Code.RESOURCE_EXHAUSTED, failure.getStatus().getCode());
    assertEquals("full", failure.getStatus().getDescription());
    RetryInfo retry =
        requireNonNull(StatusProto.fromThrowable(failure)).getDetails(0).unpack(RetryInfo.class);
    long millis = Durations.toMillis(retry.getRetryDelay());
    assertTrue(millis >= 100 && millis < 300, "after " + millis + " ms");
    assertEquals(
        Long.toString(millis),
        requireNonNull(failure.getTrailers())
            .get(Metadata.Key.of("grpc-retry-pushback-ms", Metadata.ASCII_STRING_MARSHALLER)));
    assertTrue(Statuses.toError(full).getRetryAfterMs() >= 100);
  }

  @Test
  void saysNothingOfTryingAgainElsewhere() {
    GuildhallException wrong = GuildhallException.invalidArgument("k is 9");
    assertNull(Statuses.toCallFailure(wrong).getTrailers());
    assertEquals(0, Statuses.toError(wrong).getRetryAfterMs());
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
