package dev.guildhall.cli.chaos;

import dev.guildhall.cli.Digits;
import dev.guildhall.cli.Requests;
import dev.guildhall.cli.Tensors;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A request that is asked again and again, and what is right.
 *
 * @param right the answer before anything went wrong, or one for each version of the layer
 */
record Question(String name, ForwardRequest request, List<ForwardResponse> right) {
  private static final double TOLERANCE = 1e-5;

  /** Two layers, one to some hundred tokens, from a fraction of a millisecond to several. */
  static List<ForwardRequest> mixed() {
    return List.of(
        request(Digits.LAYER, 1, Digits.HIDDEN_SIZE),
        request(Digits.LAYER, 40, Digits.HIDDEN_SIZE),
        request(Digits.LAYER, 200, Digits.HIDDEN_SIZE),
        request(ChaosRepository.WIDE, 1, ChaosRepository.WIDE_HIDDEN_SIZE),
        request(ChaosRepository.WIDE, 16, ChaosRepository.WIDE_HIDDEN_SIZE));
  }

  static ForwardRequest request(String layer, int tokens, int hiddenSize) {
    return Requests.random(layer, tokens, hiddenSize, tokens)
        .setSeed(tokens)
        .setReturnRoutes(true)
        .build();
  }

  /** A question whose answer of this moment is right. */
  static Question ask(Caller caller, ForwardRequest request) throws Exception {
    String name = "%s/%d".formatted(request.getLayer(), request.getShape(0));
    return new Question(name, request, List.of(caller.forward(request)));
  }

  /** The same with one more answer that is right: that of this moment. */
  Question askAgain(Caller caller) throws Exception {
    List<ForwardResponse> all = new ArrayList<>(right);
    all.add(caller.forward(request));
    return new Question(name, request, List.copyOf(all));
  }

  /** What is wrong with an answer: it is none of the right ones. */
  Optional<String> flaw(ForwardResponse answer) {
    Optional<String> flaw = Optional.empty();
    for (ForwardResponse undisturbed : right) {
      flaw = flaw(undisturbed, answer);
      if (flaw.isEmpty()) {
        return flaw;
      }
    }
    return flaw;
  }

  /** Routes and all else must be equal, values close. */
  private Optional<String> flaw(ForwardResponse undisturbed, ForwardResponse answer) {
    if (!bare(undisturbed).equals(bare(answer))) {
      return Optional.of(name + " was answered with other routes");
    }
    float[] expected = Tensors.floats(undisturbed.getOutput());
    float[] actual = Tensors.floats(answer.getOutput());
    if (expected.length != actual.length) {
      return Optional.of("%s: %d values".formatted(name, actual.length));
    }
    for (int i = 0; i < expected.length; i++) {
      if (!(Math.abs(expected[i] - actual[i]) <= TOLERANCE)) {
        return Optional.of(
            "%s: element %d is %g instead of %g".formatted(name, i, actual[i], expected[i]));
      }
    }
    return Optional.empty();
  }

  private static ForwardResponse bare(ForwardResponse answer) {
    return answer.toBuilder().clearOutput().clearId().build();
  }
}
