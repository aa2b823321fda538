package dev.guildhall.router.api.oip;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.router.admission.Caller;
import dev.guildhall.router.api.ForwardTranslator;
import dev.guildhall.router.forward.ForwardJob;
import dev.guildhall.router.forward.ServedLayer;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.WireFloats;
import dev.guildhall.tensor.DType;
import io.netty.buffer.ByteBuf;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.OptionalLong;
import java.util.Set;

/**
 * Turns the protocol's requests into jobs, by way of our own request: what is checked there is not
 * checked here again. Immutable.
 */
public final class InferTranslator {
  private final Models models;
  private final long defaultNanos;

  /**
   * @param defaultTimeout of requests that do not say how long they may take
   */
  public InferTranslator(Models models, Duration defaultTimeout) {
    this.models = models;
    this.defaultNanos = defaultTimeout.toNanos();
  }

  /**
   * A request that may start, and what is needed to answer it.
   *
   * @param job owned by whoever holds this
   */
  public record Ready(ForwardJob job, InferQuestion question) {}

  /**
   * Checks a request and makes it a job.
   *
   * @param call its tensors are given back, or go with the job
   * @param caller who it is for
   * @param callNanos what is left of the time of the call that brings it, if that has an end
   * @throws GuildhallException INVALID_ARGUMENT or NOT_FOUND: what is wrong, the value, what is
   *     allowed
   */
  public Ready ready(InferCall call, Caller caller, OptionalLong callNanos) {
    try (call) {
      InferTensor hiddenStates = input(call, TensorSpec.HIDDEN_STATES);
      DType dtype = dtype(hiddenStates.spec());
      ForwardRequest.Builder header =
          ForwardRequest.newBuilder()
              .setLayer(call.model())
              .setDtype(WireFloats.proto(dtype))
              .addAllShape(hiddenStates.spec().shape());
      InferParameters.apply(call.parameters(), header);
      for (InferTensor input : call.inputs()) {
        if (input.spec().name().equals(TensorSpec.USED_TOKEN)) {
          usedTokens(input, hiddenStates.data().isReadable(), header);
        }
      }
      List<String> outputs = outputs(call.outputs());
      long deadline =
          System.nanoTime()
              + InferParameters.timeoutNanos(call.parameters(), callNanos, defaultNanos);
      ServedLayer layer = models.acquire(call.model(), call.version());
      // The call gives its own reference back.
      ByteBuf payload = hiddenStates.data().retain();
      ForwardJob job =
          ForwardTranslator.toJob(
              layer, new TensorMessage<>(header.build(), payload), caller, deadline);
      return new Ready(
          job,
          new InferQuestion(
              layer.version(), call.id(), dtype, hiddenStates.spec().shape(), outputs));
    }
  }

  /** The input of this name, once every other one is known too and none occurs twice. */
  private static InferTensor input(InferCall call, String name) {
    Set<String> seen = new HashSet<>();
    for (InferTensor input : call.inputs()) {
      String known = input.spec().name();
      if (!TensorSpec.INPUTS.contains(known) || !seen.add(known)) {
        throw invalidArgument(
            "input is \"%s\"; allowed are hidden_states and used_token, each once"
                .formatted(known));
      }
    }
    return call.inputs().stream()
        .filter(input -> input.spec().name().equals(name))
        .findFirst()
        .orElseThrow(() -> invalidArgument("input %s is missing".formatted(name)));
  }

  private static DType dtype(TensorSpec spec) {
    return switch (spec.datatype()) {
      case "FP32" -> DType.FP32;
      case "FP16" -> DType.FP16;
      case "BF16" -> DType.BF16;
      default -> throw wrongDatatype(spec, "FP32, FP16 or BF16");
    };
  }

  private static GuildhallException wrongDatatype(TensorSpec spec, String allowed) {
    return invalidArgument(
        "%s has datatype \"%s\"; allowed is %s".formatted(spec.name(), spec.datatype(), allowed));
  }

  /** How many there must be is checked with everything else, but for none where one is needed. */
  private static void usedTokens(
      InferTensor input, boolean anyTokens, ForwardRequest.Builder request) {
    int bytes =
        switch (input.spec().datatype()) {
          case "BOOL" -> 1;
          case "INT64" -> Long.BYTES;
          default -> throw wrongDatatype(input.spec(), "BOOL or INT64");
        };
    ByteBuf data = input.data();
    int values = data.readableBytes() / bytes;
    if (elements(input.spec()) != values || values * bytes != data.readableBytes()) {
      throw invalidArgument(
          "used_token has %d bytes; allowed is %d an element of its shape %s"
              .formatted(data.readableBytes(), bytes, input.spec().shape()));
    }
    if (values == 0 && anyTokens) {
      throw invalidArgument("used_token has 0 values; allowed is one a token");
    }
    for (int i = 0; i < values; i++) {
      int at = data.readerIndex() + i * bytes;
      long value = bytes == 1 ? data.getByte(at) : data.getLongLE(at);
      if (value != 0 && value != 1) {
        throw invalidArgument(
            "used_token has %d at element %d; allowed are 0 and 1".formatted(value, i));
      }
      request.addUsedToken(value == 1);
    }
  }

  /** -1: more than fit into memory, or a negative dimension. */
  private static long elements(TensorSpec spec) {
    long elements = 1;
    for (long dimension : spec.shape()) {
      if (dimension < 0 || dimension > Integer.MAX_VALUE || elements > Integer.MAX_VALUE) {
        return -1;
      }
      elements *= dimension;
    }
    return elements;
  }

  private static List<String> outputs(List<String> wanted) {
    for (String name : wanted) {
      if (!TensorSpec.OUTPUTS.contains(name)) {
        throw invalidArgument(
            "output is \"%s\"; allowed are %s"
                .formatted(name, String.join(", ", TensorSpec.OUTPUTS)));
      }
    }
    return wanted.isEmpty()
        ? TensorSpec.OUTPUTS
        : TensorSpec.OUTPUTS.stream().filter(wanted::contains).toList();
  }
}
