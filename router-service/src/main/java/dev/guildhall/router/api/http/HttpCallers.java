package dev.guildhall.router.api.http;

import dev.guildhall.error.ErrorCode;
import dev.guildhall.error.GuildhallException;
import dev.guildhall.router.admission.Caller;
import dev.guildhall.router.api.TokenCheck;
import java.util.Optional;
import java.util.function.Function;
import org.eclipse.jetty.http.HttpHeader;

/**
 * Who may call.
 *
 * @param byToken none: anyone
 */
public record HttpCallers(Optional<Function<String, Optional<Caller>>> byToken) {

  /**
   * Whose request it is.
   *
   * @throws GuildhallException UNAUTHENTICATED unless it has a right token, where one is needed
   */
  Caller of(Exchange exchange) {
    if (byToken.isEmpty()) {
      return Caller.ANYONE;
    }
    return exchange
        .header(HttpHeader.AUTHORIZATION.asString())
        .flatMap(TokenCheck::token)
        .flatMap(byToken.get())
        .orElseThrow(() -> new GuildhallException(ErrorCode.UNAUTHENTICATED, TokenCheck.REFUSAL));
  }
}
