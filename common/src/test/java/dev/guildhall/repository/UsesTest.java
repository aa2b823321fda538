package dev.guildhall.repository;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class UsesTest {
  private final AtomicInteger ends = new AtomicInteger();
  private final Uses uses = new Uses(ends::incrementAndGet);

  @Test
  void endsWithTheLastUser() {
    assertTrue(uses.acquire());
    uses.release();
    assertEquals(0, ends.get());
    uses.release();
    assertEquals(1, ends.get());
    assertFalse(uses.acquire());
  }

  @Test
  void oneReleaseTooManyIsADefect() {
    uses.release();
    assertThrows(IllegalStateException.class, uses::release);
    assertEquals(1, ends.get());
  }

  @Test
  void endsOnceHoweverManyThreadsUseIt() {
    try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
      for (int thread = 0; thread < 4; thread++) {
        threads.execute(() -> {
          for (int i = 0; i < 10_000 && uses.acquire(); i++) {
            uses.release();
          }
        });
      }
      threads.execute(uses::release);
    }
    assertEquals(1, ends.get());
  }
}
