package dev.guildhall.rpc;

import static java.util.Objects.requireNonNull;

import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.MessageLite;
import com.google.protobuf.Parser;
import com.google.protobuf.WireFormat;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;

/**
 * Reads and writes a protobuf message whose last field is the tensor, without ever holding the
 * tensor in a {@code byte[]}. On the wire it is the message of the .proto, so a peer that uses
 * generated stubs does not notice; fields may arrive in any order.
 *
 * <p>Thread-safe. A malformed message, or one that finds no memory, ends the call: a client gets
 * the reason as the cause of its failure; the peer of a server gets UNKNOWN, as gRPC has it for
 * whatever a marshaller throws.
 */
public final class TensorMarshaller<H extends MessageLite>
    implements MethodDescriptor.Marshaller<TensorMessage<H>> {

  /** The field number of every tensor payload in our .proto files. */
  private static final int PAYLOAD_FIELD = 15;

  static final int PAYLOAD_TAG = PAYLOAD_FIELD << 3 | WireFormat.WIRETYPE_LENGTH_DELIMITED;

  private static final byte[] NOTHING = new byte[0];

  private final Parser<H> parser;

  public TensorMarshaller(Parser<H> parser) {
    this.parser = requireNonNull(parser, "parser is null");
  }

  /** Borrows the message: the stream holds a reference of its own until it is closed. */
  @Override
  public InputStream stream(TensorMessage<H> message) {
    return new TensorOutput(
        message.header(), prefix(message), message.payload().retainedSlice(), NOTHING);
  }

  /** The header's bytes and, before a payload, its tag and length. */
  private static byte[] prefix(TensorMessage<?> message) {
    int payloadBytes = message.payload().readableBytes();
    int size = message.header().getSerializedSize();
    if (payloadBytes > 0) {
      size +=
          CodedOutputStream.computeUInt32SizeNoTag(PAYLOAD_TAG)
              + CodedOutputStream.computeUInt32SizeNoTag(payloadBytes);
    }
    byte[] prefix = new byte[size];
    CodedOutputStream out = CodedOutputStream.newInstance(prefix);
    try {
      message.header().writeTo(out);
      if (payloadBytes > 0) {
        out.writeUInt32NoTag(PAYLOAD_TAG);
        out.writeUInt32NoTag(payloadBytes);
      }
    } catch (IOException e) {
      throw new UncheckedIOException("a message did not fit its own serialized size", e);
    }
    return prefix;
  }

  @Override
  public TensorMessage<H> parse(InputStream in) {
    try {
      if (in instanceof TensorOutput local) {
        return handOver(local);
      }
      try (TensorInput input = new TensorInput(in, PAYLOAD_TAG, 1)) {
        input.readFields();
        return new TensorMessage<>(parser.parseFrom(input.headerBytes()), input.takePayload());
      }
    } catch (IOException | OutOfMemoryError e) {
      throw unreadable(e);
    }
  }

  /** What ends the call of a message that is malformed or finds no memory. */
  static StatusRuntimeException unreadable(Throwable failure) {
    Status status =
        failure instanceof OutOfMemoryError
            ? Statuses.toStatus(failure)
            : Status.INVALID_ARGUMENT.withDescription("malformed message: " + failure.getMessage());
    return status.withCause(failure).asRuntimeException();
  }

  /** In one process both ends meet here: the payload changes hands, the header is immutable. */
  @SuppressWarnings("unchecked") // Both ends of a call share the method's descriptor.
  private TensorMessage<H> handOver(TensorOutput local) {
    return new TensorMessage<>((H) local.header(), local.retainedPayload());
  }
}
