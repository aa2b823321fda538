package dev.guildhall.router.admission;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CallersTest {
  /** Of "alpha" and of "beta". */
  private static final String ALPHA =
      "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8";

  private static final String BETA =
      "f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753";

  private static Callers parse(String json) {
    return Callers.parse(json, Callers.NONE);
  }

  @Test
  void findsACallerByItsTokenAlone() {
    Callers callers = parse(two(5, "search", "ranking"));
    assertEquals("search", callers.find("alpha").orElseThrow().name());
    assertEquals("ranking", callers.find("beta").orElseThrow().name());
    for (String token : new String[] {"", "alph", "alphaa", "Alpha", ALPHA}) {
      assertTrue(callers.find(token).isEmpty(), token);
    }
    assertTrue(parse("{\"callers\": []}").find("alpha").isEmpty());
  }

  @Test
  void aLimitIsTheCallersOwnAndNamesIt() {
    Callers callers = parse(two(5, "search", "ranking"));
    Caller search = callers.find("alpha").orElseThrow();
    search.acquire(4);
    GuildhallException e = assertThrows(GuildhallException.class, () -> search.acquire(2));
    assertEquals(ErrorCode.RESOURCE_EXHAUSTED, e.code());
    assertEquals(
        "caller search: 4 tokens are in flight and the request has 2; allowed are 5 at once, try"
            + " again later",
        e.getMessage());
    callers.find("beta").orElseThrow().acquire(Long.MAX_VALUE);
    search.release(4);
    search.acquire(5);
  }

  @Test
  void aNewVersionKeepsWhatACallerHasInFlightWhileItsLimitStays() {
    Callers before = parse(two(5, "search", "ranking"));
    Caller search = before.find("alpha").orElseThrow();
    // Its token changes hands with the other one's.
    Callers swapped = Callers.parse(two(5, "search", "ranking", BETA, ALPHA), before);
    assertSame(search, swapped.find("beta").orElseThrow());
    Callers other = Callers.parse(two(6, "search", "ranking"), before);
    assertNotSame(search, other.find("alpha").orElseThrow());
  }

  private static String two(long limit, String first, String second) {
    return two(limit, first, second, ALPHA, BETA);
  }

  private static String two(long limit, String first, String second, String one, String other) {
    return """
    {"callers": [
      {"name": "%s", "token_sha256": "%s", "max_tokens_in_flight": %d},
      {"name": "%s", "token_sha256": "%s"}]}\
    """
        .formatted(first, one, limit, second, other);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "{\"callers\": [{\"name\": \"a\", \"token\": \"s3cret\"}]} | token",
        "{\"calers\": []} | calers",
        "{\"callers\": [{\"token_sha256\": \"HASH\"}]} | a caller's name is \"\"; allowed is",
        "{\"callers\": [{\"name\": \"a\"}]} | caller \"a\": token_sha256 has 0 characters;",
        "{\"callers\": [{\"name\": \"a\", \"token_sha256\": \"s3cret\"}]} | has 6 characters;",
        "{\"callers\": [{\"name\": \"a\", \"token_sha256\": \"HASH\","
            + " \"max_tokens_in_flight\": 0}]} | max_tokens_in_flight is 0; allowed is",
        "{\"callers\": [{\"name\": \"a\", \"token_sha256\": \"HASH\"},"
            + " {\"name\": \"b\", \"token_sha256\": \"HASH\"}]} | caller \"b\": its name or its",
        "{\"callers\": [ | not one right JSON object"
      })
  void refusesNamingWhatIsWrongButNoToken(String json, String problem) {
    GuildhallException e =
        assertThrows(GuildhallException.class, () -> parse(json.replace("HASH", ALPHA)));
    assertEquals(ErrorCode.INVALID_ARGUMENT, e.code());
    assertTrue(e.getMessage().contains(problem), e.getMessage());
    assertFalse(e.getMessage().contains("s3cret"), e.getMessage());
  }

  @Test
  void refusesANameThatOccursTwice() {
    assertThrows(GuildhallException.class, () -> parse(two(5, "search", "search")));
  }
}
