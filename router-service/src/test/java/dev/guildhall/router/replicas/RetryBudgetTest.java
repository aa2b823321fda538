package dev.guildhall.router.replicas;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class RetryBudgetTest {
  @Test
  void startsWithItsReserve() {
    RetryBudget budget = new RetryBudget(0.2, 2);
    assertTrue(budget.spend());
    assertTrue(budget.spend());
    assertFalse(budget.spend());
  }

  @Test
  void earnsItsShareOfTheTraffic() {
    RetryBudget budget = new RetryBudget(0.2, 2);
    budget.spend();
    budget.spend();
    for (int batch = 0; batch < 4; batch++) {
      budget.earn();
      assertFalse(budget.spend());
    }
    budget.earn();
    assertTrue(budget.spend());
    assertFalse(budget.spend());
  }

  @Test
  void savesNoMoreThanItsReserve() {
    RetryBudget budget = new RetryBudget(0.2, 1);
    for (int batch = 0; batch < 1000; batch++) {
      budget.earn();
    }
    assertTrue(budget.spend());
    assertFalse(budget.spend());
  }
}
