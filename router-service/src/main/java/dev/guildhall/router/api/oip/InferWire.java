package dev.guildhall.router.api.oip;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import com.google.protobuf.ByteString;
import dev.guildhall.proto.inference.InferParameter;
import dev.guildhall.proto.inference.InferTensorContents;
import dev.guildhall.proto.inference.ModelInferRequest;
import dev.guildhall.proto.inference.ModelInferRequest.InferInputTensor;
import dev.guildhall.proto.inference.ModelInferRequest.InferRequestedOutputTensor;
import dev.guildhall.proto.inference.ModelInferResponse;
import dev.guildhall.proto.inference.ModelInferResponse.InferOutputTensor;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.InferMessage;
import dev.guildhall.rpc.TensorMessage;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The protocol's gRPC messages, to and from what both faces have in common. */
final class InferWire {
  private InferWire() {}

  /** Whether the request's tensors are raw; the answer's are so too then. */
  static boolean isRaw(InferMessage message) {
    return !message.raw().isEmpty();
  }

  /**
   * Reads a request.
   *
   * @param message its tensors are given back, or go with the call
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT: what is wrong, the value, what
   *     is allowed
   */
  static InferCall read(InferMessage message) {
    ModelInferRequest header = message.header();
    List<InferTensor> inputs = new ArrayList<>();
    List<ByteBuf> raw = message.takeRaw();
    try {
      if (!raw.isEmpty() && raw.size() != header.getInputsCount()) {
        throw invalidArgument(
            "raw_input_contents has %d tensors; allowed is one an input, %d, or none"
                .formatted(raw.size(), header.getInputsCount()));
      }
      Map<String, Object> parameters = parameters(header.getParametersMap());
      List<String> outputs = new ArrayList<>();
      for (InferRequestedOutputTensor output : header.getOutputsList()) {
        InferParameters.checkTensor(output.getName(), output.getParametersMap().keySet());
        outputs.add(output.getName());
      }
      for (int i = 0; i < header.getInputsCount(); i++) {
        InferInputTensor input = header.getInputs(i);
        InferParameters.checkTensor(input.getName(), input.getParametersMap().keySet());
        TensorSpec spec =
            new TensorSpec(input.getName(), input.getDatatype(), input.getShapeList());
        if (!raw.isEmpty() && input.hasContents()) {
          throw invalidArgument(
              "input %s has contents beside raw_input_contents; allowed is one of the two"
                  .formatted(spec.name()));
        }
        inputs.add(
            new InferTensor(
                spec, raw.isEmpty() ? contents(spec, input.getContents()) : raw.get(i).retain()));
      }
      return new InferCall(
          header.getModelName(),
          header.getModelVersion(),
          header.getId(),
          parameters,
          inputs,
          outputs);
    } catch (RuntimeException | OutOfMemoryError e) {
      inputs.forEach(InferTensor::close);
      throw e;
    } finally {
      raw.forEach(ByteBuf::release);
    }
  }

  private static Map<String, Object> parameters(Map<String, InferParameter> wire) {
    Map<String, Object> parameters = new HashMap<>();
    wire.forEach((name, value) ->
        parameters.put(
            name,
            switch (value.getParameterChoiceCase()) {
              case BOOL_PARAM -> value.getBoolParam();
              case INT64_PARAM -> value.getInt64Param();
              case UINT64_PARAM -> value.getUint64Param();
              case DOUBLE_PARAM -> value.getDoubleParam();
              case STRING_PARAM -> value.getStringParam();
              case PARAMETERCHOICE_NOT_SET ->
                  throw invalidArgument("parameter %s has no value".formatted(name));
            }));
    return parameters;
  }

  /** A new buffer, owned by the caller. Another datatype than these is refused with the rest. */
  private static ByteBuf contents(TensorSpec spec, InferTensorContents contents) {
    return switch (spec.datatype()) {
      case "FP32" -> {
        List<Float> values = contents.getFp32ContentsList();
        ByteBuf data = allocate(values.size(), Float.BYTES);
        values.forEach(data::writeFloatLE);
        yield data;
      }
      case "INT64" -> {
        List<Long> values = contents.getInt64ContentsList();
        ByteBuf data = allocate(values.size(), Long.BYTES);
        values.forEach(data::writeLongLE);
        yield data;
      }
      case "BOOL" -> {
        List<Boolean> values = contents.getBoolContentsList();
        ByteBuf data = allocate(values.size(), 1);
        values.forEach(data::writeBoolean);
        yield data;
      }
      case "FP16", "BF16" ->
          throw invalidArgument(
              "input %s is %s without raw_input_contents; allowed is %s in raw_input_contents"
                  .formatted(spec.name(), spec.datatype(), spec.datatype()));
      default -> Unpooled.EMPTY_BUFFER;
    };
  }

  private static ByteBuf allocate(int elements, int bytes) {
    return Buffers.allocate(Math.multiplyExact(elements, bytes)).clear();
  }

  /**
   * Writes an answer.
   *
   * @param answer its tensors are given back, or the large one goes with the message
   */
  static TensorMessage<ModelInferResponse> write(InferAnswer answer, boolean raw) {
    ModelInferResponse.Builder header =
        ModelInferResponse.newBuilder()
            .setModelName(answer.layer().name())
            .setModelVersion(answer.layer().digest())
            .setId(answer.id());
    answer.parameters().forEach((name, value) -> header.putParameters(name, parameter(value)));
    try (answer) {
      ByteBuf payload = Unpooled.EMPTY_BUFFER;
      for (InferTensor tensor : answer.outputs()) {
        TensorSpec spec = tensor.spec();
        InferOutputTensor.Builder output =
            header
                .addOutputsBuilder()
                .setName(spec.name())
                .setDatatype(spec.datatype())
                .addAllShape(spec.shape());
        if (!raw) {
          output.setContents(contents(tensor));
        } else if (spec.name().equals(TensorSpec.OUTPUT) && tensor.data().isReadable()) {
          payload = tensor.data().retain(); // Comes first, in the outputs as on the wire.
        } else {
          header.addRawOutputContents(ByteString.copyFrom(tensor.data().nioBuffer()));
        }
      }
      return new TensorMessage<>(header.build(), payload);
    }
  }

  static InferParameter parameter(Object value) {
    InferParameter.Builder parameter = InferParameter.newBuilder();
    return switch (value) {
      case Long whole -> parameter.setInt64Param(whole).build();
      default -> parameter.setStringParam(value.toString()).build();
    };
  }

  private static InferTensorContents contents(InferTensor tensor) {
    InferTensorContents.Builder contents = InferTensorContents.newBuilder();
    ByteBuf data = tensor.data().duplicate();
    if (tensor.spec().datatype().equals("FP32")) {
      while (data.isReadable()) {
        contents.addFp32Contents(data.readFloatLE());
      }
    } else {
      while (data.isReadable()) {
        contents.addInt64Contents(data.readLongLE());
      }
    }
    return contents.build();
  }
}
