package dev.guildhall.repository;

/** DeepSpeed's noisy_gate_policy: what disturbs the gate in training mode. */
public enum NoisyGatePolicy {
  NONE,
  /** The gate's input is multiplied by U(0.99, 1.01). */
  JITTER,
  /** The expert is chosen by logits plus Gumbel noise; matters for k = 1 only. */
  RSAMPLE
}
