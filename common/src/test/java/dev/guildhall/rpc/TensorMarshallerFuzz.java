package dev.guildhall.rpc;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.Parser;
import com.google.protobuf.UnknownFieldSet;
import dev.guildhall.fuzz.GoldenFiles;
import dev.guildhall.fuzz.HeapBound;
import dev.guildhall.fuzz.SeedFolder;
import dev.guildhall.proto.Dtype;
import dev.guildhall.proto.Error;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.proto.ExchangeResponse;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.safetensors.SafetensorsFile;
import io.grpc.HasByteBuffer;
import io.grpc.KnownLength;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.PoolArenaMetric;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * Fuzz target: a message of one of the four types that carry tensors, as gRPC gives it after
 * decompression (of unknown length), from an array, and in chunks. The first byte chooses the type
 * and the chunks' size.
 *
 * <p>Oracle: protobuf's generated code, which must accept and refuse the same bytes and find the
 * same fields. Two differences are allowed: a message with a group, which proto3 cannot declare,
 * and one with a length of more than 32 bits or a number of more than ten bytes, which protobuf
 * cuts off, are refused. A refusal is INVALID_ARGUMENT. Every buffer is back in the pool
 * afterwards.
 */
public final class TensorMarshallerFuzz {
  private static final List<Type<?>> TYPES =
      List.of(
          new Type<>(
              ExchangeRequest.parser(), ExchangeRequest.getDescriptor().findFieldByNumber(15)),
          new Type<>(
              ExchangeResponse.parser(), ExchangeResponse.getDescriptor().findFieldByNumber(15)),
          new Type<>(ForwardRequest.parser(), ForwardRequest.getDescriptor().findFieldByNumber(15)),
          new Type<>(
              ForwardResponse.parser(), ForwardResponse.getDescriptor().findFieldByNumber(15)));

  private TensorMarshallerFuzz() {}

  /**
   * Messages of every type with the first row of golden hidden states, one with its payload first.
   */
  public static Stream<byte[]> seeds() {
    ByteString row;
    try (SafetensorsFile golden = SafetensorsFile.open(GoldenFiles.all().getFirst())) {
      byte[] states = golden.tensor("hidden_states").data().toArray(ValueLayout.JAVA_BYTE);
      row = ByteString.copyFrom(states, 0, Math.min(64, states.length));
    }
    ExchangeRequest exchange =
        ExchangeRequest.newBuilder()
            .setBatchId(7)
            .setLayer("digits")
            .setDtype(Dtype.DTYPE_FP32)
            .setTimeoutUs(1000)
            .addAllExperts(List.of(0, 3))
            .addAllRowCounts(List.of(1, 2))
            .build();
    return Stream.of(
        seed(0, exchange.toBuilder().setRows(row).build().toByteArray()),
        seed(0, exchange.toBuilder().setCancel(true).build().toByteArray()),
        seed(8, concatenated(payload(row), payload(ByteString.EMPTY), exchange.toByteArray())),
        seed(1, ExchangeResponse.newBuilder().setBatchId(7).setRows(row).build().toByteArray()),
        seed(
            1,
            ExchangeResponse.newBuilder()
                .setError(Error.newBuilder().setCode(3).setMessage("no"))
                .build()
                .toByteArray()),
        seed(
            2,
            ForwardRequest.newBuilder()
                .setId(1)
                .setLayer("digits")
                .setDtype(Dtype.DTYPE_BF16)
                .addAllShape(List.of(1L, 16L))
                .setHiddenStates(row)
                .build()
                .toByteArray()),
        seed(
            3,
            ForwardResponse.newBuilder()
                .setId(1)
                .addAllShape(List.of(1L, 16L))
                .setOutput(row)
                .build()
                .toByteArray()));
  }

  private static byte[] seed(int choice, byte[] message) {
    return concatenated(new byte[] {(byte) choice}, message);
  }

