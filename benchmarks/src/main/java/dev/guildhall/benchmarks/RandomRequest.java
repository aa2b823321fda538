package dev.guildhall.benchmarks;

import dev.guildhall.proto.MlpExpert;
import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.router.dispatch.Dispatch;
import dev.guildhall.router.dispatch.DispatchPlan;
import dev.guildhall.router.gate.Gate;
import dev.guildhall.router.gate.Routing;
import dev.guildhall.router.gate.SeededNoise;
import dev.guildhall.router.gate.UsedTokens;
import java.util.SplittableRandom;

/**
 * A request to a random layer, as it goes through the router's pure rooms.
 *
 * @param logits [tokens, experts] standard normal
 */
record RandomRequest(Gate gate, float[] logits, int tokens) {
  /** Batches of 1 MiB at 1024 floats a row. */
  private static final int MAX_ROWS_PER_BATCH = 256;

  static RandomRequest of(int tokens, int experts, int k, boolean sampling) {
    LayerConfig config =
        LayerConfig.of(
            MoeLayerConfig.newBuilder()
                .setHiddenSize(1)
                .setNumExperts(experts)
                .setK(k)
                .setDropTokens(false)
                .setTop22NdExpertSampling(sampling)
                .setMlp(MlpExpert.newBuilder().setActivation("relu"))
                .build());
    return new RandomRequest(new Gate(config, new float[0]), normal(tokens * experts), tokens);
  }

  Routing route() {
    return gate.route(logits, tokens, false, UsedTokens.ALL, new SeededNoise(1));
  }

  /** The batches for two hosts, each with half of the experts. */
  static DispatchPlan plan(Routing routing) {
    return Dispatch.plan(
        routing,
        false,
        MAX_ROWS_PER_BATCH,
        (expert, rows) -> expert < routing.experts() / 2 ? 0 : 1);
  }

  /** Standard normal values, the same at each call. */
  static float[] normal(int length) {
    SplittableRandom random = new SplittableRandom(length);
    float[] values = new float[length];
    for (int i = 0; i < length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }
}
