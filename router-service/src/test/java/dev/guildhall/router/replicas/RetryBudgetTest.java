package dev.guildhall.router.replicas;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class RetryBudgetTest {
  @Test
  void startsWithItsReserve() {
    RetryBudget budget = new RetryBudget(0.2, 10);
    assertTrue(budget.spend(4));
    assertFalse(budget.spend(7));
    assertTrue(budget.spend(6));
    assertFalse(budget.spend(1));
  }

  @Test
  void earnsItsShareOfTheRows() {
    RetryBudget budget = new RetryBudget(0.2, 10);
    assertTrue(budget.spend(10));
    budget.earn(4);
    assertFalse(budget.spend(1));
    budget.earn(1);
    assertTrue(budget.spend(1));
    assertFalse(budget.spend(1));
  }

  @Test
  void savesNoMoreThanItsReserve() {
    RetryBudget budget = new RetryBudget(0.2, 10);
    budget.earn(1_000_000);
    assertTrue(budget.spend(10));
    assertFalse(budget.spend(1));
  }

  @Test
  void keepsHalfOfItsReserveForFailures() {
    RetryBudget budget = new RetryBudget(0.2, 10);
    assertFalse(budget.spendSpare(6));
    assertTrue(budget.spendSpare(5));
    assertFalse(budget.spendSpare(1));
    assertTrue(budget.spend(5));
  }
}
