package dev.guildhall.router.api.http;

import com.google.gson.JsonObject;
import dev.guildhall.rpc.Statuses;
import io.grpc.Status;
import java.nio.charset.StandardCharsets;
import org.eclipse.jetty.http.HttpFields;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.http.HttpMethod;
import org.eclipse.jetty.http.HttpStatus;
import org.eclipse.jetty.server.Request;

/** The one place where our errors become HTTP's. */
final class HttpErrors {
  static final String JSON = "application/json";

  /** The wait that gRPC's callers are told, up to a whole second. */
  private static final String RETRY_SECONDS = "1";

  private static final int CLIENT_CLOSED_REQUEST = 499;

  private HttpErrors() {}

  static int code(Status status) {
    return switch (status.getCode()) {
      case INVALID_ARGUMENT, OUT_OF_RANGE -> HttpStatus.BAD_REQUEST_400;
      case UNAUTHENTICATED -> HttpStatus.UNAUTHORIZED_401;
      case FAILED_PRECONDITION, PERMISSION_DENIED -> HttpStatus.FORBIDDEN_403;
      case NOT_FOUND -> HttpStatus.NOT_FOUND_404;
      case RESOURCE_EXHAUSTED -> HttpStatus.TOO_MANY_REQUESTS_429;
      case CANCELLED -> CLIENT_CLOSED_REQUEST;
      case UNAVAILABLE -> HttpStatus.SERVICE_UNAVAILABLE_503;
      case DEADLINE_EXCEEDED -> HttpStatus.GATEWAY_TIMEOUT_504;
      default -> HttpStatus.INTERNAL_SERVER_ERROR_500;
    };
  }

  /** The status of a failure; an unexpected one is logged. */
  static Status status(Throwable failure) {
    return Statuses.toStatus(failure);
  }

  /** What a client should know beside the status. */
  static void headers(Request request, int code, HttpFields.Mutable headers) {
    if (HttpMethod.CONNECT.is(request.getMethod())) {
      // Jetty would leave the connection open, whatever the client asks for, as to a proxy.
      headers.put(HttpHeader.CONNECTION, "close");
    }
    if (code == HttpStatus.TOO_MANY_REQUESTS_429) {
      headers.put(HttpHeader.RETRY_AFTER, RETRY_SECONDS);
    } else if (code == HttpStatus.UNAUTHORIZED_401) {
      headers.put(HttpHeader.WWW_AUTHENTICATE, "Bearer");
    }
  }

  /** The protocol's error object. */
  static byte[] body(String message) {
    JsonObject error = new JsonObject();
    error.addProperty("error", message);
    return error.toString().getBytes(StandardCharsets.UTF_8);
  }
}
