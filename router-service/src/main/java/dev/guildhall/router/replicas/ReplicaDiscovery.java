package dev.guildhall.router.replicas;

import dev.guildhall.error.GuildhallException;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Turns the targets that a router was given into those of single replicas. {@code host:port} and
 * {@code unix:///path} are one replica; {@code dns:///name:port} is one a resolved address and is
 * asked for again and again, as a headless Kubernetes service or a scaled compose service changes.
 *
 * <p>Look-ups block, so they have a thread of their own.
 */
public final class ReplicaDiscovery implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(ReplicaDiscovery.class);
  private static final int MAX_PORT = 65_535;
  private static final Pattern DNS =
      Pattern.compile("dns:///([^:/]+|\\[[0-9a-fA-F:]+]):(\\d{1,5})");
  private static final Pattern SINGLE =
      Pattern.compile("([^:/\\s]+|\\[[0-9a-fA-F:]+]):(\\d{1,5})|unix:///\\S+|inprocess:\\S+");

  private final List<String> targets;
  private final Duration interval;
  private final Consumer<Set<String>> listener;
  private final CountDownLatch closed = new CountDownLatch(1);

  // Used by the resolver's thread alone.
  private final Map<String, List<String>> lastAddresses = new HashMap<>();
  private Set<String> known = Set.of();

  /**
   * @param targets as the user wrote them
   * @param interval between look-ups of names
   * @param listener hears the targets of all replicas whenever they change
   * @throws GuildhallException INVALID_ARGUMENT for a target of no known form
   */
  public ReplicaDiscovery(List<String> targets, Duration interval, Consumer<Set<String>> listener) {
    targets.forEach(ReplicaDiscovery::check);
    this.targets = List.copyOf(targets);
    this.interval = interval;
    this.listener = listener;
  }

  public void start() {
    Thread.ofPlatform().daemon().name("guildhall-discovery").start(this::run);
  }

  private void run() {
    boolean named = targets.stream().anyMatch(target -> DNS.matcher(target).matches());
    try {
      do {
        resolve();
      } while (named && !closed.await(interval.toMillis(), TimeUnit.MILLISECONDS));
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private static void check(String target) {
    if (!hasForm(DNS, target) && !hasForm(SINGLE, target)) {
      throw GuildhallException.invalidArgument(
          "target is \"%s\"; allowed is host:port, dns:///name:port or unix:///path"
              .formatted(target));
    }
  }

  private static boolean hasForm(Pattern form, String target) {
    Matcher matcher = form.matcher(target);
    return matcher.matches()
        && (matcher.group(2) == null || Integer.parseInt(matcher.group(2)) <= MAX_PORT);
  }

  private void resolve() {
    Set<String> found = new LinkedHashSet<>();
    for (String target : targets) {
      Matcher dns = DNS.matcher(target);
      if (dns.matches()) {
        found.addAll(addresses(dns.group(1), dns.group(2)));
      } else {
        found.add(target);
      }
    }
    if (!found.equals(known)) {
      known = found;
      listener.accept(found);
    }
  }

  /** A name that cannot be resolved now keeps the addresses it had. */
  private List<String> addresses(String name, String port) {
    String key = name + ":" + port;
    try {
      List<String> found =
          Arrays.stream(InetAddress.getAllByName(name))
              .map(address -> literal(address) + ":" + port)
              .toList();
      lastAddresses.put(key, found);
      return found;
    } catch (UnknownHostException e) {
      log.warn("dns:///{} cannot be resolved now: {}", key, e.getMessage());
      return lastAddresses.getOrDefault(key, List.of());
    }
  }

  private static String literal(InetAddress address) {
    String text = address.getHostAddress();
    return text.contains(":") ? "[" + text + "]" : text;
  }

  @Override
  public void close() {
    closed.countDown();
  }
}
