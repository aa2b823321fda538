package dev.guildhall.rpc;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.protobuf.ByteString;
import dev.guildhall.proto.inference.InferParameter;
import dev.guildhall.proto.inference.ModelInferRequest;
import dev.guildhall.proto.inference.ModelInferResponse;
import dev.guildhall.proto.inference.ModelStreamInferResponse;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What our marshallers write and read is what protobuf's own code makes of the same bytes. */
class InferMethodsTest {
  private static final ByteString COUNTS = ByteString.copyFromUtf8("12345678");

  private static final ModelInferResponse HEADER =
      ModelInferResponse.newBuilder()
          .setModelName("digits")
          .setId("7")
          .putParameters("capacity", InferParameter.newBuilder().setInt64Param(3).build())
          .addOutputs(ModelInferResponse.InferOutputTensor.newBuilder().setName("output"))
          .addRawOutputContents(COUNTS)
          .build();

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 1000, 65_536, 200_001})
  void anAnswersPayloadIsItsFirstRawTensor(int bytes) throws IOException {
    byte[] payload = random(bytes);
    ModelInferResponse.Builder expected = HEADER.toBuilder().clearRawOutputContents();
    if (bytes > 0) {
      expected.addRawOutputContents(ByteString.copyFrom(payload));
    }
    expected.addRawOutputContents(COUNTS);
    try (TensorMessage<ModelInferResponse> message = new TensorMessage<>(HEADER, buffer(payload))) {
      assertEquals(
          expected.build(),
          ModelInferResponse.parseFrom(written(InferMethods.MODEL_INFER.streamResponse(message))));
    }
    ModelStreamInferResponse streamed =
        ModelStreamInferResponse.newBuilder().setErrorMessage("x").setInferResponse(HEADER).build();
    try (TensorMessage<ModelStreamInferResponse> message =
        new TensorMessage<>(streamed, buffer(payload))) {
      assertEquals(
          streamed.toBuilder().setInferResponse(expected).build(),
          ModelStreamInferResponse.parseFrom(
              written(InferMethods.MODEL_STREAM_INFER.streamResponse(message))));
    }
  }

  /** Both ways that a message may be read give the same. */
  private static byte[] written(InputStream stream) throws IOException {
    TensorOutput output = (TensorOutput) stream;
    int size = output.available();
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    bytes.write(output.read());
    byte[] some = new byte[100];
    for (int read = output.read(some); read >= 0; read = output.read(some)) {
      bytes.write(some, 0, read);
    }
    output.close();
    assertEquals(size, bytes.size());
    return bytes.toByteArray();
  }

  @Test
  void aRequestsRawTensorsAreSetAsideInTheirOrder() {
    byte[] first = random(70_000);
    ModelInferRequest header = ModelInferRequest.newBuilder().setModelName("digits").build();
    byte[] wire =
        header.toBuilder()
            .addRawInputContents(ByteString.copyFrom(first))
            .addRawInputContents(ByteString.EMPTY)
            .addRawInputContents(COUNTS)
            .build()
            .toByteArray();
    try (InferMessage message =
        InferMethods.MODEL_INFER.parseRequest(new ByteArrayInputStream(wire))) {
      assertEquals(header, message.header());
      assertEquals(
          List.of(70_000, 0, 8), message.raw().stream().map(ByteBuf::readableBytes).toList());
      assertArrayEquals(first, ByteBufUtil.getBytes(message.raw().getFirst()));
      assertArrayEquals(COUNTS.toByteArray(), ByteBufUtil.getBytes(message.raw().getLast()));
      assertEquals(70_008, message.rawBytes());
    }
  }

  @Test
  void moreTensorsThanAnyLayerTakesAreRefused() {
    ModelInferRequest.Builder request = ModelInferRequest.newBuilder();
    for (int i = 0; i < 17; i++) {
      request.addRawInputContents(COUNTS);
    }
    byte[] wire = request.build().toByteArray();
    StatusRuntimeException e =
        assertThrows(
            StatusRuntimeException.class,
            () -> InferMethods.MODEL_INFER.parseRequest(new ByteArrayInputStream(wire)));
    assertEquals(Status.Code.INVALID_ARGUMENT, e.getStatus().getCode());
    assertEquals("malformed message: more than 16 tensors", e.getStatus().getDescription());
  }

  private static ByteBuf buffer(byte[] bytes) {
    return Buffers.allocate(bytes.length).clear().writeBytes(bytes);
  }

  private static byte[] random(int bytes) {
    byte[] random = new byte[bytes];
    new SplittableRandom(bytes).nextBytes(random);
    return random;
  }
}
