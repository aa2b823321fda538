package dev.guildhall.cli.bench;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.repository.Layer;
import dev.guildhall.repository.LayerRepository;
import dev.guildhall.repository.LayerWeights;
import dev.guildhall.router.gate.Gate;
import dev.guildhall.router.gate.Routing;
import dev.guildhall.router.gate.SeededNoise;
import dev.guildhall.router.gate.UsedTokens;
import dev.guildhall.router.projection.Projection;
import dev.guildhall.rpc.Buffers;
import dev.guildhall.rpc.WireFloats;
import dev.guildhall.tensor.DType;
import io.netty.buffer.ByteBuf;
import java.util.SortedMap;
import java.util.SplittableRandom;
import java.util.TreeMap;

/** A layer that is driven, and the requests that drive it. */
record BenchedLayer(LayerRepository repository, Layer layer) {
  private static final long SEED = 1;

  /**
   * A request and the work that it makes.
   *
   * @param hiddenStates [tokens, H] of the header's dtype; whoever has the request owns it
   * @param rowCounts rows by expert, as the router's gate will route them
   */
  record Request(
      ForwardRequest header,
      ByteBuf hiddenStates,
      int tokens,
      SortedMap<Integer, Integer> rowCounts)
      implements AutoCloseable {
    @Override
    public void close() {
      hiddenStates.release();
    }
  }

  int hiddenSize() {
    return layer.config().hiddenSize();
  }

  /** A request of standard normal hidden states. */
  Request request(int tokens, DType dtype) {
    ByteBuf fp32 = normal(Math.multiplyExact(tokens, hiddenSize()));
    SortedMap<Integer, Integer> rowCounts = rowCounts(fp32, tokens);
    ForwardRequest header =
        ForwardRequest.newBuilder()
            .setLayer(layer.name())
            .setDtype(WireFloats.proto(dtype))
            .addShape(tokens)
            .addShape(hiddenSize())
            .setSeed(SEED)
            .build();
    return new Request(header, WireFloats.fromFp32(fp32, dtype), tokens, rowCounts);
  }

  /** Standard normal values, the same at each call. */
  static ByteBuf normal(int values) {
    SplittableRandom random = new SplittableRandom(SEED);
    ByteBuf buffer = Buffers.allocate(Math.multiplyExact(values, Float.BYTES));
    for (int i = 0; i < values; i++) {
      buffer.setFloatLE(i * Float.BYTES, (float) random.nextGaussian());
    }
    return buffer;
  }

  /** By the router's own projection and gate. */
  private SortedMap<Integer, Integer> rowCounts(ByteBuf hiddenStates, int tokens) {
    SortedMap<Integer, Integer> rowCounts = new TreeMap<>();
    try (LayerWeights weights = LayerWeights.open(layer);
        Projection projection = new Projection(weights.projection())) {
      float[] logits = projection.gate(Buffers.segment(hiddenStates), tokens);
      Routing routing =
          new Gate(layer.config(), weights.scoreCorrectionBias())
              .route(logits, tokens, false, UsedTokens.ALL, new SeededNoise(SEED));
      for (int expert : routing.expert()) {
        if (expert != Routing.NO_EXPERT) {
          rowCounts.merge(expert, 1, Integer::sum);
        }
      }
    }
    if (layer.config().hasDenseExpert()) {
      rowCounts.put(layer.config().denseExpert(), tokens);
    }
    return rowCounts;
  }
}
