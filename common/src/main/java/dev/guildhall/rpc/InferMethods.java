package dev.guildhall.rpc;

import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.MessageLite;
import com.google.protobuf.WireFormat;
import dev.guildhall.proto.inference.GRPCInferenceServiceGrpc;
import dev.guildhall.proto.inference.ModelInferRequest;
import dev.guildhall.proto.inference.ModelInferResponse;
import dev.guildhall.proto.inference.ModelStreamInferResponse;
import io.grpc.MethodDescriptor;
import io.netty.buffer.ByteBuf;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.function.BiFunction;

/**
 * The methods of the Open Inference Protocol that carry tensors, as a server reads and writes them:
 * raw tensors are never held in a {@code byte[]}. On the wire they are what the .proto says.
 *
 * <p>The payload of an answer comes before the header's own {@code raw_output_contents}; without a
 * payload there are these alone.
 */
public final class InferMethods {
  private static final int RAW_INPUT_TAG = tag(ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER);
  private static final int RAW_OUTPUT_TAG =
      tag(ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER);
  private static final int INFER_RESPONSE_TAG =
      tag(ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER);

  /** More than any layer has inputs. */
  private static final int MAX_RAW_INPUTS = 16;

  public static final MethodDescriptor<InferMessage, TensorMessage<ModelInferResponse>>
      MODEL_INFER =
          GRPCInferenceServiceGrpc.getModelInferMethod().toBuilder(
                  new RequestMarshaller(), new ResponseMarshaller<>(InferMethods::unary))
              .build();

  public static final MethodDescriptor<InferMessage, TensorMessage<ModelStreamInferResponse>>
      MODEL_STREAM_INFER =
          GRPCInferenceServiceGrpc.getModelStreamInferMethod().toBuilder(
                  MODEL_INFER.getRequestMarshaller(),
                  new ResponseMarshaller<>(InferMethods::streamed))
              .build();

  private InferMethods() {}

  private static int tag(int field) {
    return field << 3 | WireFormat.WIRETYPE_LENGTH_DELIMITED;
  }

  private static final class RequestMarshaller
      implements MethodDescriptor.Marshaller<InferMessage> {
    @Override
    public InputStream stream(InferMessage message) {
      throw new UnsupportedOperationException("a server sends no requests");
    }

    @Override
    public InferMessage parse(InputStream in) {
      try (TensorInput input = new TensorInput(in, RAW_INPUT_TAG, MAX_RAW_INPUTS)) {
        input.readFields();
        ModelInferRequest header = ModelInferRequest.parseFrom(input.headerBytes());
        return new InferMessage(header, input.takePayloads());
      } catch (IOException | OutOfMemoryError e) {
        throw TensorMarshaller.unreadable(e);
      }
    }
  }

  /**
   * @param output takes over one reference to the payload
   */
  private record ResponseMarshaller<H extends MessageLite>(
      BiFunction<H, ByteBuf, TensorOutput> output)
      implements MethodDescriptor.Marshaller<TensorMessage<H>> {
    /** Borrows the message: the stream holds a reference of its own until it is closed. */
    @Override
    public InputStream stream(TensorMessage<H> message) {
      return output.apply(message.header(), message.payload().retainedSlice());
    }

    @Override
    public TensorMessage<H> parse(InputStream in) {
      throw new UnsupportedOperationException("a server receives no answers");
    }
  }

  private static TensorOutput unary(ModelInferResponse header, ByteBuf payload) {
    Around around = Around.of(header, payload);
    return new TensorOutput(header, around.before, payload, around.after);
  }

  private static TensorOutput streamed(ModelStreamInferResponse header, ByteBuf payload) {
    Around around = Around.of(header.getInferResponse(), payload);
    int inner = around.before.length + payload.readableBytes() + around.after.length;
    MessageLite error = header.toBuilder().clearInferResponse().build();
    byte[] before =
        write(
            error.getSerializedSize()
                + prefixSize(INFER_RESPONSE_TAG, inner)
                + around.before.length,
            out -> {
              error.writeTo(out);
              out.writeUInt32NoTag(INFER_RESPONSE_TAG);
              out.writeUInt32NoTag(inner);
              out.writeRawBytes(around.before);
            });
    return new TensorOutput(header, before, payload, around.after);
  }

  /** What stands before and after an answer's payload. */
  private record Around(byte[] before, byte[] after) {
    static Around of(ModelInferResponse header, ByteBuf payload) {
      int bytes = payload.readableBytes();
      if (bytes == 0) {
        return new Around(header.toByteArray(), new byte[0]);
      }
      ModelInferResponse head = header.toBuilder().clearRawOutputContents().build();
      byte[] before =
          write(
              head.getSerializedSize() + prefixSize(RAW_OUTPUT_TAG, bytes),
              out -> {
                head.writeTo(out);
                out.writeUInt32NoTag(RAW_OUTPUT_TAG);
                out.writeUInt32NoTag(bytes);
              });
      ModelInferResponse tail =
          ModelInferResponse.newBuilder()
              .addAllRawOutputContents(header.getRawOutputContentsList())
              .build();
      return new Around(before, tail.toByteArray());
    }
  }

  private static int prefixSize(int tag, int length) {
    return CodedOutputStream.computeUInt32SizeNoTag(tag)
        + CodedOutputStream.computeUInt32SizeNoTag(length);
  }

  private interface Writing {
    void to(CodedOutputStream out) throws IOException;
  }

  private static byte[] write(int size, Writing writing) {
    byte[] bytes = new byte[size];
    try {
      writing.to(CodedOutputStream.newInstance(bytes));
    } catch (IOException e) {
      throw new UncheckedIOException("a message did not fit its own serialized size", e);
    }
    return bytes;
  }
}
