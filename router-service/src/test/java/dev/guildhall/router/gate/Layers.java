package dev.guildhall.router.gate;

import dev.guildhall.repository.Activation;
import dev.guildhall.repository.ExpertArchitecture;
import dev.guildhall.repository.LayerConfig;
import dev.guildhall.repository.MissingExperts;
import dev.guildhall.repository.NoisyGatePolicy;
import dev.guildhall.repository.Precision;
import dev.guildhall.repository.Scoring;
import dev.guildhall.repository.WeightNames;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Builds layer configurations for tests; unless told, no noise, no sampling and min_capacity 0. */
final class Layers {
  private final int experts;
  private final int k;
  private int hiddenSize = 4;
  private double capacityFactor = 1;
  private double evalCapacityFactor = 1;
  private int minCapacity;
  private boolean useResidual;
  private NoisyGatePolicy noisyGatePolicy = NoisyGatePolicy.NONE;
  private boolean dropTokens = true;
  private boolean useRts;
  private boolean top2SecondExpertSampling;
  private @Nullable Scoring scoring;
  private float[] correctionBias = {};

  private Layers(int experts, int k) {
    this.experts = experts;
    this.k = k;
  }

  static Layers with(int experts, int k) {
    return new Layers(experts, k);
  }

  Layers hiddenSize(int value) {
    hiddenSize = value;
    return this;
  }

  Layers capacityFactor(double value) {
    capacityFactor = value;
    return this;
  }

  Layers evalCapacityFactor(double value) {
    evalCapacityFactor = value;
    return this;
  }

  Layers minCapacity(int value) {
    minCapacity = value;
    return this;
  }

  Layers useResidual(boolean value) {
    useResidual = value;
    return this;
  }

  Layers noisyGatePolicy(NoisyGatePolicy value) {
    noisyGatePolicy = value;
    return this;
  }

  Layers dropTokens(boolean value) {
    dropTokens = value;
    return this;
  }

  Layers useRts(boolean value) {
    useRts = value;
    return this;
  }

  Layers top2SecondExpertSampling(boolean value) {
    top2SecondExpertSampling = value;
    return this;
  }

  Layers scoring(Scoring value) {
    scoring = value;
    return this;
  }

  Layers correctionBias(float... value) {
    correctionBias = value;
    return this;
  }

  LayerConfig build() {
    return new LayerConfig(
        hiddenSize,
        experts,
        1,
        k,
        capacityFactor,
        evalCapacityFactor,
        minCapacity,
        useResidual,
        noisyGatePolicy,
        dropTokens,
        useRts,
        false,
        false,
        top2SecondExpertSampling,
        new ExpertArchitecture.Mlp(Activation.RELU, "fc1", "fc2"),
        new WeightNames(
            List.of("model.safetensors"),
            "gate",
            "coefficient",
            "experts",
            "mlp",
            Optional.empty(),
            Optional.empty(),
            "shared_expert",
            Optional.empty()),
        MissingExperts.FAIL,
        Precision.FP32,
        scoring == null ? Scoring.deepSpeed(k) : scoring,
        false);
  }

  Gate gate() {
    return new Gate(build(), correctionBias);
  }
}
