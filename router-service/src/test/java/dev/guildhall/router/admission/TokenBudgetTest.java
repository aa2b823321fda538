package dev.guildhall.router.admission;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class TokenBudgetTest {
  private final TokenBudget budget = new TokenBudget(10);

  @Test
  void letsRequestsInUpToTheLimit() {
    budget.acquire(6);
    budget.acquire(4);
    budget.acquire(0);
    assertEquals(10, budget.inFlight());
  }

  @Test
  void refusesMoreUntilTokensAreGivenBack() {
    budget.acquire(6);
    GuildhallException e = assertThrows(GuildhallException.class, () -> budget.acquire(5));
    assertEquals(ErrorCode.RESOURCE_EXHAUSTED, e.code());
    assertEquals(
        "6 tokens are in flight and the request has 5; allowed are 10 at once, try again later",
        e.getMessage());
    budget.release(6);
    budget.acquire(5);
    assertEquals(5, budget.inFlight());
  }

  @Test
  void saysThatARequestNeverFits() {
    GuildhallException e = assertThrows(GuildhallException.class, () -> budget.acquire(11));
    assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
    assertEquals("the request has 11 tokens; allowed are up to 10", e.getMessage());
    assertEquals(0, budget.inFlight());
  }

  @Test
  void aLimitThatMovesMayBePassedByOneRequest() {
    AtomicLong limit = new AtomicLong(3);
    TokenBudget moving = new TokenBudget(10, limit::get);
    moving.acquire(2);
    moving.acquire(8);
    assertThrows(GuildhallException.class, () -> moving.acquire(1));
    moving.release(8);
    limit.set(2);
    assertThrows(GuildhallException.class, () -> moving.acquire(1));
  }

  @Test
  void neverLosesATokenWhenManyThreadsPress() {
    try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
      for (int thread = 0; thread < 4; thread++) {
        threads.execute(() -> {
          for (int i = 0; i < 2_000; i++) {
            acquireAndRelease(1 + i % 10);
          }
        });
      }
    }
    assertEquals(0, budget.inFlight());
  }

  private void acquireAndRelease(int tokens) {
    try {
      budget.acquire(tokens);
    } catch (GuildhallException refused) {
      return;
    }
    budget.release(tokens);
  }
}