  private static byte[] payload(ByteString bytes) {
    ByteArrayOutputStream field = new ByteArrayOutputStream();
    try {
      CodedOutputStream out = CodedOutputStream.newInstance(field);
      out.writeBytes(15, bytes);
      out.flush();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return field.toByteArray();
  }

  private static byte[] concatenated(byte[]... parts) {
    ByteArrayOutputStream whole = new ByteArrayOutputStream();
    for (byte[] part : parts) {
      whole.writeBytes(part);
    }
    return whole.toByteArray();
  }

  public static void fuzzerInitialize() throws Exception {
    SeedFolder.warmUp(TensorMarshallerFuzz::check);
  }

  public static void fuzzerTestOneInput(byte[] input) throws Exception {
    HeapBound.check(input, TensorMarshallerFuzz::check);
  }

  private static void check(byte[] input) throws IOException {
    if (input.length == 0) {
      return;
    }
    int choice = input[0] & 0xff;
    byte[] wire = Arrays.copyOfRange(input, 1, input.length);
    TYPES.get(choice % TYPES.size()).check(wire, 1 + choice / TYPES.size());
  }

  /** A message type, our marshaller for it, and protobuf's. */
  private record Type<M extends Message>(
      Parser<M> parser, FieldDescriptor payload, TensorMarshaller<M> marshaller) {
    Type(Parser<M> parser, FieldDescriptor payload) {
      this(parser, payload, new TensorMarshaller<>(parser));
    }

    void check(byte[] wire, int chunkBytes) throws IOException {
      Optional<M> expected = expected(wire);
      check(wire, new Unsized(wire), expected);
      check(wire, new Sized(wire), expected);
      check(wire, new Chunks(wire, chunkBytes), expected);
    }

    private Optional<M> expected(byte[] wire) {
      try {
        return Optional.of(parser.parseFrom(wire));
      } catch (InvalidProtocolBufferException e) {
        return Optional.empty();
      }
    }

    private void check(byte[] wire, InputStream in, Optional<M> expected) throws IOException {
      long buffers = buffersInUse();
      try (TensorMessage<M> message = marshaller.parse(in)) {
        checkSame(message, expected);
      } catch (StatusRuntimeException e) {
        assertEquals(Status.Code.INVALID_ARGUMENT, e.getStatus().getCode());
        assertTrue(
            expected.isEmpty()
                || hasGroup(expected.get().getUnknownFields())
                || hasLongNumber(wire),
            () -> "protobuf reads " + expected + "; ours says " + e);
      }
      assertEquals(buffers, buffersInUse(), "buffers that are not back");
    }

    private void checkSame(TensorMessage<M> message, Optional<M> expected) throws IOException {
      M due = expected.orElseThrow(() -> new AssertionError("protobuf refuses it"));
      assertEquals(due.toBuilder().clearField(payload).build(), message.header());
      byte[] bytes = ByteBufUtil.getBytes(message.payload());
      assertEquals(due.getField(payload), ByteString.copyFrom(bytes));
      try (InputStream written = marshaller.stream(message)) {
        assertEquals(due, parser.parseFrom(written.readAllBytes()));
      }
    }
  }

  private static boolean hasGroup(UnknownFieldSet fields) {
    return fields.asMap().values().stream().anyMatch(field -> !field.getGroupList().isEmpty());
  }

  /** Whether something in it looks like a number of five bytes or more. */
  private static boolean hasLongNumber(byte[] wire) {
    int continued = 0;
    for (byte b : wire) {
      continued = b < 0 ? continued + 1 : 0;
      if (continued == 4) {
        return true;
      }
    }
    return false;
  }

  /** Exact, for this thread has no cache of its own. */
  private static long buffersInUse() {
    return LendingAllocator.INSTANCE.metric().directArenas().stream()
        .mapToLong(PoolArenaMetric::numActiveAllocations)
        .sum();
  }

  private static final class Unsized extends ByteArrayInputStream {
    Unsized(byte[] bytes) {
      super(bytes);
    }

    @Override
    public synchronized int available() {
      return 1;
    }
  }

  private static class Sized extends ByteArrayInputStream implements KnownLength {
    Sized(byte[] bytes) {
      super(bytes);
    }
  }

  /** As gRPC gives a message that came in several frames. */
  private static final class Chunks extends Sized implements HasByteBuffer {
    private final int chunkBytes;

    Chunks(byte[] bytes, int chunkBytes) {
      super(bytes);
      this.chunkBytes = chunkBytes;
    }

    @Override
    public boolean byteBufferSupported() {
      return true;
    }

    @Override
    public ByteBuffer getByteBuffer() {
      return ByteBuffer.wrap(buf, pos, Math.min(chunkBytes, count - pos));
    }
  }
}
