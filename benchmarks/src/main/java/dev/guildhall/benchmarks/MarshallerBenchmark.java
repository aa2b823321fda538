package dev.guildhall.benchmarks;

import com.google.protobuf.ByteString;
import dev.guildhall.proto.ExchangeRequest;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.TensorMarshaller;
import dev.guildhall.rpc.TensorMessage;
import io.grpc.Drainable;
import io.grpc.KnownLength;
import io.netty.buffer.ByteBuf;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * A message to bytes and back, ours and protobuf's own, from and to direct memory. What only a
 * channel can show, the payload lent to gRPC's framer, is in {@code guildhall bench exchange}.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class MarshallerBenchmark {
  private static final ExchangeRequest HEADER =
      ExchangeRequest.newBuilder()
          .setBatchId(1L << 32)
          .setLayer("random")
          .addAllExperts(List.of(0, 1, 2, 3))
          .addAllRowCounts(List.of(64, 64, 64, 64))
          .build();

  private final TensorMarshaller<ExchangeRequest> marshaller =
      new TensorMarshaller<>(ExchangeRequest.parser());

  @Param({"4096", "65536", "1048576"})
  private int payloadBytes;

  private ByteBuf payload = Buffers.allocate(0);
  private byte[] wire = {};

  @Setup
  public void setUp() {
    payload = Buffers.allocate(payloadBytes);
    payload.setZero(0, payloadBytes);
    wire =
        HEADER.toBuilder()
            .setRows(ByteString.copyFrom(new byte[payloadBytes]))
            .build()
            .toByteArray();
  }

  @TearDown
  public void tearDown() {
    payload.release();
  }

  @Benchmark
  public int write() throws IOException {
    try (TensorMessage<ExchangeRequest> message =
            new TensorMessage<>(HEADER, payload.retainedDuplicate());
        InputStream stream = marshaller.stream(message)) {
      return ((Drainable) stream).drainTo(OutputStream.nullOutputStream());
    }
  }

  @Benchmark
  public int writeAsProtobuf() throws IOException {
    byte[] rows = new byte[payloadBytes];
    payload.getBytes(0, rows);
    HEADER.toBuilder()
        .setRows(ByteString.copyFrom(rows))
        .build()
        .writeTo(OutputStream.nullOutputStream());
    return rows.length;
  }

  @Benchmark
  public int read() {
    try (TensorMessage<ExchangeRequest> message = marshaller.parse(new Wire(wire))) {
      return message.payload().readableBytes();
    }
  }

  @Benchmark
  public int readAsProtobuf() throws IOException {
    ExchangeRequest message = ExchangeRequest.parseFrom(new Wire(wire));
    ByteBuf rows = Buffers.allocate(payloadBytes);
    rows.setBytes(0, message.getRows().asReadOnlyByteBuffer());
    rows.release();
    return message.getRows().size();
  }

  /** A message as gRPC hands it to a marshaller. */
  private static final class Wire extends ByteArrayInputStream implements KnownLength {
    Wire(byte[] bytes) {
      super(bytes);
    }
  }
}
