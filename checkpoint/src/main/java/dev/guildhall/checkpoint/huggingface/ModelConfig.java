package dev.guildhall.checkpoint.huggingface;

import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.function.Predicate;

/**
 * A model's config.json. What is not right in it is told with the field's name; so is a field that
 * is not there, unless transformers has only one thing in mind then.
 */
record ModelConfig(Path file, JsonObject json) {

  static ModelConfig read(Path file) {
    try {
      return new ModelConfig(
          file, JsonParser.parseString(Files.readString(file)).getAsJsonObject());
    } catch (NoSuchFileException e) {
      throw new GuildhallException(ErrorCode.NOT_FOUND, "there is no file " + file, e);
    } catch (IOException | JsonParseException | IllegalStateException e) {
      throw GuildhallException.invalidArgument("%s cannot be read: %s".formatted(file, e));
    }
  }

  boolean has(String field) {
    return json.has(field) && !json.get(field).isJsonNull();
  }

  int integer(String field) {
    try {
      return number(field, "a whole number").intValueExact();
    } catch (ArithmeticException e) {
      throw wrong(field, "a whole number");
    }
  }

  int integer(String field, int absent) {
    return has(field) ? integer(field) : absent;
  }

  /** How many layers it is from one to the next; 1 if absent. */
  int step(String field) {
    int step = integer(field, 1);
    if (step < 1) {
      throw wrong(field, "a whole number from 1");
    }
    return step;
  }

  double number(String field) {
    return number(field, "a number").doubleValue();
  }

  double number(String field, double absent) {
    return has(field) ? number(field) : absent;
  }

  boolean flag(String field) {
    return value(field, "true or false", JsonPrimitive::isBoolean).getAsBoolean();
  }

  String text(String field) {
    return value(field, "a text", JsonPrimitive::isString).getAsString();
  }

  String text(String field, String absent) {
    return has(field) ? text(field) : absent;
  }

  /** Refuses another text than this one; it may be absent. */
  void only(String field, String allowed) {
    if (!text(field, allowed).equals(allowed)) {
      throw wrong(field, '"' + allowed + '"');
    }
  }

  /** Whether a list of whole numbers has this one; an absent list has none. */
  boolean lists(String field, int number) {
    if (!has(field)) {
      return false;
    }
    try {
      return json.getAsJsonArray(field).asList().stream()
          .anyMatch(element -> element.getAsBigDecimal().intValueExact() == number);
    } catch (ClassCastException
        | IllegalStateException
        | ArithmeticException
        | NumberFormatException
        | UnsupportedOperationException e) {
      throw wrong(field, "a list of whole numbers");
    }
  }

  private BigDecimal number(String field, String allowed) {
    try {
      return value(field, allowed, JsonPrimitive::isNumber).getAsBigDecimal();
    } catch (NumberFormatException e) {
      throw wrong(field, allowed);
    }
  }

  private JsonPrimitive value(String field, String allowed, Predicate<JsonPrimitive> kind) {
    if (!has(field)) {
      throw GuildhallException.invalidArgument(
          "%s has no \"%s\"; it needs %s".formatted(file, field, allowed));
    }
    if (json.get(field) instanceof JsonPrimitive value && kind.test(value)) {
      return value;
    }
    throw wrong(field, allowed);
  }

  GuildhallException wrong(String field, String allowed) {
    return GuildhallException.invalidArgument(
        "%s: %s is %s; allowed is %s".formatted(file, field, json.get(field), allowed));
  }
}
