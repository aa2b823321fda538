package dev.guildhall.router.replicas;

import dev.guildhall.error.GuildhallException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.nio.file.Files;
import java.nio.file.Path;
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
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Turns the targets that a router was given into those of single replicas. {@code host:port} and
 * {@code unix:///path} are one replica; {@code dns:///name:port} is one a resolved address and is
 * asked for again and again, as a headless Kubernetes service or a scaled compose service changes.
 * {@code file:///path} stands for the targets in a file, one a line, read again and again; lines
 * that are empty or begin with {@code #} are skipped.
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

  private static final String FILE = "file://";

  private final List<String> targets;
  private final Duration interval;
  private final Consumer<Set<String>> listener;
  private final CountDownLatch closed = new CountDownLatch(1);

  // Used by the resolver's thread alone.
  private final Map<String, List<String>> lastAnswers = new HashMap<>();
  private Set<String> known = Set.of();

  /**
   * @param targets as the user wrote them
   * @param interval between look-ups of names, and readings of files
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
    boolean changes = targets.stream().anyMatch(target -> isFile(target) || isName(target));
    try {
      do {
        resolve();
      } while (changes && !closed.await(interval.toMillis(), TimeUnit.MILLISECONDS));
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private static boolean isName(String target) {
    return DNS.matcher(target).matches();
  }

  private static boolean isFile(String target) {
    return target.startsWith(FILE + "/");
  }

  private static void check(String target) {
    if (!isFile(target) && !hasForm(DNS, target) && !hasForm(SINGLE, target)) {
      throw GuildhallException.invalidArgument(
          ("target is \"%s\"; allowed is host:port, dns:///name:port, unix:///path or"
                  + " file:///path")
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
      List<String> named = isFile(target) ? targetsIn(target) : List.of(target);
      named.forEach(one -> found.addAll(addresses(one)));
    }
    if (!found.equals(known)) {
      known = found;
      listener.accept(found);
    }
  }

  private List<String> targetsIn(String file) {
    return orLast(
        file,
        () -> {
          try (Stream<String> lines = Files.lines(Path.of(file.substring(FILE.length())))) {
            List<String> listed =
                lines
                    .map(String::strip)
                    .filter(line -> !line.isEmpty() && !line.startsWith("#"))
                    .toList();
            if (listed.isEmpty()) {
              // It may be being written.
              throw GuildhallException.invalidArgument("it names no target");
            }
            for (String target : listed) {
              if (isFile(target)) {
                throw GuildhallException.invalidArgument("it names a file, " + target);
              }
              check(target);
            }
            return listed;
          } catch (UncheckedIOException e) {
            throw e.getCause();
          }
        });
  }

  private List<String> addresses(String target) {
    Matcher dns = DNS.matcher(target);
    return dns.matches()
        ? orLast(
            target,
            () ->
                Arrays.stream(InetAddress.getAllByName(dns.group(1)))
                    .map(address -> literal(address) + ":" + dns.group(2))
                    .toList())
        : List.of(target);
  }

  private interface LookUp {
    List<String> get() throws IOException;
  }

  /** What cannot be looked up now keeps what it was. */
  private List<String> orLast(String target, LookUp lookUp) {
    try {
      List<String> answer = lookUp.get();
      lastAnswers.put(target, answer);
      return answer;
    } catch (IOException | GuildhallException e) {
      log.warn("{} cannot be looked up now: {}", target, e.toString());
      return lastAnswers.getOrDefault(target, List.of());
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
