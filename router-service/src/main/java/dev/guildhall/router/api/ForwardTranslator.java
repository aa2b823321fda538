package dev.guildhall.router.api;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.Routes;
import dev.guildhall.router.forward.ForwardJob;
import dev.guildhall.router.forward.ForwardResult;
import dev.guildhall.router.forward.ServedLayer;
import dev.guildhall.router.forward.ServedLayers;
import dev.guildhall.router.gate.Routing;
import dev.guildhall.router.gate.SeededNoise;
import dev.guildhall.router.gate.UsedTokens;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.tensor.DType;
import dev.guildhall.tensor.Floats;
import io.netty.buffer.ByteBuf;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;

/** Checks requests and turns them into jobs, and results into responses. Immutable. */
final class ForwardTranslator {
  private final ServedLayers layers;

  ForwardTranslator(ServedLayers layers) {
    this.layers = layers;
  }

  /**
   * Checks a request and makes it a job.
   *
   * @param request its payload is given back, or goes with the job
   * @throws GuildhallException INVALID_ARGUMENT or NOT_FOUND: what is wrong, the value, what is
   *     allowed
   */
  ForwardJob toJob(TensorMessage<ForwardRequest> request, long deadlineNanos) {
    ForwardRequest header = request.header();
    ByteBuf hiddenStates;
    ServedLayer layer;
    int tokens;
    try {
      layer = layers.layer(header.getLayer());
      DType dtype = dtype(header.getDtype());
      tokens = tokens(header, layer.config().hiddenSize());
      checkBytes(request.payload(), (long) tokens * layer.config().hiddenSize(), dtype);
      checkUsedToken(header, tokens);
      hiddenStates = toFp32(request.payload(), dtype);
    } catch (RuntimeException e) {
      request.close();
      throw e;
    }
    try {
      checkFinite(hiddenStates);
    } catch (RuntimeException e) {
      hiddenStates.release();
      throw e;
    }
    return new ForwardJob(
        layer,
        tokens,
        hiddenStates,
        header.getTraining(),
        usedTokens(header),
        new SeededNoise(
            header.hasSeed() ? header.getSeed() : ThreadLocalRandom.current().nextLong()),
        deadlineNanos);
  }

  /** The response to a request; ownership of the result's output is taken. */
  static TensorMessage<ForwardResponse> toResponse(ForwardRequest request, ForwardResult result) {
    Routing routing = result.routing();
    ForwardResponse.Builder header =
        ForwardResponse.newBuilder()
            .setId(request.getId())
            .setDtype(request.getDtype())
            .addAllShape(request.getShapeList())
            .setLAux(routing.lAux())
            .setCapacity(routing.capacity())
            .setDroppedRoutes(routing.droppedRoutes());
    for (long count : routing.expCounts()) {
      header.addExpCounts(count);
    }
    if (request.getReturnRoutes()) {
      header.setRoutes(routes(routing));
    }
    return new TensorMessage<>(
        header.build(), fromFp32(result.output(), dtype(request.getDtype())));
  }

  private static Routes routes(Routing routing) {
    Routes.Builder routes = Routes.newBuilder();
    for (int i = 0; i < routing.expert().length; i++) {
      routes.addExpert(routing.expert()[i]);
      routes.addSlot(routing.slot()[i]);
      routes.addWeight(routing.weight()[i]);
    }
    return routes.build();
  }

  private static DType dtype(dev.guildhall.proto.DType dtype) {
    return switch (dtype) {
      case DTYPE_FP32 -> DType.FP32;
      case DTYPE_FP16 -> DType.FP16;
      case DTYPE_BF16 -> DType.BF16;
      case DTYPE_UNSPECIFIED, UNRECOGNIZED ->
          throw invalidArgument(
              "dtype is %s; allowed is DTYPE_FP32, DTYPE_FP16 or DTYPE_BF16".formatted(dtype));
    };
  }

  private static int tokens(ForwardRequest header, int hiddenSize) {
    List<Long> shape = header.getShapeList();
    if (shape.isEmpty() || shape.getLast() != hiddenSize) {
      throw invalidArgument(
          "shape is %s; allowed is [..., %d]: the last dimension is the layer's hidden_size"
              .formatted(shape, hiddenSize));
    }
    long tokens = 1;
    for (long dimension : shape.subList(0, shape.size() - 1)) {
      // With both factors below 2^31 the product cannot overflow.
      boolean fits = dimension >= 0 && dimension <= Integer.MAX_VALUE;
      tokens *= fits ? dimension : 0;
      if (!fits || tokens > Integer.MAX_VALUE) {
        throw invalidArgument(
            "shape is %s; allowed are dimensions from 0 that make up to %d tokens"
                .formatted(shape, Integer.MAX_VALUE));
      }
    }
    return (int) tokens;
  }

  private static void checkBytes(ByteBuf payload, long elements, DType dtype) {
    long bytes = elements * dtype.bytes();
    if (payload.readableBytes() != bytes) {
      throw invalidArgument(
          "hidden_states has %d bytes; allowed is %d, for the shape in %s"
              .formatted(payload.readableBytes(), bytes, dtype));
    }
  }

  private static void checkUsedToken(ForwardRequest header, int tokens) {
    int values = header.getUsedTokenCount();
    if (values != 0 && values != tokens) {
      throw invalidArgument(
          "used_token has %d values; allowed is one a token, %d, or none"
              .formatted(values, tokens));
    }
  }

  private static UsedTokens usedTokens(ForwardRequest header) {
    boolean[] used = new boolean[header.getUsedTokenCount()];
    for (int i = 0; i < used.length; i++) {
      used[i] = header.getUsedToken(i);
    }
    return UsedTokens.of(used);
  }

  private static void checkFinite(ByteBuf fp32) {
    long elements = fp32.readableBytes() / Float.BYTES;
    long index = Floats.firstNonFinite(Buffers.segment(fp32), elements);
    if (index >= 0) {
      throw invalidArgument(
          "hidden_states has %s at element %d; allowed are finite numbers"
              .formatted(fp32.getFloatLE(fp32.readerIndex() + (int) index * Float.BYTES), index));
    }
  }

  /** The payload itself if it is fp32, otherwise a conversion; takes the payload over. */
  private static ByteBuf toFp32(ByteBuf payload, DType dtype) {
    if (dtype == DType.FP32) {
      return payload;
    }
    int elements = payload.readableBytes() / dtype.bytes();
    ByteBuf fp32 = Buffers.allocate(Math.multiplyExact(elements, Float.BYTES));
    Floats.toFp32(dtype, Buffers.segment(payload), Buffers.segment(fp32), elements);
    payload.release();
    return fp32;
  }

  private static ByteBuf fromFp32(ByteBuf output, DType dtype) {
    if (dtype == DType.FP32) {
      return output;
    }
    int elements = output.readableBytes() / Float.BYTES;
    ByteBuf converted = Buffers.allocate(elements * dtype.bytes());
    Floats.fromFp32(dtype, Buffers.segment(output), Buffers.segment(converted), elements);
    output.release();
    return converted;
  }
}
