package dev.guildhall.checkpoint.torch;

import static dev.guildhall.checkpoint.torch.Refusal.check;
import static dev.guildhall.checkpoint.torch.Refusal.shown;

import dev.guildhall.checkpoint.torch.TorchGlobal.NamedType;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The tensors and the plain values of an unpickled dict by the path that leads to them: the keys,
 * and the indices in lists and tuples, joined by dots. What lies under a key that is neither a text
 * nor a whole number is left out, and so are None, bytes and numbers beyond 64 bits.
 *
 * <p>An object may occur at many places, lists of lists at very many; the names' length all
 * together is bounded by the pickle's.
 */
final class FlatNames {
  private static final int MAX_DEPTH = 64;
  private static final int MAX_NAME_CHARACTERS = 1000;

  /** What a name costs beside its characters. */
  private static final int ENTRY_COST = 32;

  private static final long COST_PER_PICKLE_BYTE = 100;
  private static final long COST_OF_ANY = 1 << 16;
  private static final long MAX_COST = 256 << 20;

  private final Map<String, TensorView> tensors = new LinkedHashMap<>();
  private final Map<String, Object> values = new LinkedHashMap<>();
  private long costLeft;

  /**
   * Finds all names.
   *
   * @throws dev.guildhall.error.GuildhallException INVALID_ARGUMENT if two things have one name, or
   *     the object is nested too deeply
   */
  FlatNames(Map<?, ?> root, int pickleBytes) {
    costLeft = COST_OF_ANY + Math.min(MAX_COST, COST_PER_PICKLE_BYTE * pickleBytes);
    addAll("", root, 1);
  }

  Map<String, TensorView> tensors() {
    return tensors;
  }

  Map<String, Object> values() {
    return values;
  }

  private void addAll(String prefix, Map<?, ?> dict, int depth) {
    dict.forEach((key, value) -> {
      if (key instanceof String || key instanceof Integer || key instanceof Long) {
        add(prefix, key, value, depth);
      }
    });
  }

  private void addAll(String prefix, List<?> items, int depth) {
    for (int i = 0; i < items.size(); i++) {
      add(prefix, i, items.get(i), depth);
    }
  }

  private void add(String prefix, Object key, @Nullable Object value, int depth) {
    String last = key.toString();
    check(depth <= MAX_DEPTH, "data.pkl is nested more than %d deep", MAX_DEPTH);
    if (prefix.length() + last.length() > MAX_NAME_CHARACTERS) {
      throw Refusal.of(
          "data.pkl has a name of more than %d characters: %s",
          MAX_NAME_CHARACTERS, shown(prefix + shown(last)));
    }
    costLeft -= ENTRY_COST + prefix.length() + last.length();
    check(costLeft >= 0, "data.pkl repeats its objects too often");
    String name = prefix + last;
    switch (value) {
      case Map<?, ?> dict -> addAll(name + ".", dict, depth + 1);
      case List<?> items -> addAll(name + ".", items, depth + 1);
      case Object[] items -> addAll(name + ".", Arrays.asList(items), depth + 1);
      case TensorView tensor -> put(tensors, name, tensor);
      case Integer number -> put(values, name, number.longValue());
      case NamedType type -> put(values, name, type.name());
      case Long number -> put(values, name, number);
      case Double number -> put(values, name, number);
      case Boolean truth -> put(values, name, truth);
      case String text -> put(values, name, text);
      case null, default -> {}
    }
  }

  private <T> void put(Map<String, T> map, String name, T value) {
    if (tensors.containsKey(name) || values.containsKey(name)) {
      throw Refusal.of("data.pkl has two things that are called %s", shown(name));
    }
    map.put(name, value);
  }
}
