package dev.guildhall.cli.bench;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.rpc.Transport;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** A channel that is connected: a call on it takes its messages at once. */
record Connection(ManagedChannel channel) implements AutoCloseable {
  private static final int TIMEOUT_SECONDS = 10;

  /**
   * Connects.
   *
   * @throws GuildhallException UNAVAILABLE if nobody answers
   */
  static Connection open(Transport transport, String target) throws InterruptedException {
    ManagedChannel channel = transport.channel(target);
    CountDownLatch ready = new CountDownLatch(1);
    awaitReady(channel, ready);
    if (!ready.await(TIMEOUT_SECONDS, TimeUnit.SECONDS)) {
      channel.shutdownNow();
      throw new GuildhallException(
          ErrorCode.UNAVAILABLE,
          "%s did not answer within %d s".formatted(target, TIMEOUT_SECONDS));
    }
    return new Connection(channel);
  }

  private static void awaitReady(ManagedChannel channel, CountDownLatch ready) {
    ConnectivityState state = channel.getState(true);
    if (state == ConnectivityState.READY) {
      ready.countDown();
    } else if (state != ConnectivityState.SHUTDOWN) {
      channel.notifyWhenStateChanged(state, () -> awaitReady(channel, ready));
    }
  }

  @Override
  public void close() {
    channel.shutdownNow();
  }
}
