package dev.guildhall.rpc;

import io.grpc.Context;
import io.grpc.ForwardingServerCallListener.SimpleForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/**
 * Ends calls of one request whose request does not arrive. gRPC itself does so at a call's
 * deadline; a caller need not bring one, or may bring one of years. Streams may be silent as long
 * as they like.
 */
public final class ArrivalTimeout implements ServerInterceptor {
  /** For a caller that has said how long it would wait: a large request over a slow network. */
  private static final Duration LONGEST = Duration.ofMinutes(10);

  private final ScheduledExecutorService timer;
  private final Duration timeout;

  /**
   * @param timeout from a call's headers to the end of its request, where it has no deadline
   */
  public ArrivalTimeout(ScheduledExecutorService timer, Duration timeout) {
    this.timer = timer;
    this.timeout = timeout;
  }

  @Override
  public <Q, A> ServerCall.Listener<Q> interceptCall(
      ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
    Duration allowed = Context.current().getDeadline() == null ? timeout : LONGEST;
    ServerCall.Listener<Q> listener = next.startCall(call, headers);
    if (!call.getMethodDescriptor().getType().clientSendsOneMessage()) {
      return listener;
    }
    ScheduledFuture<?> end =
        timer.schedule(
            () ->
                call.close(
                    Status.DEADLINE_EXCEEDED.withDescription(
                        "the request did not arrive within %d ms".formatted(allowed.toMillis())),
                    new Metadata()),
            allowed.toMillis(),
            TimeUnit.MILLISECONDS);
    return new SimpleForwardingServerCallListener<>(listener) {
      @Override
      public void onHalfClose() {
        // Whoever is first: a call that has been closed is not served.
        if (end.cancel(false)) {
          super.onHalfClose();
        }
      }

      @Override
      public void onCancel() {
        end.cancel(false);
        super.onCancel();
      }

      @Override
      public void onComplete() {
        end.cancel(false);
        super.onComplete();
      }
    };
  }
}
