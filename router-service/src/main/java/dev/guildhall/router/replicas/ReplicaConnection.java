package dev.guildhall.router.replicas;

import dev.guildhall.proto.DescribeRequest;
import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import dev.guildhall.router.exchange.ExchangeStream;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.SynchronizationContext;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps one target connected: asks what it hosts, opens the exchange stream, and after a loss tries
 * again with backoff until it is closed.
 *
 * <p>All methods run in the directory's synchronization context; answers from the network are
 * brought into it.
 */
final class ReplicaConnection {
  private static final Logger log = LoggerFactory.getLogger(ReplicaConnection.class);
  private static final int DESCRIBE_TIMEOUT_SECONDS = 5;

  /** Hears in the synchronization context when the replica comes and goes. */
  interface Owner {
    void connected(Replica replica);

    void lost(Replica replica);
  }

  private final String target;
  private final ManagedChannel channel;
  private final SynchronizationContext context;
  private final ScheduledExecutorService timer;
  private final Owner owner;
  private final Backoff backoff = new Backoff(ThreadLocalRandom.current());
  private @Nullable Replica replica;
  private boolean failureLogged;
  private boolean closed;

  ReplicaConnection(
      String target,
      ManagedChannel channel,
      SynchronizationContext context,
      ScheduledExecutorService timer,
      Owner owner) {
    this.target = target;
    this.channel = channel;
    this.context = context;
    this.timer = timer;
    this.owner = owner;
  }

  void connect() {
    if (closed) {
      return;
    }
    // Our backoff decides when to try; gRPC's own grows to two minutes.
    channel.resetConnectBackoff();
    ExpertServiceGrpc.newStub(channel)
        .withDeadlineAfter(DESCRIBE_TIMEOUT_SECONDS, TimeUnit.SECONDS)
        .describe(DescribeRequest.getDefaultInstance(), new Description());
  }

  void close() {
    closed = true;
    if (replica != null) {
      replica.stream().abort();
    }
    withdraw();
    channel.shutdownNow();
  }

  private void describedAs(DescribeResponse description) {
    if (!closed) {
      ExchangeStream.open(channel, target, new StreamLife(description));
    }
  }

  private void opened(Replica newReplica) {
    if (closed) {
      newReplica.stream().abort();
      return;
    }
    backoff.reset();
    failureLogged = false;
    replica = newReplica;
    owner.connected(newReplica);
  }

  private void failed(Status status) {
    withdraw();
    if (closed) {
      return;
    }
    if (!failureLogged) {
      failureLogged = true;
      log.warn("replica {} cannot be reached, trying on: {}", target, describe(status));
    }
    context.schedule(this::connect, backoff.next().toMillis(), TimeUnit.MILLISECONDS, timer);
  }

  private void withdraw() {
    if (replica != null) {
      Replica gone = replica;
      replica = null;
      owner.lost(gone);
    }
  }

  private static String describe(Status status) {
    return status.getDescription() == null
        ? status.getCode().name()
        : status.getCode() + ": " + status.getDescription();
  }

  private final class Description implements StreamObserver<DescribeResponse> {
    private DescribeResponse description = DescribeResponse.getDefaultInstance();

    @Override
    public void onNext(DescribeResponse answer) {
      description = answer;
    }

    @Override
    public void onError(Throwable failure) {
      context.execute(() -> failed(Status.fromThrowable(failure)));
    }

    @Override
    public void onCompleted() {
      context.execute(() -> describedAs(description));
    }
  }

  private final class StreamLife implements ExchangeStream.Listener {
    private final DescribeResponse description;

    StreamLife(DescribeResponse description) {
      this.description = description;
    }

    @Override
    public void opened(ExchangeStream stream) {
      context.execute(
          () -> ReplicaConnection.this.opened(new Replica(target, description, stream)));
    }

    @Override
    public void closed(Status status) {
      context.execute(() -> failed(status));
    }
  }
}
