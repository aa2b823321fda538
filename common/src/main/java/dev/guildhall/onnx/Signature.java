package dev.guildhall.onnx;

import ai.onnxruntime.NodeInfo;
import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import dev.guildhall.error.GuildhallException;
import java.util.Collection;
import java.util.List;
import java.util.stream.Collectors;

/**
 * What goes into a session and what comes out, in the graph's order: every tensor fp32 [n, width]
 * with n free.
 */
record Signature(Port input, List<Port> outputs) {

  /** One input or output. */
  record Port(String name, int width) {}

  Signature {
    outputs = List.copyOf(outputs);
  }

  /** Of a graph that we wrote ourselves. */
  static Signature of(OrtSession session) throws OrtException {
    Port input = port(session.getInputInfo().values().iterator().next());
    return new Signature(
        input, session.getOutputInfo().values().stream().map(Signature::port).toList());
  }

  /**
   * Of a user's model: one input [n, H], and a first output [n, H]; further outputs are ignored, as
   * DeepSpeed ignores all but the first of an expert's tuple.
   *
   * @param what how messages name the model
   * @throws GuildhallException INVALID_ARGUMENT saying what the model has and what is allowed
   */
  static Signature ofExpert(OrtSession session, int hiddenSize, String what) throws OrtException {
    Collection<NodeInfo> inputs = session.getInputInfo().values();
    Collection<NodeInfo> outputs = session.getOutputInfo().values();
    if (inputs.size() != 1) {
      throw GuildhallException.invalidArgument(
          "%s has %d inputs (%s); an expert has exactly one, fp32 [n, %d]"
              .formatted(what, inputs.size(), describe(inputs), hiddenSize));
    }
    NodeInfo input = inputs.iterator().next();
    if (outputs.isEmpty()) {
      throw GuildhallException.invalidArgument(
          "%s has no output; an expert's first is fp32 [n, %d]".formatted(what, hiddenSize));
    }
    NodeInfo output = outputs.iterator().next();
    check(input, hiddenSize, what + ": input");
    check(output, hiddenSize, what + ": first output");
    return new Signature(port(input), List.of(port(output)));
  }

  private static void check(NodeInfo node, int hiddenSize, String what) {
    boolean fits =
        node.getInfo() instanceof TensorInfo info
            && info.type == OnnxJavaType.FLOAT
            && info.getShape().length == 2
            && info.getShape()[0] == -1
            && info.getShape()[1] == hiddenSize;
    if (!fits) {
      throw GuildhallException.invalidArgument(
          "%s is %s; it must be fp32 [n, %d] with n dynamic"
              .formatted(what, describe(node), hiddenSize));
    }
  }

  private static Port port(NodeInfo node) {
    TensorInfo info = (TensorInfo) node.getInfo();
    return new Port(node.getName(), Math.toIntExact(info.getShape()[1]));
  }

  private static String describe(Collection<NodeInfo> nodes) {
    return nodes.stream().map(Signature::describe).collect(Collectors.joining(", "));
  }

  private static String describe(NodeInfo node) {
    if (!(node.getInfo() instanceof TensorInfo info)) {
      return "'" + node.getName() + "', not a tensor";
    }
    StringBuilder text = new StringBuilder("'").append(node.getName()).append("' ");
    text.append(info.type == OnnxJavaType.FLOAT ? "fp32" : info.type.name()).append(" [");
    String[] names = info.getDimensionNames();
    for (int i = 0; i < info.getShape().length; i++) {
      long size = info.getShape()[i];
      String name = names[i].isEmpty() ? "?" : names[i];
      text.append(i == 0 ? "" : ", ").append(size < 0 ? name : Long.toString(size));
    }
    return text.append(']').toString();
  }
}
