package dev.guildhall.router.api.oip;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.MissingExperts;
import java.time.Duration;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;

/** The parameters of a request: what they are called, what they may be, what they mean. */
public final class InferParameters {
  private static final String TRAINING = "training";
  private static final String SEED = "seed";
  private static final String ON_MISSING_EXPERT = "on_missing_expert";
  private static final String TIMEOUT_MS = "timeout_ms";

  /** Microseconds, as Triton's clients send it. */
  private static final String TIMEOUT = "timeout";

  /** What clients of other servers add to any request, and what changes nothing here. */
  private static final Set<String> IGNORED =
      Set.of("binary_data_output", "content_type", "headers", "priority");

  /** Of a tensor: they would have its content elsewhere, or make something else of it. */
  private static final Set<String> UNSUPPORTED = Set.of("shared_memory_region", "classification");

  private static final Duration LONGEST = Duration.ofDays(1);

  private InferParameters() {}

  /**
   * Checks the names of a tensor's parameters; those that are for other servers only are left
   * alone.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT
   */
  public static void checkTensor(String tensor, Set<String> parameters) {
    for (String name : parameters) {
      if (UNSUPPORTED.contains(name)) {
        throw invalidArgument(
            "tensor %s has the parameter %s, which this server does not support"
                .formatted(tensor, name));
      }
    }
  }

  /**
   * Checks the names of the parameters of a layer's loading.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT: they would load something else
   *     than what the repository has
   */
  public static void checkLoad(Set<String> parameters) {
    if (!parameters.isEmpty()) {
      throw invalidArgument(
          "parameters of the load are %s; allowed are none: layers are loaded as the repository has them"
              .formatted(String.join(", ", parameters)));
    }
  }

  /**
   * Writes them into a request of ours.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT: an unknown one too, since a
   *     misspelt one would silently compute something else
   */
  static void apply(Map<String, Object> parameters, ForwardRequest.Builder request) {
    parameters.forEach((name, value) -> {
      switch (name) {
        case TRAINING -> request.setTraining(bool(name, value));
        case SEED -> request.setSeed(whole(name, value));
        case ON_MISSING_EXPERT -> request.setMissingExperts(missingExperts(value));
        case TIMEOUT_MS, TIMEOUT -> {
          // Read by timeoutNanos.
        }
        default -> {
          if (!IGNORED.contains(name)) {
            throw invalidArgument(
                "parameter is \"%s\"; allowed are training, seed, on_missing_expert, timeout_ms and timeout"
                    .formatted(name));
          }
        }
      }
    });
  }

  /**
   * How long the request may take: as it says, and no longer than its call.
   *
   * @param call what is left of the call's own time, if that has an end
   * @param otherwise where neither says
   */
  static long timeoutNanos(Map<String, Object> parameters, OptionalLong call, long otherwise) {
    long nanos = call.orElse(Long.MAX_VALUE);
    if (parameters.containsKey(TIMEOUT_MS)) {
      nanos = Math.min(nanos, timeout(TIMEOUT_MS, parameters, Duration.ofMillis(1)));
    }
    if (parameters.containsKey(TIMEOUT)) {
      nanos = Math.min(nanos, timeout(TIMEOUT, parameters, Duration.ofNanos(1000)));
    }
    return nanos == Long.MAX_VALUE ? otherwise : nanos;
  }

  private static long timeout(String name, Map<String, Object> parameters, Duration unit) {
    Object value = parameters.get(name);
    long units = value == null ? 0 : whole(name, value);
    long most = LONGEST.dividedBy(unit);
    if (units < 0 || units > most) {
      throw wrong(name, units, "a whole number from 1 to %d, or 0 for the default".formatted(most));
    }
    return units == 0 ? Long.MAX_VALUE : unit.multipliedBy(units).toNanos();
  }

  private static MissingExperts missingExperts(Object value) {
    return switch (value) {
      case String text when text.equals("fail") -> MissingExperts.MISSING_EXPERTS_FAIL;
      case String text when text.equals("drop") -> MissingExperts.MISSING_EXPERTS_DROP;
      default -> throw wrong(ON_MISSING_EXPERT, value, "\"fail\" or \"drop\"");
    };
  }

  private static boolean bool(String name, Object value) {
    if (value instanceof Boolean bool) {
      return bool;
    }
    throw wrong(name, value, "true or false");
  }

  private static long whole(String name, Object value) {
    if (value instanceof Long whole) {
      return whole;
    }
    throw wrong(name, value, "a whole number");
  }

  private static RuntimeException wrong(String name, Object value, String allowed) {
    return invalidArgument("parameter %s is %s; allowed is %s".formatted(name, value, allowed));
  }
}
