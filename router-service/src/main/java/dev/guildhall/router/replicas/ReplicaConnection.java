package dev.guildhall.router.replicas;

import dev.guildhall.proto.DescribeRequest;
import dev.guildhall.proto.DescribeResponse;
import dev.guildhall.proto.ExpertServiceGrpc;
import dev.guildhall.proto.WatchRequest;
import dev.guildhall.repository.LayerVersion;
import dev.guildhall.router.exchange.ExchangeStream;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.SynchronizationContext;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.grpc.stub.StreamObserver;
import java.util.Set;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps one target connected: asks whether it is healthy and what it hosts, opens the exchange
 * stream, and after a loss tries again with backoff until it is closed. A replica that says that it
 * is not healthy any more gets no new batches; those it has are still answered.
 *
 * <p>All methods run in the directory's synchronization context; answers from the network are
 * brought into it.
 */
final class ReplicaConnection {
  private static final Logger log = LoggerFactory.getLogger(ReplicaConnection.class);
  private static final int ANSWER_TIMEOUT_SECONDS = 5;
  private static final int REWATCH_SECONDS = 1;
  private static final HealthCheckRequest WHOLE_SERVER = HealthCheckRequest.getDefaultInstance();

  /** Hears in the synchronization context when the replica comes and goes. */
  interface Owner {
    void connected(Replica replica);

    /** It hosts something else now. */
    void changed(Replica replica);

    void lost(Replica replica);
  }

  private final String target;
  private final TrackRecord record;
  private final Outliers outliers;
  private final ManagedChannel channel;
  private final SynchronizationContext context;
  private final ScheduledExecutorService timer;
  private final Owner owner;
  private final Backoff backoff = new Backoff(ThreadLocalRandom.current());
  private @Nullable Replica replica;
  private @Nullable Watch<HealthCheckRequest, HealthCheckResponse> healthWatch;
  private @Nullable Watch<WatchRequest, DescribeResponse> layersWatch;
  private WatchRequest inUse = WatchRequest.getDefaultInstance();
  private boolean failureLogged;
  private boolean closed;

  ReplicaConnection(
      String target,
      ManagedChannel channel,
      SynchronizationContext context,
      ScheduledExecutorService timer,
      Outliers outliers,
      Owner owner) {
    this.target = target;
    this.record = new TrackRecord(target);
    this.outliers = outliers;
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
    HealthGrpc.newStub(channel)
        .withDeadlineAfter(ANSWER_TIMEOUT_SECONDS, TimeUnit.SECONDS)
        .check(WHOLE_SERVER, new Answer<>(this::healthIs, this::healthUnknown));
  }

  private void healthIs(HealthCheckResponse health) {
    if (health.getStatus() == ServingStatus.SERVING) {
      askWhatItHosts();
    } else {
      failed(Status.UNAVAILABLE.withDescription("its health is " + health.getStatus()));
    }
  }

  /** An expert service need not have the health protocol. */
  private void healthUnknown(Status status) {
    if (status.getCode() == Status.Code.UNIMPLEMENTED) {
      askWhatItHosts();
    } else {
      failed(status);
    }
  }

  private void askWhatItHosts() {
    ExpertServiceGrpc.newStub(channel)
        .withDeadlineAfter(ANSWER_TIMEOUT_SECONDS, TimeUnit.SECONDS)
        .describe(
            DescribeRequest.getDefaultInstance(), new Answer<>(this::describedAs, this::failed));
  }

  /** The target is not named any more: what it has is still answered. */
  void leave() {
    closed = true;
    if (replica != null) {
      drain(replica);
    }
    channel.shutdown();
  }

