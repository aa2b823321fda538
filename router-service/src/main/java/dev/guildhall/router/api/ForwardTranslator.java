package dev.guildhall.router.api;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import dev.guildhall.proto.Routes;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.MissingExperts;
import dev.guildhall.router.admission.Caller;
import dev.guildhall.router.forward.ForwardJob;
import dev.guildhall.router.forward.ForwardResult;
import dev.guildhall.router.forward.ServedLayer;
import dev.guildhall.router.forward.ServedLayers;
import dev.guildhall.router.gate.Routing;
import dev.guildhall.router.gate.SeededNoise;
import dev.guildhall.router.gate.UsedTokens;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.TensorMessage;
import dev.guildhall.rpc.WireFloats;
import dev.guildhall.tensor.DType;
import dev.guildhall.tensor.Floats;
import io.netty.buffer.ByteBuf;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;

/** Checks requests and turns them into jobs, and results into responses. Immutable. */
public final class ForwardTranslator {
  /** Far more than any framework uses, and few enough to name in a message. */
  private static final int MAX_RANK = 16;

  private final ServedLayers layers;

  ForwardTranslator(ServedLayers layers) {
    this.layers = layers;
  }

  /**
   * Checks a request and makes it a job.
   *
   * @param request its payload is given back, or goes with the job
   * @param caller who it is for
   * @throws GuildhallException INVALID_ARGUMENT or NOT_FOUND: what is wrong, the value, what is
   *     allowed
   */
  ForwardJob toJob(TensorMessage<ForwardRequest> request, Caller caller, long deadlineNanos) {
    ServedLayer layer;
    try {
      layer = layers.acquire(request.header().getLayer());
    } catch (RuntimeException e) {
      request.close();
      throw e;
    }
    return toJob(layer, request, caller, deadlineNanos);
  }

  /**
   * The same for a layer that has been found already.
   *
   * @param layer its use is given back, or goes with the job
   */
  public static ForwardJob toJob(
      ServedLayer layer, TensorMessage<ForwardRequest> request, Caller caller, long deadlineNanos) {
    try {
      return checked(layer, request, caller, deadlineNanos);
    } catch (RuntimeException | OutOfMemoryError e) {
      layer.uses().release();
      throw e;
    }
  }

  private static ForwardJob checked(
      ServedLayer layer, TensorMessage<ForwardRequest> request, Caller caller, long deadlineNanos) {
    ForwardRequest header = request.header();
    DType dtype;
    int tokens;
    MissingExperts missingExperts;
    try {
      dtype = WireFloats.dtype(header.getDtype());
      tokens = tokens(header, layer.config().hiddenSize());
      checkBytes(request.payload(), (long) tokens * layer.config().hiddenSize(), dtype);
      checkUsedToken(header, tokens);
      missingExperts = missingExperts(header, layer.config());
    } catch (RuntimeException e) {
      request.close();
      throw e;
    }
    ByteBuf hiddenStates = WireFloats.toFp32(request.takePayload(), dtype);
    try {
      checkFinite(hiddenStates);
    } catch (RuntimeException e) {
      hiddenStates.release();
      throw e;
    }
    return new ForwardJob(
        caller,
        layer,
        tokens,
        hiddenStates,
        header.getTraining(),
        usedTokens(header),
        new SeededNoise(
            header.hasSeed() ? header.getSeed() : ThreadLocalRandom.current().nextLong()),
        missingExperts,
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
            .setDroppedRoutes(routing.droppedRoutes())
            .setLostRoutes(result.lost().count())
            .addAllLostExperts(result.lost().experts());
    for (long count : routing.expCounts()) {
      header.addExpCounts(count);
    }
    if (request.getReturnRoutes()) {
      header.setRoutes(routes(routing));
    }
    return new TensorMessage<>(
        header.build(), WireFloats.fromFp32(result.output(), WireFloats.dtype(request.getDtype())));
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

  private static int tokens(ForwardRequest header, int hiddenSize) {
    List<Long> shape = header.getShapeList();
    if (shape.size() > MAX_RANK) {
      throw invalidArgument(
          "shape has %d dimensions; allowed are up to %d".formatted(shape.size(), MAX_RANK));
    }
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

  private static MissingExperts missingExperts(ForwardRequest header, LayerConfig config) {
    return switch (header.getMissingExperts()) {
      case MISSING_EXPERTS_UNSPECIFIED -> config.missingExperts();
      case MISSING_EXPERTS_FAIL -> MissingExperts.FAIL;
      case MISSING_EXPERTS_DROP -> MissingExperts.DROP;
      case UNRECOGNIZED ->
          throw invalidArgument(
              "missing_experts is %d; allowed are 0 (as the layer says), 1 (fail) and 2 (drop)"
                  .formatted(header.getMissingExpertsValue()));
    };
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
}
