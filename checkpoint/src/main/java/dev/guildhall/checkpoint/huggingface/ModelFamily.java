package dev.guildhall.checkpoint.huggingface;

import dev.guildhall.proto.GatedMlpExpert;
import dev.guildhall.proto.MoeLayerConfig;
import dev.guildhall.proto.Weights;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/**
 * Which models are known, by the model_type of their config.json: where their MoE blocks are, and
 * what transformers computes there.
 */
enum ModelFamily {
  MIXTRAL("block_sparse_moe") {
    @Override
    MoeLayerConfig layer(ModelConfig config, String prefix) {
      return block(config, prefix, config.integer("num_local_experts"))
          .setNormTopkProb(true)
          .setGatedMlp(gated(config).setGate("w1").setUp("w3").setDown("w2"))
          .build();
    }
  },
  QWEN2_MOE("mlp") {
    @Override
    boolean isSparse(ModelConfig config, int layer) {
      return isQwenSparse(config, layer);
    }

    @Override
    MoeLayerConfig layer(ModelConfig config, String prefix) {
      MoeLayerConfig.Builder block = qwen(config, prefix).setUseSharedExpert(true);
      block
          .getWeightsBuilder()
          .setSharedExpert(prefix + ".shared_expert")
          .setSharedExpertGate(prefix + ".shared_expert_gate.weight");
      return block.build();
    }
  },
  QWEN3_MOE("mlp") {
    @Override
    boolean isSparse(ModelConfig config, int layer) {
      return isQwenSparse(config, layer);
    }

    @Override
    MoeLayerConfig layer(ModelConfig config, String prefix) {
      return qwen(config, prefix).build();
    }
  },
  OLMOE("mlp") {
    @Override
    MoeLayerConfig layer(ModelConfig config, String prefix) {
      return qwen(config, prefix).build();
    }
  },
  DEEPSEEK_V2("mlp") {
    @Override
    boolean isSparse(ModelConfig config, int layer) {
      return isDeepSeekSparse(config, layer);
    }

    @Override
    MoeLayerConfig layer(ModelConfig config, String prefix) {
      MoeLayerConfig.Builder block = deepSeek(config, prefix, "softmax");
      if (config.flag("norm_topk_prob")) {
        // DeepSeek's own code then leaves the scaling factor out, transformers' does not normalise.
        throw config.wrong("norm_topk_prob", "false");
      }
      block.setNormTopkProb(false);
      switch (config.text("topk_method", "greedy")) {
        case "greedy" -> {}
        case "group_limited_greedy" -> groups(config, block, "max");
        default -> throw config.wrong("topk_method", "\"greedy\" or \"group_limited_greedy\"");
      }
      return block.build();
    }
  },
  DEEPSEEK_V3("mlp") {
    @Override
    boolean isSparse(ModelConfig config, int layer) {
      return isDeepSeekSparse(config, layer);
    }

    @Override
    MoeLayerConfig layer(ModelConfig config, String prefix) {
      MoeLayerConfig.Builder block = deepSeek(config, prefix, "sigmoid");
      config.only("topk_method", "noaux_tc");
      block.setNormTopkProb(config.flag("norm_topk_prob"));
      block.getWeightsBuilder().setScoreCorrectionBias(prefix + ".gate.e_score_correction_bias");
      groups(config, block, "top2_sum");
      return block.build();
    }
  },
  GPT_OSS("mlp") {
    @Override
    MoeLayerConfig layer(ModelConfig config, String prefix) {
      MoeLayerConfig.Builder block =
          block(config, prefix, config.integer("num_local_experts"))
              .setNormTopkProb(true)
              .setGatedMlp(gated(config).setSwigluLimit(config.number("swiglu_limit", 7)));
      block
          .getWeightsBuilder()
          .setGate(prefix + ".router.weight")
          .setGateBias(prefix + ".router.bias");
      return block.build();
    }
  };

  private final String block;

  ModelFamily(String block) {
    this.block = block;
  }

  /** The family that a model says it is of. */
  static ModelFamily of(ModelConfig config) {
    String type = config.text("model_type");
    return Arrays.stream(values())
        .filter(family -> family.modelType().equals(type))
        .findFirst()
        .orElseThrow(() ->
            config.wrong(
                "model_type",
                Arrays.stream(values())
                    .map(ModelFamily::modelType)
                    .collect(Collectors.joining(", ", "one of ", ""))));
  }

  private String modelType() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** Prefix of a layer's MoE block. */
  String prefix(int layer) {
    return "model.layers.%d.%s".formatted(layer, block);
  }

  /** Whether a layer has an MoE block and not a dense MLP. */
  boolean isSparse(ModelConfig config, int layer) {
    return true;
  }

  /** The block as a layer of ours, under the checkpoint's own tensor names. */
  abstract MoeLayerConfig layer(ModelConfig config, String prefix);

  private static boolean isQwenSparse(ModelConfig config, int layer) {
    return !config.lists("mlp_only_layers", layer)
        && config.integer("num_experts") > 0
        && (layer + 1) % config.step("decoder_sparse_step") == 0;
  }

  private static boolean isDeepSeekSparse(ModelConfig config, int layer) {
    return layer >= config.integer("first_k_dense_replace")
        && layer % config.step("moe_layer_freq") == 0;
  }

  private static MoeLayerConfig.Builder qwen(ModelConfig config, String prefix) {
    return block(config, prefix, config.integer("num_experts"))
        .setNormTopkProb(config.flag("norm_topk_prob"))
        .setGatedMlp(gated(config));
  }

  private static MoeLayerConfig.Builder deepSeek(
      ModelConfig config, String prefix, String scoreFunction) {
    config.only("scoring_func", scoreFunction);
    MoeLayerConfig.Builder block =
        block(config, prefix, config.integer("n_routed_experts"))
            .setScoreFunction(scoreFunction)
            .setRoutedScalingFactor(config.number("routed_scaling_factor"))
            .setGatedMlp(gated(config));
    if (config.integer("n_shared_experts") > 0) {
      block
          .setUseSharedExpert(true)
          .getWeightsBuilder()
          .setSharedExpert(prefix + ".shared_experts");
    }
    return block;
  }

  private static void groups(ModelConfig config, MoeLayerConfig.Builder block, String score) {
    int groups = config.integer("n_group");
    if (groups > 1) {
      block.setNGroup(groups).setTopkGroup(config.integer("topk_group")).setGroupScore(score);
    }
  }

  /** What all have in common: no capacity, and a gate without noise. */
  private static MoeLayerConfig.Builder block(ModelConfig config, String prefix, int experts) {
    return MoeLayerConfig.newBuilder()
        .setHiddenSize(config.integer("hidden_size"))
        .setNumExperts(experts)
        .setK(config.integer("num_experts_per_tok"))
        .setDropTokens(false)
        .setTop22NdExpertSampling(false)
        .setWeights(
            Weights.newBuilder()
                .setGate(prefix + ".gate.weight")
                .setExpert(prefix + ".experts.{expert}"));
  }

  private static GatedMlpExpert.Builder gated(ModelConfig config) {
    String activation =
        switch (config.text("hidden_act", "silu")) {
          case "silu" -> "silu";
          case "gelu" -> "gelu";
          case "gelu_pytorch_tanh" -> "gelu_tanh";
          default -> throw config.wrong("hidden_act", "silu, gelu or gelu_pytorch_tanh");
        };
    return GatedMlpExpert.newBuilder().setActivation(activation);
  }
}
