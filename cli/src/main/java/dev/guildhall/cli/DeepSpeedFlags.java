package dev.guildhall.cli;

import dev.guildhall.checkpoint.deepspeed.DeepSpeedArguments;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Arguments of DeepSpeed's MoE layer that its checkpoints do not hold. */
final class DeepSpeedFlags {
  @Option(names = "--k", paramLabel = "N", description = "Experts a token goes to. Required.")
  private @Nullable Integer k;

  @Option(names = "--capacity-factor", paramLabel = "F", description = "Default: 1.0.")
  private @Nullable Double capacityFactor;

  @Option(names = "--eval-capacity-factor", paramLabel = "F", description = "Default: 1.0.")
  private @Nullable Double evalCapacityFactor;

  @Option(names = "--min-capacity", paramLabel = "N", description = "Default: 4.")
  private @Nullable Integer minCapacity;

  @Option(
      names = "--noisy-gate-policy",
      paramLabel = "NAME",
      description = "None, Jitter or RSample. Default: None.")
  private @Nullable String noisyGatePolicy;

  @Option(names = "--drop-tokens", arity = "1", paramLabel = "BOOL", description = "Default: true.")
  private @Nullable Boolean dropTokens;

  @Option(names = "--use-rts", arity = "1", paramLabel = "BOOL", description = "Default: true.")
  private @Nullable Boolean useRts;

  @Option(
      names = "--top2-2nd-expert-sampling",
      arity = "1",
      paramLabel = "BOOL",
      description = "Default: true.")
  private @Nullable Boolean top2SecondExpertSampling;

  @Option(
      names = "--activation",
      paramLabel = "NAME",
      description = "Of the experts: relu, gelu, gelu_tanh or silu. Default: relu.")
  private @Nullable String activation;

  DeepSpeedArguments arguments() {
    return new DeepSpeedArguments(
        Optional.ofNullable(k),
        Optional.ofNullable(capacityFactor),
        Optional.ofNullable(evalCapacityFactor),
        Optional.ofNullable(minCapacity),
        Optional.ofNullable(noisyGatePolicy),
        Optional.ofNullable(dropTokens),
        Optional.ofNullable(useRts),
        Optional.ofNullable(top2SecondExpertSampling),
        Optional.ofNullable(activation));
  }
}
