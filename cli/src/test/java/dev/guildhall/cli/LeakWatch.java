package dev.guildhall.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import dev.guildhall.rpc.Buffers;
import io.netty.util.ResourceLeakDetector;
import java.util.List;
import org.slf4j.LoggerFactory;

/** Hears what netty's leak detector, a paranoid one, has to say. */
final class LeakWatch implements AutoCloseable {
  private final ListAppender<ILoggingEvent> heard = new ListAppender<>();
  private final Logger detector = (Logger) LoggerFactory.getLogger(ResourceLeakDetector.class);

  LeakWatch() {
    assertEquals(ResourceLeakDetector.Level.PARANOID, ResourceLeakDetector.getLevel());
    heard.start();
    detector.addAppender(heard);
  }

  /** Buffers that were lost so far. */
  List<String> leaks() {
    // The detector speaks of a buffer when it is collected and another one is asked for.
    for (int i = 0; i < 20; i++) {
      System.gc();
      Buffers.allocate(64).release();
    }
    return heard.list.stream().map(ILoggingEvent::getFormattedMessage).toList();
  }

  /** Stops to listen, and fails if there was any. */
  @Override
  public void close() {
    List<String> leaks = leaks();
    detector.detachAppender(heard);
    assertEquals(List.of(), leaks);
  }
}
