package dev.guildhall.rpc;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedOutputStream;
import dev.guildhall.proto.Dtype;
import dev.guildhall.proto.ExchangeRequest;
import io.grpc.KnownLength;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class TensorMarshallerTest {
  private final TensorMarshaller<ExchangeRequest> marshaller =
      new TensorMarshaller<>(ExchangeRequest.parser());

  private static final ExchangeRequest HEADER =
      ExchangeRequest.newBuilder()
          .setBatchId(1L << 40)
          .setLayer("digits")
          .setDtype(Dtype.DTYPE_FP32)
          .setTimeoutUs(12_345)
          .addAllExperts(IntStream.range(0, 300).boxed().toList())
          .addAllRowCounts(IntStream.range(0, 300).boxed().toList())
          .setTraceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
          .setTracestate("vendor=1")
          .build();

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 4, 1000, 65_536, 200_001})
  void writesTheBytesThatProtobufWrites(int payloadBytes) throws IOException {
    byte[] payload = randomBytes(payloadBytes);
    ExchangeRequest whole = HEADER.toBuilder().setRows(ByteString.copyFrom(payload)).build();
    try (TensorMessage<ExchangeRequest> message = message(payload)) {
      ByteArrayOutputStream drained = new ByteArrayOutputStream();
      try (TensorOutput output = (TensorOutput) marshaller.stream(message)) {
        assertEquals(whole.getSerializedSize(), output.available());
        assertEquals(whole.getSerializedSize(), output.drainTo(drained));
      }
      try (InputStream read = marshaller.stream(message)) {
        assertArrayEquals(whole.toByteArray(), read.readAllBytes());
      }
      assertArrayEquals(whole.toByteArray(), drained.toByteArray());
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 4, 1000, 65_536, 200_001})
  void readsWhatProtobufWrites(int payloadBytes) {
    byte[] payload = randomBytes(payloadBytes);
    byte[] wire = HEADER.toBuilder().setRows(ByteString.copyFrom(payload)).build().toByteArray();
    try (TensorMessage<ExchangeRequest> message = marshaller.parse(new Wire(wire))) {
      assertEquals(HEADER, message.header());
      assertArrayEquals(payload, ByteBufUtil.getBytes(message.payload()));
    }
  }

  @Test
  void readsAMessageOfUnknownLengthAsGrpcGivesItAfterDecompression() {
    byte[] payload = randomBytes(100_000);
    byte[] wire = HEADER.toBuilder().setRows(ByteString.copyFrom(payload)).build().toByteArray();
    InputStream unsized =
        new ByteArrayInputStream(wire) {
          @Override
          public synchronized int available() {
            return 1;
          }
        };
    try (TensorMessage<ExchangeRequest> message = marshaller.parse(unsized)) {
      assertArrayEquals(payload, ByteBufUtil.getBytes(message.payload()));
    }
  }

  @Test
  void takesFieldsInAnyOrderAndTheLastOfTwoPayloads() throws IOException {
    ByteArrayOutputStream wire = new ByteArrayOutputStream();
    CodedOutputStream out = CodedOutputStream.newInstance(wire);
    out.writeByteArray(15, new byte[] {1, 2, 3});
    out.writeByteArray(15, new byte[] {4, 5});
    out.writeFixed64(200, 7); // a field that this version does not know
    out.writeFixed32(201, 7);
    HEADER.writeTo(out);
    out.flush();
    try (TensorMessage<ExchangeRequest> message = marshaller.parse(new Wire(wire.toByteArray()))) {
      assertEquals(HEADER.getLayer(), message.header().getLayer());
      assertEquals(HEADER.getExpertsList(), message.header().getExpertsList());
      assertArrayEquals(new byte[] {4, 5}, ByteBufUtil.getBytes(message.payload()));
    }
  }

  @Test
  void looksAtAsManyBitsOfATagAsProtobufDoes() throws IOException {
    ByteArrayOutputStream wire = new ByteArrayOutputStream();
    CodedOutputStream out = CodedOutputStream.newInstance(wire);
    out.writeUInt64NoTag(1L << 40 | TensorMarshaller.PAYLOAD_TAG);
    out.writeByteArrayNoTag(new byte[] {1, 2, 3});
    out.flush();
    byte[] expected = ExchangeRequest.parseFrom(wire.toByteArray()).getRows().toByteArray();
    assertArrayEquals(new byte[] {1, 2, 3}, expected);
    try (TensorMessage<ExchangeRequest> message = marshaller.parse(new Wire(wire.toByteArray()))) {
      assertEquals(ExchangeRequest.getDefaultInstance(), message.header());
      assertArrayEquals(expected, ByteBufUtil.getBytes(message.payload()));
    }
  }

  @Test
  void handsThePayloadOverWithinAProcess() {
    ByteBuf payload;
    TensorMessage<ExchangeRequest> sent = message(randomBytes(64));
    payload = sent.payload();
    InputStream stream = marshaller.stream(sent);
    sent.close();
    try (TensorMessage<ExchangeRequest> received = marshaller.parse(stream)) {
      assertEquals(HEADER, received.header());
      assertEquals(payload.memoryAddress(), received.payload().memoryAddress());
      closeQuietly(stream);
      assertEquals(1, payload.refCnt());
    }
    assertEquals(0, payload.refCnt());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 5, 20, 600, 900})
  void refusesAMessageThatEndsEarly(int missing) {
    byte[] wire =
        HEADER.toBuilder().setRows(ByteString.copyFrom(randomBytes(500))).build().toByteArray();
    byte[] cut = Arrays.copyOf(wire, wire.length - missing);
    StatusRuntimeException e =
        assertThrows(StatusRuntimeException.class, () -> marshaller.parse(new Wire(cut)).close());
    assertEquals(Status.Code.INVALID_ARGUMENT, e.getStatus().getCode());
  }

  @ParameterizedTest(name = "seed {0}")
  @MethodSource("seeds")
  void refusesOrReadsWhateverBytesComeButNeverFailsOtherwise(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    byte[] wire =
        HEADER.toBuilder().setRows(ByteString.copyFrom(randomBytes(50))).build().toByteArray();
    for (int flips = random.nextInt(1, 20); flips > 0; flips--) {
      wire[random.nextInt(random.nextBoolean() ? 40 : wire.length)] = (byte) random.nextInt();
    }
    try (TensorMessage<ExchangeRequest> message = marshaller.parse(new Wire(wire))) {
      assertEquals(message.payload().readableBytes(), message.payload().capacity());
    } catch (StatusRuntimeException e) {
      assertEquals(Status.Code.INVALID_ARGUMENT, e.getStatus().getCode());
    }
  }

  static IntStream seeds() {
    return IntStream.range(0, 500);
  }

  private static TensorMessage<ExchangeRequest> message(byte[] payload) {
    ByteBuf buffer = Buffers.allocate(payload.length);
    buffer.setBytes(0, payload);
    return new TensorMessage<>(HEADER, buffer);
  }

  private static byte[] randomBytes(int length) {
    byte[] bytes = new byte[length];
    new SplittableRandom(length).nextBytes(bytes);
    return bytes;
  }

  private static void closeQuietly(InputStream stream) {
    try {
      stream.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** A message as gRPC hands it to a marshaller. */
  private static final class Wire extends ByteArrayInputStream implements KnownLength {
    Wire(byte[] bytes) {
      super(bytes);
    }
  }
}