  /** Ends everything at once. */
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
    failureLogged = false;
    replica = newReplica;
    owner.connected(newReplica);
    watchHealth(newReplica);
    watchLayers(newReplica);
  }

  private void watchHealth(Replica watched) {
    healthWatch = new Watch<>(watched, health -> healthChanged(watched, health), this::watchHealth);
    HealthGrpc.newStub(channel).watch(WHOLE_SERVER, healthWatch);
  }

  private void healthChanged(Replica watched, HealthCheckResponse health) {
    if (health.getStatus() != ServingStatus.SERVING) {
      drain(watched);
    }
  }

  private void watchLayers(Replica watched) {
    layersWatch = new Watch<>(watched, news -> layersChanged(watched, news), this::watchLayers);
    ExpertServiceGrpc.newStub(channel).watch(layersWatch).onNext(inUse);
  }

  private void layersChanged(Replica watched, DescribeResponse news) {
    if (!news.getLayersList().equals(watched.layers())) {
      watched.describe(news);
      owner.changed(watched);
    }
  }

  /** Says which versions of layers the router uses from now on. */
  void uses(Set<LayerVersion> versions) {
    WatchRequest.Builder request = WatchRequest.newBuilder();
    versions.forEach(version ->
        request.addInUse(
            dev.guildhall.proto.LayerVersion.newBuilder()
                .setName(version.name())
                .setDigest(version.digest())));
    inUse = request.build();
    if (layersWatch != null) {
      layersWatch.send(inUse);
    }
  }

  /** Lets it finish what it has; the stream's end brings the next attempt to connect. */
  private void drain(Replica unhealthy) {
    if (replica == unhealthy) {
      log.info("replica {} gets no new batches", target);
      if (record.lastWasRight()) {
        backoff.reset();
      }
      withdraw();
      unhealthy.stream().complete();
    }
  }

  private void failed(Status status) {
    if (closed) {
      withdraw();
      return;
    }
    if (replica != null) {
      // One that opens streams and breaks them must not be asked again and again at once.
      if (record.lastWasRight()) {
        backoff.reset();
      }
      outliers.lost(record);
      withdraw();
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
      if (healthWatch != null) {
        healthWatch.cancel();
      }
      if (layersWatch != null) {
        layersWatch.cancel();
        layersWatch = null;
      }
      owner.lost(gone);
    }
  }

  private static String describe(Status status) {
    return status.getDescription() == null
        ? status.getCode().name()
        : status.getCode() + ": " + status.getDescription();
  }

  /** Of a unary call; what it brings goes into the context. */
  private final class Answer<T> implements StreamObserver<T> {
    private final Consumer<T> taker;
    private final Consumer<Status> failure;
    private @Nullable T answer;

    Answer(Consumer<T> taker, Consumer<Status> failure) {
      this.taker = taker;
      this.failure = failure;
    }

    @Override
    public void onNext(T message) {
      answer = message;
    }

    @Override
    public void onError(Throwable reason) {
      context.execute(() -> failure.accept(Status.fromThrowable(reason)));
    }

    @Override
    public void onCompleted() {
      T complete = answer;
      if (complete == null) {
        onError(Status.INTERNAL.withDescription("a call without an answer").asException());
      } else {
        context.execute(() -> taker.accept(complete));
      }
    }
  }

  /**
   * Hears what changes at a replica, as long as it is connected; that it is lost the exchange
   * stream tells. One that does not know the call is left alone.
   */
  private final class Watch<Q, A> implements ClientResponseObserver<Q, A> {
    private final Replica watched;
    private final Consumer<A> news;
    private final Consumer<Replica> again;
    private @Nullable ClientCallStreamObserver<Q> call;
    private boolean over;

    Watch(Replica watched, Consumer<A> news, Consumer<Replica> again) {
      this.watched = watched;
      this.news = news;
      this.again = again;
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<Q> starting) {
      call = starting;
    }

    @Override
    public void onNext(A answer) {
      context.execute(() -> {
        if (replica == watched) {
          news.accept(answer);
        }
      });
    }

    @Override
    public void onError(Throwable failure) {
      boolean known = Status.fromThrowable(failure).getCode() != Status.Code.UNIMPLEMENTED;
      context.execute(() -> ended(known));
    }

    @Override
    public void onCompleted() {
      context.execute(() -> ended(true));
    }

    /** A proxy may have ended the watch while the exchange stream lives. */
    private void ended(boolean retry) {
      over = true;
      if (retry && !closed && replica == watched) {
        context.schedule(this::watchAgain, REWATCH_SECONDS, TimeUnit.SECONDS, timer);
      }
    }

    private void watchAgain() {
      if (replica == watched) {
        again.accept(watched);
      }
    }

    void send(Q request) {
      if (call != null && !over) {
        call.onNext(request);
      }
    }

    void cancel() {
      if (call != null) {
        call.cancel("the replica is not used any more", null);
      }
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
          () -> ReplicaConnection.this.opened(new Replica(description, stream, record)));
    }

    @Override
    public void closed(Status status) {
      context.execute(() -> failed(status));
    }
  }
}
