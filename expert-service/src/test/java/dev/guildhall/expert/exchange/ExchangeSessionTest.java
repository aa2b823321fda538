package dev.guildhall.expert.exchange;

import static dev.guildhall.expert.exchange.ServedExperts.MAX_QUEUED_ROWS;
import static dev.guildhall.expert.exchange.ServedExperts.assertError;
import static dev.guildhall.expert.exchange.ServedExperts.batch;
import static dev.guildhall.expert.exchange.ServedExperts.rows;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.guildhall.proto.DescribeRequest;
import dev.guildhall.proto.Dtype;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import io.grpc.Status;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The exchange as a router with generated stubs sees it, over a socket. */
class ExchangeSessionTest {
  private ServedExperts experts;

  @BeforeEach
  void open() throws Exception {
    experts = new ServedExperts();
  }

  @AfterEach
  void close() {
    experts.close();
  }

  static Stream<Arguments> badBatches() {
    return Stream.of(
        bad(
            "unknown layer",
            batch(7, 0, 1).setLayer("pear"),
            Status.Code.NOT_FOUND,
            "layer \"pear\" is not hosted here; hosted are: layer@0123456789ab"),
        bad(
            "another version",
            batch(7, 0, 1).setDigest("cafe"),
            Status.Code.NOT_FOUND,
            "layer \"layer@cafe\" is not hosted here"),
        bad(
            "expert of another rank",
            batch(7, 1, 1),
            Status.Code.NOT_FOUND,
            "expert 1 of layer layer@0123456789ab is not hosted here; hosted are: [0, 2]"),
        bad("negative expert", batch(7, -1, 1), Status.Code.NOT_FOUND, "expert -1"),
        bad(
            "fewer bytes",
            batch(7, 0, 2).setRows(rows(1)),
            Status.Code.INVALID_ARGUMENT,
            "rows has 8 bytes; allowed is 16, for 2 rows of hidden_size 2"),
        bad(
            "more bytes",
            batch(7, 0, 1).setRows(rows(2)),
            Status.Code.INVALID_ARGUMENT,
            "rows has 16 bytes; allowed is 8"),
        bad(
            "no bytes",
            batch(7, 0, 1).clearRows(),
            Status.Code.INVALID_ARGUMENT,
            "rows has 0 bytes"),
        bad(
            "more experts than counts",
            batch(7, 0, 1).addExperts(2),
            Status.Code.INVALID_ARGUMENT,
            "2 experts and 1 row_counts"),
        bad(
            "more counts than experts",
            batch(7, 0, 1).addRowCounts(2),
            Status.Code.INVALID_ARGUMENT,
            "1 experts and 2 row_counts"),
        bad(
            "no experts",
            batch(7, 0, 1).clearExperts().clearRowCounts().clearRows(),
            Status.Code.INVALID_ARGUMENT,
            "0 experts and 0 row_counts"),
        bad("no rows", batch(7, 0, 0), Status.Code.INVALID_ARGUMENT, "0 rows"),
        bad(
            "negative rows",
            batch(7, 0, 2).clearRowCounts().addRowCounts(-2),
            Status.Code.INVALID_ARGUMENT,
            "-2 rows"),
        bad(
            "as many rows as wrap to right ones",
            batch(7, 0, 1)
                .clearRowCounts()
                .clearExperts()
                .addExperts(0)
                .addExperts(0)
                .addExperts(0)
                .addRowCounts(Integer.MAX_VALUE)
                .addRowCounts(Integer.MAX_VALUE)
                .addRowCounts(3),
            Status.Code.INVALID_ARGUMENT,
            "rows has 8 bytes"),
        bad(
            "no timeout",
            batch(7, 0, 1).clearTimeoutUs(),
            Status.Code.INVALID_ARGUMENT,
            "timeout_us is 0; allowed is from 1"),
        bad(
            "no dtype",
            batch(7, 0, 1).clearDtype(),
            Status.Code.INVALID_ARGUMENT,
            "dtype is DTYPE_UNSPECIFIED; allowed is DTYPE_FP32"),
        bad(
            "a dtype of another size",
            batch(7, 0, 1).setDtype(Dtype.DTYPE_FP16),
            Status.Code.INVALID_ARGUMENT,
            "rows has"),
        bad(
            "unknown dtype",
            batch(7, 0, 1).setDtypeValue(99),
            Status.Code.INVALID_ARGUMENT,
            "dtype is UNRECOGNIZED"),
        bad(
            "more rows than the queue takes",
            batch(7, 0, MAX_QUEUED_ROWS + 1),
            Status.Code.INVALID_ARGUMENT,
            "batch of 101 rows"));
  }

