package dev.guildhall.checkpoint.torch;

import com.google.errorprone.annotations.FormatMethod;
import dev.guildhall.error.GuildhallException;

/** What is said of a file that is not as it must be. */
final class Refusal {
  private static final int SHOWN_CHARACTERS = 100;

  private Refusal() {}

  @FormatMethod
  static void check(boolean right, String message, Object... arguments) {
    if (!right) {
      throw of(message, arguments);
    }
  }

  @FormatMethod
  static GuildhallException of(String message, Object... arguments) {
    return GuildhallException.invalidArgument(message.formatted(arguments));
  }

  /** A text of the file as a message may hold it: not too long and without control characters. */
  static String shown(String text) {
    String start =
        text.length() > SHOWN_CHARACTERS ? text.substring(0, SHOWN_CHARACTERS) + "..." : text;
    return start.replaceAll("\\p{C}", "?");
  }
}
