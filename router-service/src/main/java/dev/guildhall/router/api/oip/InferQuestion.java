package dev.guildhall.router.api.oip;

import dev.guildhall.repository.LayerVersion;
import dev.guildhall.router.forward.ForwardResult;
import dev.guildhall.router.gate.Routing;
import dev.guildhall.rpc.WireFloats;
import dev.guildhall.tensor.DType;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * What must be remembered of a request to answer it.
 *
 * @param id of the request
 * @param dtype of hidden_states and of the output
 * @param shape of both
 * @param outputs names of those that are wanted
 */
public record InferQuestion(
    LayerVersion layer, String id, DType dtype, List<Long> shape, List<String> outputs) {

  /** The answer; ownership of the result's output is taken. */
  public InferAnswer answer(ForwardResult result) {
    Routing routing = result.routing();
    List<InferTensor> tensors = new ArrayList<>();
    if (outputs.contains(TensorSpec.OUTPUT)) {
      ByteBuf output = WireFloats.fromFp32(result.output(), dtype);
      tensors.add(new InferTensor(new TensorSpec(TensorSpec.OUTPUT, dtype, shape), output));
    } else {
      result.output().release();
    }
    if (outputs.contains(TensorSpec.L_AUX)) {
      ByteBuf data = Unpooled.buffer(Float.BYTES).writeFloatLE(routing.lAux());
      tensors.add(new InferTensor(new TensorSpec(TensorSpec.L_AUX, DType.FP32, List.of(1L)), data));
    }
    if (outputs.contains(TensorSpec.EXP_COUNTS)) {
      ByteBuf data = Unpooled.buffer(routing.experts() * Long.BYTES);
      for (long count : routing.expCounts()) {
        data.writeLongLE(count);
      }
      List<Long> experts = List.of((long) routing.experts());
      tensors.add(
          new InferTensor(new TensorSpec(TensorSpec.EXP_COUNTS, DType.INT64, experts), data));
    }
    return new InferAnswer(layer, id, parameters(result), tensors);
  }

  private static Map<String, Object> parameters(ForwardResult result) {
    Map<String, Object> parameters = new LinkedHashMap<>();
    parameters.put("capacity", (long) result.routing().capacity());
    parameters.put("dropped_routes", (long) result.routing().droppedRoutes());
    if (result.lost().count() > 0) {
      parameters.put("lost_routes", (long) result.lost().count());
      parameters.put(
          "lost_experts",
          result.lost().experts().stream().map(String::valueOf).collect(Collectors.joining(",")));
    }
    return parameters;
  }
}