  private static Arguments bad(
      String name, ExchangeRequest.Builder batch, Status.Code code, String message) {
    return Arguments.of(name, batch.build(), code, message);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("badBatches")
  void aBadBatchAnswersAnErrorAndTheStreamGoesOn(
      String name, ExchangeRequest batch, Status.Code code, String message) throws Exception {
    experts.requests().onNext(batch);
    assertError(experts.answer(), 7, code, message);
    experts.send(batch(7, 0, 1));
    ExchangeResponse good = experts.answer();
    assertFalse(good.hasError(), name + ": " + good);
    assertEquals(rows(1), good.getRows());
  }

  @Test
  void rowsOfSeveralExpertsComeBackInTheirOrder() throws Exception {
    experts.letGo();
    experts.send(batch(1, 2, 3).addExperts(0).addRowCounts(2).setRows(rows(5)));
    ExchangeResponse response = experts.answer();
    assertEquals(1, response.getBatchId());
    assertEquals(Dtype.DTYPE_FP32, response.getDtype());
    assertEquals(rows(5), response.getRows());
  }

  @Test
  void batchesAreAnsweredAsTheyFinish() throws Exception {
    Map<Long, ExchangeResponse> byId = new HashMap<>();
    for (int id = 0; id < 50; id++) {
      experts.send(batch(id, 0, 1 + id % 2));
    }
    experts.requests().onCompleted();
    for (int i = 0; i < 50; i++) {
      ExchangeResponse response = experts.answer();
      byId.put(response.getBatchId(), response);
    }
    experts.awaitEnd();
    assertEquals(50, byId.size());
    byId.forEach((id, response) -> assertEquals(rows((int) (1 + id % 2)), response.getRows()));
  }

  @Test
  void anIdInFlightIsRefusedAndItsBatchGoesOn() throws Exception {
    experts.send(batch(7, 2, 1));
    experts.awaitHeld();
    experts.send(batch(7, 0, 1));
    assertError(
        experts.answer(), 7, Status.Code.INVALID_ARGUMENT, "batch_id 7 is in flight already");
    experts.letGo();
    assertEquals(rows(1), experts.answer().getRows());
  }

  @Test
  void aFullQueueIsResourceExhausted() throws Exception {
    experts.send(batch(1, 2, 1));
    experts.awaitHeld();
    experts.send(batch(2, 0, 60));
    experts.send(batch(3, 0, 60));
    assertError(
        experts.answer(), 3, Status.Code.RESOURCE_EXHAUSTED, "60 rows are queued and 60 more");
    experts.letGo();
    assertEquals(1, experts.answer().getBatchId());
    assertEquals(2, experts.answer().getBatchId());
  }

  @Test
  void aCancelledBatchIsNotComputed() throws Exception {
    experts.send(batch(1, 2, 1));
    experts.awaitHeld();
    experts.send(batch(2, 2, 1));
    experts.requests().onNext(ExchangeRequest.newBuilder().setBatchId(2).setCancel(true).build());
    experts.requests().onNext(ExchangeRequest.newBuilder().setBatchId(99).setCancel(true).build());
    // Answered at once, so that the cancellations before it have been read.
    experts.send(batch(3, 1, 1));
    assertError(experts.answer(), 3, Status.Code.NOT_FOUND, "expert 1");
    experts.letGo();
    assertEquals(1, experts.answer().getBatchId());
    assertError(experts.answer(), 2, Status.Code.CANCELLED, "cancelled");
  }

  @Test
  void aBatchPastItsTimeoutIsNotComputed() throws Exception {
    experts.send(batch(1, 2, 1));
    experts.awaitHeld();
    experts.send(batch(2, 2, 1).setTimeoutUs(1));
    experts.send(batch(3, 1, 1));
    assertError(experts.answer(), 3, Status.Code.NOT_FOUND, "expert 1");
    experts.letGo();
    assertEquals(1, experts.answer().getBatchId());
    assertError(experts.answer(), 2, Status.Code.DEADLINE_EXCEEDED, "deadline");
  }

  @Test
  void aTimeoutOfCenturiesIsTaken() throws Exception {
    for (long timeout : new long[] {Long.MAX_VALUE, -1}) {
      experts.send(batch(1, 0, 1).setTimeoutUs(timeout));
      assertFalse(experts.answer().hasError(), "timeout_us " + Long.toUnsignedString(timeout));
    }
  }

  @Test
  void describesWhatItHosts() {
    assertEquals(
        "cpu",
        ExpertServiceGrpc.newBlockingStub(experts.channel())
            .describe(DescribeRequest.getDefaultInstance())
            .getDevice());
  }
}
