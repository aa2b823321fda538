package dev.guildhall.cli.chaos;

import dev.guildhall.cli.Await;
import dev.guildhall.proto.ForwardRequest;
import dev.guildhall.proto.ForwardResponse;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * Several clients that ask their questions at a set rate and check every answer. A latency is taken
 * from the moment when the question was due, so that what waits behind a slow answer counts too.
 */
final class SteadyLoad implements AutoCloseable {
  /** Little enough for two processors to have time left, so that faults are what is measured. */
  static final double PER_CLIENT_AND_SECOND =
      Double.parseDouble(System.getProperty("chaos.rate", "15"));

  static final int CLIENTS = 4;

  private final List<Caller> callers;
  private final List<Question> questions;
  private final long periodNanos;
  private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
  private final List<Future<?>> clients = new ArrayList<>();
  private volatile Phase phase = new Phase("warm-up");
  private volatile boolean stop;

  private SteadyLoad(List<Caller> callers, List<Question> questions, double perSecond) {
    this.callers = callers;
    this.questions = questions;
    this.periodNanos = Math.round(1e9 / perSecond);
  }

  /** Several unary clients of one router with all questions, warmed up. */
  static SteadyLoad start(String target) throws Exception {
    List<Caller> callers = new ArrayList<>();
    for (int i = 0; i < CLIENTS; i++) {
      callers.add(UnaryCaller.of(target));
    }
    return start(callers, Question.mixed());
  }

  /**
   * Asks every question once, undisturbed, then starts the clients and warms up.
   *
   * @param callers one a client; closed with this
   */
  static SteadyLoad start(List<Caller> callers, List<ForwardRequest> requests) throws Exception {
    List<Question> questions = new ArrayList<>();
    for (ForwardRequest request : requests) {
      questions.add(Question.ask(callers.getFirst(), request));
    }
    return startWith(callers, questions);
  }

  /** Starts the clients and warms up. */
  static SteadyLoad startWith(List<Caller> callers, List<Question> questions) throws Exception {
    SteadyLoad load = new SteadyLoad(callers, questions, PER_CLIENT_AND_SECOND);
    long start = System.nanoTime();
    for (int client = 0; client < callers.size(); client++) {
      int number = client;
      long due = start + client * load.periodNanos / callers.size();
      load.clients.add(load.threads.submit(() -> load.drive(number, due)));
    }
    Durations.hold(Durations.WARM_UP);
    return load;
  }

  private void drive(int client, long firstDueNanos) {
    long due = firstDueNanos;
    for (int asked = client; !stop; asked++) {
      for (long left = due - System.nanoTime(); left > 0; left = due - System.nanoTime()) {
        LockSupport.parkNanos(left);
      }
      ask(callers.get(client), questions.get(asked % questions.size()), due);
      due += periodNanos;
    }
  }

  private void ask(Caller caller, Question question, long dueNanos) {
    Phase now = phase;
    try {
      ForwardResponse answer = caller.forward(question.request());
      long nanos = System.nanoTime() - dueNanos;
      Optional<String> flaw = question.flaw(answer);
      flaw.ifPresentOrElse(now::wrong, () -> now.answered(question.name(), nanos));
    } catch (Exception e) {
      Status status = Status.fromThrowable(e);
      now.failed(status.getCode(), "%s: %s".formatted(question.name(), status.getDescription()));
    }
  }

  /** From now on requests count here. */
  Phase phase(String name) {
    phase.end();
    Phase next = new Phase(name);
    phase = next;
    return next;
  }

  /** Waits until the clients have had so many answers more. */
  void awaitMore(int answers) {
    Phase now = phase;
    long enough = now.answers() + answers;
    Await.until("the load goes on", Durations.PATIENCE, () -> now.answers() >= enough);
  }

  /** Lets what is under way end, and fails with whatever broke a client. */
  void stop() throws Exception {
    stop = true;
    for (Future<?> client : clients) {
      client.get(Durations.PATIENCE.toSeconds(), TimeUnit.SECONDS);
    }
    phase.end();
  }

  @Override
  public void close() {
    stop = true;
    callers.forEach(Caller::close);
    threads.shutdownNow();
  }
}
