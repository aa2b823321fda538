package dev.guildhall.deploy;

import io.fabric8.kubernetes.api.model.GenericKubernetesResource;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;

/**
 * Fields of a Kubernetes object that its type does not have: fabric8 keeps them beside the others.
 */
final class UnknownFields {
  private static final String KEPT = "getAdditionalProperties";

  private final List<String> found = new ArrayList<>();

  private UnknownFields() {}

  static List<String> in(Object object, String path) throws ReflectiveOperationException {
    UnknownFields fields = new UnknownFields();
    fields.visit(object, path);
    return fields.found;
  }

  private void visit(Object value, String path) throws ReflectiveOperationException {
    switch (value) {
      case GenericKubernetesResource unknown -> found.add(path + " is of no known kind");
      case Collection<?> elements -> {
        int index = 0;
        for (Object element : elements) {
          visit(element, "%s[%d]".formatted(path, index++));
        }
      }
      case Map<?, ?> entries -> {
        for (Map.Entry<?, ?> entry : entries.entrySet()) {
          visit(entry.getValue(), path + "." + entry.getKey());
        }
      }
      default -> {
        if (value.getClass().getName().startsWith("io.fabric8.") && !value.getClass().isEnum()) {
          visitFields(value, path);
        }
      }
    }
  }

  private void visitFields(Object value, String path) throws ReflectiveOperationException {
    for (Method getter : value.getClass().getMethods()) {
      if (getter.getParameterCount() != 0
          || !getter.getName().startsWith("get")
          || getter.getDeclaringClass() == Object.class) {
        continue;
      }
      Object field = getter.invoke(value);
      if (getter.getName().equals(KEPT)) {
        ((Map<?, ?>) field).keySet().forEach(name -> found.add(path + "." + name));
      } else if (field != null) {
        visit(field, path + "." + getter.getName().substring("get".length()));
      }
    }
  }
}
