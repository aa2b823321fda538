package dev.guildhall.deploy;

import static org.junit.jupiter.api.Assertions.fail;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.testcontainers.DockerClientFactory;

/**
 * Skips tests where no Docker engine answers; fails them instead where one was asked for, by the
 * environment variable {@code GUILDHALL_CONTAINER_TESTS=required}.
 */
@Target(ElementType.TYPE)
@Retention(RetentionPolicy.RUNTIME)
@ExtendWith(NeedsEngine.Condition.class)
@interface NeedsEngine {

  /** The annotation's meaning. */
  final class Condition implements ExecutionCondition {
    private static final String VARIABLE = "GUILDHALL_CONTAINER_TESTS";

    /** Skips the test where something else cannot be had, or fails it likewise. */
    static void missing(String what) {
      if (required()) {
        fail(what + ", and " + VARIABLE + " asks for it");
      }
      assumeTrue(false, what);
    }

    private static boolean required() {
      return "required".equals(System.getenv(VARIABLE));
    }

    @Override
    public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
      if (DockerClientFactory.instance().isDockerAvailable()) {
        return ConditionEvaluationResult.enabled("a Docker engine answers");
      }
      if (required()) {
        throw new IllegalStateException(
            "no Docker engine answers, and " + VARIABLE + " asks for one");
      }
      return ConditionEvaluationResult.disabled("no Docker engine answers");
    }
  }
}
