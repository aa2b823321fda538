package dev.guildhall.router.admission;

import static dev.guildhall.error.GuildhallException.invalidArgument;

import dev.guildhall.error.GuildhallException;
import dev.guildhall.proto.CallerConfig;
import dev.guildhall.proto.CallerList;
import dev.guildhall.repository.StrictJson;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;

/** The callers that a router knows, by the hashes of their tokens. Immutable. */
final class Callers {
  static final Callers NONE = new Callers(List.of());

  private static final Pattern SHA256 = Pattern.compile("[0-9a-fA-F]{64}");

  private final List<Entry> entries;

  private record Entry(byte[] tokenSha256, long limit, Caller caller) {}

  private Callers(List<Entry> entries) {
    this.entries = List.copyOf(entries);
  }

  /**
   * Reads the JSON form of {@link CallerList}.
   *
   * @param before a caller whose name and limit stay keeps what it has in flight
   * @throws GuildhallException INVALID_ARGUMENT naming the field, its value and what is allowed
   */
  static Callers parse(String json, Callers before) {
    CallerList.Builder proto = CallerList.newBuilder();
    StrictJson.merge(json, proto);
    List<Entry> entries = new ArrayList<>();
    Set<String> seen = new HashSet<>();
    for (CallerConfig config : proto.getCallersList()) {
      Entry entry = before.entry(config);
      if (!seen.add(config.getName()) || !seen.add(HexFormat.of().formatHex(entry.tokenSha256))) {
        throw invalidArgument(
            "caller \"%s\": its name or its token_sha256 occurs twice; allowed is once"
                .formatted(config.getName()));
      }
      entries.add(entry);
    }
    return new Callers(entries);
  }

  private Entry entry(CallerConfig config) {
    String name = config.getName();
    if (name.isBlank()) {
      throw invalidArgument(
          "a caller's name is \"%s\"; allowed is any but a blank one".formatted(name));
    }
    // Not quoted: somebody may have put the token itself there.
    if (!SHA256.matcher(config.getTokenSha256()).matches()) {
      throw invalidArgument(
          "caller \"%s\": token_sha256 has %d characters; allowed are 64 hexadecimal digits"
              .formatted(name, config.getTokenSha256().length()));
    }
    if (config.hasMaxTokensInFlight() && config.getMaxTokensInFlight() < 1) {
      throw invalidArgument(
          "caller \"%s\": max_tokens_in_flight is %d; allowed is a whole number from 1"
              .formatted(name, config.getMaxTokensInFlight()));
    }
    long limit = config.hasMaxTokensInFlight() ? config.getMaxTokensInFlight() : Long.MAX_VALUE;
    Caller caller =
        entries.stream()
            .filter(entry -> entry.caller.name().equals(name) && entry.limit == limit)
            .map(Entry::caller)
            .findFirst()
            .orElseGet(() -> caller(name, config));
    return new Entry(HexFormat.of().parseHex(config.getTokenSha256()), limit, caller);
  }

  private static Caller caller(String name, CallerConfig config) {
    return new Caller(
        name,
        config.hasMaxTokensInFlight()
            ? Optional.of(new TokenBudget(config.getMaxTokensInFlight()))
            : Optional.empty());
  }

  /** Whose token it is. Takes as long for any token: every hash is compared to its end. */
  Optional<Caller> find(String token) {
    byte[] hash = sha256(token);
    Optional<Caller> found = Optional.empty();
    for (Entry entry : entries) {
      if (MessageDigest.isEqual(entry.tokenSha256, hash)) {
        found = Optional.of(entry.caller);
      }
    }
    return found;
  }

  private static byte[] sha256(String token) {
    try {
      return MessageDigest.getInstance("SHA-256").digest(token.getBytes(StandardCharsets.UTF_8));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has it", e);
    }
  }
}
