package dev.guildhall.rpc;

import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Closes accepted connections beyond a number, first in the pipeline of a listening channel; gRPC
 * has no such setting. Connections come on the channel's event loop and end on theirs.
 */
final class ConnectionLimit extends ChannelInboundHandlerAdapter {
  private static final Logger log = LoggerFactory.getLogger(ConnectionLimit.class);

  private final int most;
  private final AtomicInteger open = new AtomicInteger();
  private final AtomicBoolean told = new AtomicBoolean();

  ConnectionLimit(int most) {
    this.most = most;
  }

  @Override
  public void channelRead(ChannelHandlerContext context, Object message) {
    Channel connection = (Channel) message;
    if (open.incrementAndGet() > most) {
      open.decrementAndGet();
      connection.unsafe().closeForcibly();
      if (!told.getAndSet(true)) {
        log.warn("{} connections are open; more are closed at once", most);
      }
      return;
    }
    connection
        .closeFuture()
        .addListener(closed -> {
          open.decrementAndGet();
          told.set(false);
        });
    context.fireChannelRead(message);
  }
}
