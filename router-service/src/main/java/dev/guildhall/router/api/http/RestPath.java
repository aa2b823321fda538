package dev.guildhall.router.api.http;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.eclipse.jetty.util.URIUtil;

/**
 * What a path of the protocol asks for. A layer's name may have slashes, as they are or as %2F; a
 * name that ends like an action, or has a part "versions" before its last, needs the latter.
 *
 * @param action {@code infer}, {@code load} and so on; empty: the thing itself
 * @param model empty: none
 * @param version of the model; empty: whichever is served
 */
record RestPath(Kind kind, String action, String model, String version) {
  /** What the action is done with. */
  enum Kind {
    SERVER,
    HEALTH,
    MODEL,
    REPOSITORY
  }

  private static final Set<String> MODEL_ACTIONS = Set.of("infer", "ready", "stats");
  private static final Set<String> REPOSITORY_ACTIONS = Set.of("load", "unload");

  /**
   * Reads a path.
   *
   * @param path canonical, with %2F left as it is
   * @return none for a path that is not of the protocol
   */
  static Optional<RestPath> of(String path) {
    List<String> parts = new ArrayList<>();
    // Up to the last slash too: "a/" is not "a".
    Arrays.stream(path.split("/", -1)).skip(1).map(URIUtil::decodePath).forEach(parts::add);
    if (parts.isEmpty() || !parts.getFirst().equals("v2") || parts.contains("")) {
      return Optional.empty();
    }
    List<String> rest = parts.subList(1, parts.size());
    if (rest.isEmpty()) {
      return Optional.of(new RestPath(Kind.SERVER, "", "", ""));
    }
    return switch (rest.getFirst()) {
      case "health" -> rest.size() == 2 ? server(Kind.HEALTH, rest.get(1)) : Optional.empty();
      case "models" -> model(rest.subList(1, rest.size()));
      case "repository" -> repository(rest.subList(1, rest.size()));
      default -> Optional.empty();
    };
  }

  private static Optional<RestPath> server(Kind kind, String action) {
    return Optional.of(new RestPath(kind, action, "", ""));
  }

  private static Optional<RestPath> model(List<String> parts) {
    if (parts.isEmpty()) {
      return Optional.empty();
    }
    if (parts.equals(List.of("stats"))) {
      return server(Kind.MODEL, "stats");
    }
    boolean acts = parts.size() > 1 && MODEL_ACTIONS.contains(parts.getLast());
    String action = acts ? parts.getLast() : "";
    List<String> name = acts ? parts.subList(0, parts.size() - 1) : parts;
    String version = "";
    if (name.size() > 2 && name.get(name.size() - 2).equals("versions")) {
      version = name.getLast();
      name = name.subList(0, name.size() - 2);
    }
    return Optional.of(new RestPath(Kind.MODEL, action, String.join("/", name), version));
  }

  private static Optional<RestPath> repository(List<String> parts) {
    if (parts.equals(List.of("index"))) {
      return server(Kind.REPOSITORY, "index");
    }
    if (parts.size() < 3
        || !parts.getFirst().equals("models")
        || !REPOSITORY_ACTIONS.contains(parts.getLast())) {
      return Optional.empty();
    }
    String name = String.join("/", parts.subList(1, parts.size() - 1));
    return Optional.of(new RestPath(Kind.REPOSITORY, parts.getLast(), name, ""));
  }

  boolean needsToken() {
    return kind != Kind.HEALTH;
  }

  /** GET or POST. */
  String method() {
    return kind == Kind.REPOSITORY || action.equals("infer") ? "POST" : "GET";
  }
}
