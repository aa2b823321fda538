package dev.guildhall.router.api.http;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.router.api.live.LiveFeed;
import dev.guildhall.router.api.live.LiveViewer;
import java.io.IOException;
import java.time.Duration;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.util.Callback;

/**
 * What the live page shows, as server-sent events at {@code /live}. A viewer has a virtual thread
 * to itself, which waits for the next message and writes it.
 */
public final class LiveHandler extends Handler.Abstract {
  private static final String PATH = "/live";

  private final LiveFeed feed;
  private final HttpCallers callers;
  private final Duration mostTime;
  private final HttpSettings settings;

  /**
   * @param mostTime that one stream goes on; its viewer is checked anew in the next
   */
  public LiveHandler(LiveFeed feed, HttpCallers callers, Duration mostTime, HttpSettings settings) {
    this.feed = feed;
    this.callers = callers;
    this.mostTime = mostTime;
    this.settings = settings;
  }

  @Override
  public boolean handle(Request request, Response response, Callback callback) {
    if (!PATH.equals(request.getHttpURI().getCanonicalPath())) {
      return false;
    }
    Exchange exchange = new Exchange(request, response, callback, settings);
    exchange.attempt(() -> show(exchange));
    return true;
  }

  private void show(Exchange exchange) throws IOException {
    callers.of(exchange);
    exchange.checkMethod("GET");
    try (LiveViewer viewer =
        feed.join()
            .orElseThrow(() ->
                new GuildhallException(
                    ErrorCode.RESOURCE_EXHAUSTED,
                    "nobody can be shown more; allowed are %d viewers at a time"
                        .formatted(LiveFeed.MOST_VIEWERS)))) {
      exchange.events(viewer, mostTime);
    }
  }
}
